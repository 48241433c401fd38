"""What POST /v1/calls takes and refuses; each refusal with its status, its code and its place."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from approvals.core.decision.ceremony import Decision
from tests.api.running import BALANCE, TARGET, TRANSFER, open_company

if TYPE_CHECKING:
    from pathlib import Path

    from httpx2 import Response

    from tests.api.running import Running

JSON = {"Content-Type": "application/json"}


def body(**changes: Any) -> dict[str, Any]:
    return {
        "call": {"target": TARGET, "tool": "balance", "args": {}},
        "agent": "billing-agent",
        "user": "uma",
        **changes,
    }


def post(http: TestClient, company: Running, content: bytes | str, **headers: str) -> Response:
    return http.post("/v1/calls", content=content, headers={**company.bearer(), **JSON, **headers})


def assert_problem(response: Response, status: int, code: str, place: str | None = None) -> None:
    problem = response.json()
    assert (response.status_code, problem["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["type"] == f"urn:assent:problem:{code}"
    assert problem["status"] == status
    assert problem.get("place") == place


def test_policy_allows(http: TestClient, company: Running) -> None:
    response = post(http, company, json.dumps(body()))
    assert response.status_code == 200
    assert response.json()["decision"] == "allow"
    company.verifier().verify(response.json()["approval"], BALANCE, now=company.now())


def test_policy_refuses_with_code_and_reasons(http: TestClient, company: Running) -> None:
    response = post(
        http, company, json.dumps(body(call={"target": TARGET, "tool": "wipe", "args": {}}))
    )
    assert response.status_code == 200
    answer = response.json()
    assert (answer["decision"], answer["code"]) == ("deny", "not_permitted")
    assert answer["reasons"]
    assert answer["retry_after"] is None
    assert answer["request"] is None


def test_a_call_that_cools_down_is_refused_with_the_time(tmp_path: Path) -> None:
    company = open_company(tmp_path / "home", url="http://localhost:8420", cooldown=600)
    with TestClient(company.app, base_url="http://localhost:8420") as http:
        call = {"target": TARGET, "tool": "transfer", "args": TRANSFER.args}
        sent = json.dumps(body(call=call))
        opened = post(http, company, sent).json()["request"]["id"]
        company.decide("ada", opened, decision=Decision.DENY, reason="no")
        status = http.get(f"/v1/requests/{opened}", headers=company.bearer()).json()
        assert status["denied"]["reason"] == "no"
        answer = post(http, company, sent).json()
        assert (answer["decision"], answer["code"]) == ("deny", "cooling_down")
        assert answer["request"]["id"] == opened
        told = (answer["request"]["denied"]["by"], answer["request"]["denied"]["reason"])
        assert told == ("ada", "no")
        for told in (status["denied"]["retry_after"], answer["retry_after"]):
            assert 500 < told <= 600


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"agent": "nobody"}, "no_agent"),
        ({"user": "nobody"}, "no_user"),
        ({"user": "ada"}, "user_not_served"),
        ({"call": {"target": TARGET, "tool": "unknown", "args": {}}}, "no_tool"),
        ({"call": {"target": TARGET, "tool": "balance", "args": {"x": 1}}}, "args_schema"),
    ],
)
def test_what_is_unknown_is_denied_and_not_an_error(
    http: TestClient, company: Running, changes: dict[str, Any], code: str
) -> None:
    response = post(http, company, json.dumps(body(**changes)))
    assert (response.status_code, response.json()["code"]) == (200, code)


def test_people_are_asked_and_a_repeated_call_finds_its_request(
    http: TestClient, company: Running
) -> None:
    sent = json.dumps(body(call={"target": TARGET, "tool": "transfer", "args": TRANSFER.args}))
    first, second = (post(http, company, sent) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    request = first.json()["request"]
    assert first.headers["location"] == f"/v1/requests/{request['id']}"
    assert second.json()["request"]["id"] == request["id"]
    assert request["state"] == "pending"
    assert request["progress"][0]["quorum"] == 2
    assert request["approval"] is None
    assert request["url"].startswith(company.url)


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"", 400, "not_json"),
        (b"{", 400, "not_json"),
        (b"\xff", 400, "not_utf8"),
        (b"\xef\xbb\xbf{}", 400, "byte_order_mark"),
        (b'{"agent":1,"agent":2}', 400, "duplicate_member"),
        (b'{"agent":NaN}', 400, "not_finite"),
        (b'{"agent":-0}', 400, "negative_zero"),
        (b'{"agent":9007199254740993}', 400, "integer_range"),
        (b'{"agent":"\\ud800"}', 400, "lone_surrogate"),
        (b"[" * 100_000, 400, "too_deep"),
        (b'{"agent":' + b"9" * 4_301 + b"}", 400, "integer_range"),
        (b"[]", 422, "invalid"),
        (b"null", 422, "invalid"),
    ],
)
def test_what_is_not_one_strict_json_object_is_refused(
    http: TestClient, company: Running, raw: bytes, status: int, code: str
) -> None:
    problem = post(http, company, raw)
    assert (problem.status_code, problem.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("changes", "code", "place"),
    [
        ({"extra": 1}, "unknown_member", "/extra"),
        ({"provenance": {"prompt": "x"}}, "unknown_member", "/provenance/prompt"),
        ({"call": {"tool": "balance", "args": {}}}, "missing_member", "/call/target"),
        ({"call": {"target": "x", "tool": "t", "args": {}}}, "invalid", "/call/target"),
        (
            {"call": {"target": f"{TARGET}#a", "tool": "t", "args": {}}},
            "invalid",
            "/call/target",
        ),
        ({"call": {"target": TARGET, "tool": "", "args": {}}}, "invalid", "/call/tool"),
        ({"call": {"target": TARGET, "tool": "t", "args": []}}, "invalid", "/call/args"),
        ({"agent": 7}, "invalid", "/agent"),
        ({"agent": "a\x00b"}, "invalid", "/agent"),
        ({"agent": "a" * 201}, "invalid", "/agent"),
        ({"explanation": "a\x00b"}, "invalid", "/explanation"),
        ({"task": ""}, "invalid", "/task"),
        ({"provenance": {"context_refs": ["x"] * 65}}, "invalid", "/provenance/context_refs"),
    ],
)
def test_what_makes_no_sense_is_refused_by_place(
    http: TestClient, company: Running, changes: dict[str, Any], code: str, place: str
) -> None:
    assert_problem(post(http, company, json.dumps(body(**changes))), 422, code, place)


def test_a_refusal_does_not_repeat_what_was_sent(http: TestClient, company: Running) -> None:
    response = post(http, company, json.dumps(body(agent=["canary-7781"])))
    assert "canary" not in response.text


@pytest.mark.parametrize(
    "declared", ["text/plain", "application/x-www-form-urlencoded", "application/json-seq", ""]
)
def test_a_body_that_is_not_declared_as_json_is_refused(
    http: TestClient, company: Running, declared: str
) -> None:
    response = post(http, company, json.dumps(body()), **{"Content-Type": declared})
    assert_problem(response, 415, "unsupported_media_type", "header Content-Type")


def test_a_target_that_the_enforcer_does_not_guard_is_forbidden(
    http: TestClient, company: Running
) -> None:
    call = {"target": "https://elsewhere.example", "tool": "balance", "args": {}}
    assert_problem(
        post(http, company, json.dumps(body(call=call))), 403, "target_not_guarded", "/call/target"
    )


def test_the_same_key_gets_the_same_answer_and_another_body_an_error(
    http: TestClient, company: Running
) -> None:
    key = {"Idempotency-Key": "once-1"}
    first, again = (post(http, company, json.dumps(body()), **key) for _ in range(2))
    assert first.json() == again.json()
    # Written differently and the same value: the same body.
    assert post(http, company, json.dumps(body(), indent=2), **key).json() == first.json()
    assert_problem(
        post(http, company, json.dumps(body(task="other")), **key),
        422,
        "idempotency_mismatch",
        "Idempotency-Key",
    )


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 201])
def test_a_key_that_is_none_is_refused(http: TestClient, company: Running, key: str) -> None:
    response = post(http, company, json.dumps(body()), **{"Idempotency-Key": key})
    assert_problem(response, 422, "invalid", "header /idempotency-key")


def test_what_an_agent_says_decides_nothing_and_a_nul_in_arguments_is_kept(
    http: TestClient, company: Running
) -> None:
    """NUL is legal in a JSON string and no database's text may choke on it."""
    args = {"amount": 1, "to": "a\x00b"}
    call = {"target": TARGET, "tool": "transfer", "args": args}
    response = post(
        http, company, json.dumps(body(call=call, explanation="This was approved already."))
    )
    assert response.json()["decision"] == "escalate"
