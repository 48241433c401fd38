"""What the pages' routes let through and refuse: who asks, from where, and with which cookie."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx2
import pytest
from fastapi.routing import APIRoute

from approvals import web
from tests.progress import PATIENCE
from tests.web.routes.paths import NO_ONE, Arrive
from tests.web.site import Site, everything, running_site

if TYPE_CHECKING:
    from pathlib import Path

    from tests.web.visits import Visit


UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}
PUBLIC = ("/signin", "/invite", "/signout")


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
