"""What the pages' routes answer to strangers, to odd bodies, and to too much."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from approvals import web
from tests.progress import PATIENCE
from tests.web.routes.paths import NO_ONE, Arrive
from tests.web.site import Site, running_site
from tests.web.visits import HTML, Visit

if TYPE_CHECKING:
    from pathlib import Path


def test_a_stranger_and_nothing_look_alike(site: Site, ada: Visit, arrive: Arrive) -> None:
    request_id = site.submit(amount="700.00", to="Northwind")
    otto = arrive().enrol("otto")
    for path in ("", "/decide/begin"):
        foreign = otto.http.request(
            "POST" if path else "GET",
            f"/r/{request_id}{path}",
            json={"decision": "approve"},
            headers=HTML,
        )
        absent = otto.http.request(
            "POST" if path else "GET",
            f"/r/{NO_ONE}{path}",
            json={"decision": "approve"},
            headers=HTML,
        )
        assert foreign.status_code == absent.status_code == 404
        drop = re.compile(r'data-now="\d+"')
        assert drop.sub("", foreign.text) == drop.sub("", absent.text)
    assert otto.get(f"/live?request={request_id}").status_code == 404
    assert ada.get(f"/r/{request_id}").status_code == 200


def test_a_link_from_another_site_is_opened_again_from_our_own(arrive: Arrive) -> None:
    answer = arrive().get(f"/r/{NO_ONE}", **{"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert f'content="0;url=/r/{NO_ONE}"' in answer.text
    own = arrive().get(f"/r/{NO_ONE}", **{"Sec-Fetch-Site": "same-origin"})
    assert own.headers["location"] == f"/signin?next=/r/{NO_ONE}"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"{", "not_json"),
        (b'{"decision":"deny","decision":"approve"}', "duplicate_member"),
        (b"\xff", "not_utf8"),
        (b"[]", "not_an_object"),
        (b'{"decision":NaN}', "not_finite"),
        (b'{"decision":' + b"[" * 40 + b"]" * 40 + b"}", "too_deep"),
        (b'{"a":"' + b"a" * 70_000 + b'"}', "too_large"),
        (b"{}", "invalid"),
        (b'{"decision":1}', "invalid"),
        (b'{"decision":"maybe"}', "invalid"),
    ],
)
def test_a_body_is_read_one_way_or_refused(ada: Visit, raw: bytes, code: str) -> None:
    answer = ada.http.post(
        f"/r/{NO_ONE}/decide/begin", content=raw, headers={"Content-Type": "application/json"}
    )
    assert answer.json()["code"] == code
    assert 400 <= answer.status_code < 500


@pytest.mark.parametrize("credential", [{}, {"id": 1}, {"response": []}, {"type": "public-key"}])
def test_a_credential_that_is_none_is_refused_by_name(
    site: Site, ada: Visit, credential: dict[str, Any]
) -> None:
    request_id = site.submit(amount="650.00", to="Northwind")
    ada.post(f"/r/{request_id}/seen")
    begun = ada.post(f"/r/{request_id}/decide/begin", {"decision": "approve"}).json()
    answer = ada.post(
        f"/r/{request_id}/decide/finish",
        {"ceremony": begun["ceremony"], "credential": credential, "reason": ""},
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "credential")


def test_a_reason_that_is_too_long_is_refused_before_anything_is_counted(
    site: Site, ada: Visit
) -> None:
    request_id = site.submit(amount="651.00", to="Northwind")
    assert ada.decide(request_id, "deny", "x" * 501).json()["code"] == "reason"
    assert ada.decide(request_id, "deny", "x" * 500).json() == {"state": "denied"}


def test_a_page_cannot_finish_a_decision_on_another_request(site: Site, ada: Visit) -> None:
    shown = site.submit(amount="652.00", to="Northwind")
    other = site.submit(amount="653.00", to="Northwind")
    ada.post(f"/r/{other}/seen")
    begun = ada.post(f"/r/{other}/decide/begin", {"decision": "approve"}).json()
    assert ada.passkey is not None
    credential = ada.passkey.authenticate(begun["options"])
    ada.post(
        f"/r/{shown}/decide/finish",
        {"ceremony": begun["ceremony"], "credential": credential, "reason": ""},
    )
    # Whatever path it came by, it counts for what was signed and for nothing else.
    assert "1 of 2 people" not in ada.get(f"/r/{shown}").text


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/nope", "Nothing here"),
        (f"/r/{NO_ONE}", "Nothing here"),
        ("/invite/" + "t" * 43, "This invitation is not known here"),
        ("/r/x/opened", "Nothing here"),
    ],
)
def test_an_error_is_a_page_for_people_and_a_problem_for_programs(
    ada: Visit, path: str, title: str
) -> None:
    page = ada.get(path)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert f"<h1>{title}</h1>" in page.text
    problem = ada.http.get(path, headers={"Accept": "application/json"})
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.status_code == page.status_code
    assert f"<code>{problem.json()['code']}</code>" in page.text


def test_the_stream_says_only_that_something_changed(
    site: Site, ada: Visit, arrive: Arrive
) -> None:
    request_id = site.submit(amount="654.00", to="Northwind")
    said = []
    with ada.http.stream("GET", f"/live?request={request_id}") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(lines) == "retry: 2000"
        bo = arrive().enrol("bo")
        assert bo.decide(request_id, "deny").json() == {"state": "denied"}
        for line in lines:
            said.append(line)
            if line.startswith("data:"):
                break
    assert [line for line in said if line] == ["event: changed", "data: 1"]


def test_one_person_cannot_hold_streams_without_end(ada: Visit) -> None:
    """However many are opened at one moment."""
    most = web.live.EACH

    async def opened(client: httpx2.AsyncClient, held: contextlib.AsyncExitStack) -> int:
        answer = await held.enter_async_context(client.stream("GET", "/live"))
        if answer.status_code != 200:
            await answer.aread()
            assert answer.json()["code"] == "too_many_streams"
            assert "retry-after" in answer.headers
        return answer.status_code

    async def at_once() -> list[int]:
        async with (
            httpx2.AsyncClient(
                base_url=ada.http.base_url,
                cookies=ada.http.cookies,
                limits=httpx2.Limits(max_connections=None),
                timeout=PATIENCE,
                trust_env=False,
            ) as client,
            contextlib.AsyncExitStack() as held,
        ):
            return await asyncio.gather(*(opened(client, held) for _ in range(80)))

    assert Counter(asyncio.run(at_once())) == {200: most, 503: 80 - most}


def test_figures_are_for_operators_and_otherwise_not_there(ada: Visit, arrive: Arrive) -> None:
    assert "How people decide" in ada.get("/figures").text
    bo = arrive().enrol("bo")
    drop = re.compile(r'data-now="\d+"')
    nothing, figures = bo.get("/nope"), bo.get("/figures")
    assert nothing.status_code == figures.status_code == 404
    assert drop.sub("", nothing.text) == drop.sub("", figures.text)
    assert arrive().get("/figures").headers["location"] == "/signin?next=/figures"


def test_only_a_post_counts_as_a_look(site: Site, ada: Visit) -> None:
    request_id = site.submit(amount="655.00", to="Northwind")
    for look in (ada.get(f"/r/{request_id}"), ada.get(f"/r/{request_id}/seen")):
        assert look.status_code in {200, 405}
    answer = ada.post(f"/r/{request_id}/decide/begin", {"decision": "approve"})
    assert (answer.status_code, answer.json()["code"]) == (409, "looked_too_briefly")
    assert ada.post(f"/r/{request_id}/seen").json() == {"wait": 0}
    answer = ada.post(f"/r/{request_id}/decide/begin", {"decision": "approve"})
    assert answer.status_code == 200


def test_strangers_and_people_begin_only_so_much_in_a_minute(
    tmp_path: Path,
) -> None:
    """By address and by person, so that neither locks the other or anybody else out."""
    with (
        running_site(tmp_path, jobs=False, ceremonies_per_minute=20, public=None) as limited,
        closing(Visit(limited)) as ada,
        closing(Visit(limited)) as second,
        closing(Visit(limited)) as flood,
    ):
        ada.enrol("ada")
        answers = [
            flood.http.post("/signin/begin", json={}, headers={"X-Forwarded-For": "203.0.113.1"})
            for _ in range(30)
        ]
        assert Counter(each.status_code for each in answers)[429] >= 5
        last = answers[-1]
        assert (last.status_code, last.json()["code"]) == (429, "rate_limited")
        assert int(last.headers["retry-after"]) >= 1
        again = flood.http.post(
            "/signin/finish", json={}, headers={"X-Forwarded-For": "203.0.113.1"}
        )
        assert again.status_code == 429  # the same address, at another step
        assert flood.get("/invite/nothing", **{"X-Forwarded-For": "203.0.113.1"}).status_code == 429
        other = flood.http.post(
            "/signin/begin", json={}, headers={"X-Forwarded-For": "203.0.113.2"}
        )
        assert other.status_code == 200
        begun = [ada.post("/me/slack/unlink/begin") for _ in range(30)]
        assert begun[0].status_code == 200
        assert begun[-1].json()["code"] == "rate_limited"
        # Whoever has one browser's session does not use up what its person needs in another.
        second.passkey = ada.passkey
        assert second.sign_in().status_code in {200, 303}
        assert second.post("/me/slack/unlink/begin").status_code == 200
