"""Who is let in: a token with any one thing wrong is the same 401 as none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from approvals.core import jws
from approvals.flow.operating.activate import activate
from tests.api.running import bundle
from tests.company import new_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx2 import Response
    from starlette.testclient import TestClient

    from tests.api.running import Running

PATH = "/v1/people/keys"


def claims(company: Running, **changes: Any) -> dict[str, Any]:
    now = company.now()
    made = {
        "iss": "gateway",
        "sub": "gateway",
        "aud": company.url,
        "iat": now,
        "nbf": now,
        "exp": now + 300,
        "jti": "one",
        "tenant": "default",
        **changes,
    }
    return {name: value for name, value in made.items() if value is not None}


def ask(http: TestClient, authorization: str | None) -> Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return http.get(PATH, headers=headers)


def signed(
    company: Running, *, key: dict[str, Any] | None = None, typ: str = "JWT", **c: Any
) -> str:
    return jws.sign(claims(company, **c), key=key or company.keys["gateway"], typ=typ)


def test_a_good_token_is_taken_more_than_once(http: TestClient, company: Running) -> None:
    token = f"Bearer {signed(company)}"
    assert [ask(http, token).status_code for _ in range(3)] == [200, 200, 200]


def test_the_tenant_may_be_left_out(http: TestClient, company: Running) -> None:
    assert ask(http, f"Bearer {signed(company, tenant=None)}").status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "other"},
        {"sub": "other"},
        {"iss": "unknown", "sub": "unknown"},
        {"iss": None},
        {"iss": 7, "sub": 7},
        {"iss": "a\x00b", "sub": "a\x00b"},
        {"aud": "https://elsewhere.example"},
        {"aud": None},
        {"aud": ["http://localhost:8420"]},
        {"tenant": "another"},
        {"tenant": "a\x00b"},
        {"tenant": 7},
        {"jti": ""},
        {"jti": None},
        {"iat": None},
        {"exp": None},
        {"exp": True},
        {"iat": "0"},
    ],
)
def test_a_wrong_claim_is_refused(
    http: TestClient, company: Running, change: dict[str, Any]
) -> None:
    refused(ask(http, f"Bearer {signed(company, **change)}"))


@pytest.mark.parametrize(
    "times",
    [
        lambda now: {"iat": now - 400, "nbf": now - 400, "exp": now - 100},  # over
        lambda now: {"iat": now + 100, "nbf": now + 100, "exp": now + 300},  # not yet
        lambda now: {"nbf": now + 100},  # not yet, though issued
        lambda now: {"exp": now + 301},  # too long a life
        lambda now: {"exp": now},  # no life
        lambda now: {"iat": now - 10_000, "exp": now + 10},  # a long life that ends soon
    ],
)
def test_a_wrong_time_is_refused(
    http: TestClient, company: Running, times: Callable[[int], dict[str, Any]]
) -> None:
    refused(ask(http, f"Bearer {signed(company, **times(company.now()))}"))


def test_another_key_is_refused(http: TestClient, company: Running) -> None:
    for key in (new_key(), company.keys["other"]):
        refused(ask(http, f"Bearer {signed(company, key=key)}"))


def test_another_type_is_refused(http: TestClient, company: Running) -> None:
    for typ in ("agent-approval+jwt", "at+jwt", "jwt"):
        refused(ask(http, f"Bearer {signed(company, typ=typ)}"))


def test_what_is_no_bearer_token_is_refused(http: TestClient, company: Running) -> None:
    token = signed(company)
    first, second, third = token.split(".")
    for authorization in (
        None,
        "",
        "Bearer",
        "Bearer ",
        token,
        f"Basic {token}",
        f"Bearer {first}.{second}",
        f"Bearer {first}.{second}.{third}.",
        f"Bearer {first}.{second}.{third}=",
        f"Bearer {first}.{second}.",
        f"Bearer ..{third}",
        f"Bearer {first}.e30.{third}",
        f"Bearer {first}.W10.{third}",
        f"Bearer {token},{token}",
        "Bearer " + "a" * 5_000,
        "Bearer \xe4",
    ):
        headers = (
            {} if authorization is None else {b"Authorization": authorization.encode("latin-1")}
        )
        refused(http.get(PATH, headers=headers))


def test_two_headers_are_refused(http: TestClient, company: Running) -> None:
    token = f"Bearer {signed(company)}"
    refused(http.get(PATH, headers=[("Authorization", token), ("Authorization", token)]))


def test_the_answer_tells_nothing_of_who_exists(http: TestClient, company: Running) -> None:
    answers = {
        ask(http, f"Bearer {signed(company, iss=name, sub=name)}").text
        for name in ("other", "unknown")
    }
    answers.add(ask(http, None).text)
    assert len(answers) == 1


def test_a_bundle_without_the_enforcer_ends_its_access_at_once(
    http: TestClient, company: Running
) -> None:
    token = f"Bearer {signed(company)}"
    assert ask(http, token).status_code == 200
    activate(
        company.service,
        tenant="default",
        files=bundle({**company.keys, "gateway": new_key()}),
        by="uma",
    )
    refused(ask(http, token))


def refused(response: Response) -> None:
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="assent", error="invalid_token"'
    assert response.json()["code"] == "unauthenticated"
    assert response.headers["cache-control"] == "no-store"
