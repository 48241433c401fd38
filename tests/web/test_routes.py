"""What the pages' routes let through, refuse and leave unchanged."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from fastapi.routing import APIRoute

import web
from tests.progress import PATIENCE
from tests.web.site import Site, everything, running_site
from tests.web.visits import HTML, Visit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Arrive = Callable[..., Visit]

UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}
PUBLIC = ("/signin", "/invite", "/signout")
NO_ONE = "req_" + "a" * 26


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One company for the tests of this module: none of them needs it empty."""
    with running_site(tmp_path_factory.mktemp("site"), jobs=False) as running:
        yield running


@pytest.fixture
def arrive(site: Site) -> Iterator[Arrive]:
    """Somebody at a browser of their own, signed out."""
    with ExitStack() as stack:
        yield lambda at=site, **options: stack.enter_context(closing(Visit(at, **options)))


@pytest.fixture
def ada(arrive: Arrive) -> Visit:
    """Ada, signed in. She may have passkeys of earlier tests; this one is new."""
    return arrive().enrol("ada")


def page_routes() -> list[tuple[str, str]]:
    """(method, path) of every route of the pages."""
    return sorted(
        (method, route.path)
        for module in (
            web.inbox,
            web.requests,
            web.enrol,
            web.signin,
            web.me,
            web.live,
            web.figures,
        )
        for route in module.router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    )


def address(path: str) -> str:
    return path.replace("{request_id}", NO_ONE).replace("{token}", "t" * 43)


FOREIGN: list[dict[str, str | None]] = [
    {"Origin": None},
    {"Origin": "null"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://localhost"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_nothing_that_changes_anything_can_be_asked_from_elsewhere(
    site: Site, ada: Visit, headers: dict[str, str | None]
) -> None:
    unsafe = [(method, path) for method, path in page_routes() if method in UNSAFE]
    assert len(unsafe) >= 10
    for method, path in unsafe:
        sent = dict(ada.http.headers) | {"content-type": "application/json"}
        for name, value in headers.items():
            sent.pop(name.lower(), None)
            if value is not None:
                sent[name] = value
        with httpx2.Client(base_url=site.url, trust_env=False, timeout=PATIENCE) as bare:
            bare.cookies = ada.http.cookies
            answer = bare.request(method, address(path), headers=sent, content=b"{}")
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_origin"), path


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_a_form_is_not_taken_for_a_script(ada: Visit, kind: str) -> None:
    for method, path in page_routes():
        if method in UNSAFE:
            answer = ada.http.request(
                method, address(path), content=b"{}", headers={"Content-Type": kind}
            )
            assert (answer.status_code, answer.json()["code"]) == (
                415,
                "unsupported_media_type",
            ), path


def test_who_is_signed_out_can_do_nothing(arrive: Arrive) -> None:
    visit = arrive()
    for method, path in page_routes():
        if method in UNSAFE and not path.startswith(PUBLIC):
            answer = visit.post(address(path))
            assert (answer.status_code, answer.json()["code"]) == (401, "signed_out"), path


def test_a_route_answers_to_its_own_methods_alone(ada: Visit) -> None:
    known: dict[str, set[str]] = {}
    for method, path in page_routes():
        known.setdefault(path, set()).add(method)
    for path, methods in known.items():
        for method in sorted({"GET", "PUT", "PATCH", "DELETE", "OPTIONS", "POST"} - methods):
            answer = ada.http.request(method, address(path))
            assert answer.status_code == 405, (method, path)


def test_looking_changes_nothing(site: Site, ada: Visit, arrive: Arrive) -> None:
    """Every page, every link on it, by GET and HEAD: as a mail scanner or a prefetch would."""
    site.submit(amount="900.00", to="Northwind")
    site.submit("mail", to=["a@example.com"] * 40, body="Dear customer " * 200)
    invitation = "/invite/" + site.invite("otto").rpartition("/")[2]
    before = everything(site)
    todo = ["/", "/me", "/signin", "/signin?next=/me", invitation, f"{invitation}/begin", "/nope"]
    seen: set[str] = set()
    for visit in (ada, arrive()):
        todo_now = [*todo]
        seen.clear()
        while todo_now:
            path = todo_now.pop()
            if path in seen:
                continue
            seen.add(path)
            answer = visit.get(path)
            assert answer.status_code < 500, path
            visit.http.head(path)
            todo_now += re.findall(r'(?:href|src|data-[a-z]+)="(/[^"]*)"', answer.text)
            seen.discard("/live")
            todo_now = [each for each in todo_now if not each.startswith("/live")]
        assert any(path.startswith("/r/") for path in seen) is (visit is ada)
        assert any(path.startswith("/static/") for path in seen)
    assert everything(site) == before
    # The same crawl notices a change when there is one.
    assert ada.get("/").status_code == 200
    arrive().enrol("otto")
    assert everything(site) != before


def test_no_answer_is_without_the_headers(ada: Visit, arrive: Arrive) -> None:
    for path in ("/", "/me", "/signin", "/nope", f"/r/{NO_ONE}", "/static/assent.js", "/v1/nope"):
        for visit in (ada, arrive()):
            headers = visit.get(path).headers
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'none'")
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cross-origin-opener-policy"] == "same-origin"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "publickey-credentials-get=(self)" in headers["permissions-policy"]
            wanted = "no-cache" if path.startswith("/static/") else "no-store"
            assert headers["cache-control"] == wanted, path


def test_the_cookie_is_shut_to_scripts_and_other_sites(site: Site, arrive: Arrive) -> None:
    visit = arrive()
    visit.enrol("bo")
    cookie = visit.sign_in().headers["set-cookie"]
    assert cookie.startswith("assent=")
    assert {part.strip().lower() for part in cookie.split(";")[1:]} == {
        "httponly",
        "path=/",
        "samesite=strict",
        f"max-age={site.service.settings.session_life}",
    }


def test_under_https_the_cookie_is_bound_to_the_host_and_the_host_to_https(
    tmp_path: Path, arrive: Arrive
) -> None:
    with running_site(tmp_path, public="https://approve.example") as site:
        visit = arrive(site, host="approve.example")
        visit.enrol("ada")
        answer = visit.sign_in()
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-assent=")
        parts = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"secure", "httponly", "path=/", "samesite=strict"} <= parts
        assert not any(part.startswith("domain") for part in parts)
        assert answer.headers["strict-transport-security"].startswith("max-age=63072000")


def test_a_session_from_before_the_sign_in_is_not_taken_over(arrive: Arrive) -> None:
    visit = arrive()
    planted = "planted-by-somebody-else"
    visit.http.cookies.set("assent", planted)
    visit.enrol("cleo")
    first = session_cookie(visit)
    visit.sign_in()
    second = session_cookie(visit)
    assert len({planted, first, second}) == 3
    stolen = arrive()
    stolen.http.cookies.set("assent", first)
    assert stolen.get("/me").status_code == 303  # ended by the new sign-in


def test_signing_out_ends_the_session_itself(ada: Visit, arrive: Arrive) -> None:
    kept = session_cookie(ada)
    assert ada.post("/signout").status_code == 200
    again = arrive()
    again.http.cookies.set("assent", kept)
    assert again.get("/").status_code == 303


def session_cookie(visit: Visit) -> str:
    # As the server would read it: the last one set wins.
    return next(cookie.value for cookie in reversed(list(visit.http.cookies.jar)) if cookie.value)


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
