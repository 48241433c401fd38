"""The outermost wall: hosts, sizes, slowness, and errors that nobody foresaw."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import structlog

from approvals.api.edge import Edge
from tests.api.running import served

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from starlette.testclient import TestClient
    from starlette.types import Message, Receive, Scope, Send

    from tests.api.running import Running

LIMIT = 262_144


def answer(response: Any) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


def test_only_our_own_host_is_answered(http: TestClient) -> None:
    for host in ("evil.example", "localhost", "localhost:8421", "localhost:8420.evil.example", ""):
        response = http.get("/.well-known/jwks.json", headers={"Host": host})
        assert answer(response) == (421, "misdirected"), host
    assert http.get("/.well-known/jwks.json", headers={"Host": "LOCALHOST:8420"}).status_code == 200


def test_a_default_port_may_be_written(tmp_path: Path) -> None:
    del tmp_path
    assert asyncio.run(through(edge("https://a.example"), host=b"a.example:443"))[0] == 204
    assert asyncio.run(through(edge("https://a.example"), host=b"a.example"))[0] == 204
    assert asyncio.run(through(edge("https://a.example"), host=b"a.example:80"))[0] == 421


def test_a_long_address_is_refused(http: TestClient) -> None:
    assert answer(http.get("/" + "a" * 3_000)) == (414, "uri_too_long")
    assert answer(http.get("/healthz?" + "a" * 5_000)) == (414, "uri_too_long")


def test_a_body_at_the_limit_is_read_and_one_beyond_is_not(
    http: TestClient, company: Running
) -> None:
    headers = {**company.bearer(), "Content-Type": "application/json"}
    at = http.post("/v1/calls", content=b" " * LIMIT, headers=headers)
    assert answer(at) == (400, "not_json")
    beyond = http.post("/v1/calls", content=b" " * (LIMIT + 1), headers=headers)
    assert answer(beyond) == (413, "too_large")
    assert beyond.headers["connection"] == "close"


def test_an_unannounced_body_is_cut_off_at_the_limit(http: TestClient, company: Running) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 65_536

    headers = {**company.bearer(), "Content-Type": "application/json"}
    assert answer(http.post("/v1/calls", content=endless(), headers=headers)) == (413, "too_large")


def test_an_announced_hundred_megabytes_is_refused_before_it_is_sent(
    tmp_path: Path,
) -> None:
    with served(tmp_path / "home") as company:
        head = raw_request(company.url, b"POST /v1/calls HTTP/1.1\r\nContent-Length: 104857600\r\n")
        assert b" 413 " in head


def test_a_body_that_never_comes_is_given_up(tmp_path: Path) -> None:
    del tmp_path

    async def never() -> Message:
        await asyncio.sleep(3_600)
        raise AssertionError

    status, body = asyncio.run(through(edge(body_seconds=0.05), method="POST", receive=never))
    assert (status, json.loads(body)["code"]) == (408, "slow_body")


def test_whoever_leaves_while_sending_is_not_answered() -> None:
    async def leave() -> Message:
        return {"type": "http.disconnect"}

    status, _ = asyncio.run(through(edge(), method="POST", receive=leave))
    assert status is None


def test_what_is_behind_gets_the_whole_body_and_then_the_connection() -> None:
    pieces: Iterator[Message] = iter(
        [
            {"type": "http.request", "body": b"a", "more_body": True},
            {"type": "http.request", "body": b"b", "more_body": False},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> Message:
        return next(pieces)

    seen: list[Message] = []

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        seen.extend([await receive(), await receive()])

    wall = Edge(app, origin="https://a.example", max_bytes=10)
    asyncio.run(through(wall, method="POST", receive=receive))
    assert seen == [
        {"type": "http.request", "body": b"ab", "more_body": False},
        {"type": "http.disconnect"},
    ]


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"\xd9\xa3", b" 1", b"0x10"])
def test_a_length_that_is_no_number_is_refused(length: bytes) -> None:
    status, body = asyncio.run(
        through(edge(), method="POST", headers=[(b"content-length", length)])
    )
    assert (status, json.loads(body)["code"]) == (400, "content_length")


def test_a_length_of_thousands_of_digits_is_too_large() -> None:
    status, _ = asyncio.run(
        through(edge(), method="POST", headers=[(b"content-length", b"9" * 5_000)])
    )
    assert status == 413


def test_an_error_that_nobody_foresaw_says_nothing_and_is_logged_without_its_text() -> None:
    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise RuntimeError("canary-7781")

    written = io.StringIO()
    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(written),
        cache_logger_on_first_use=False,
    )
    try:
        wall = Edge(broken, origin="https://a.example", max_bytes=10)
        status, body = asyncio.run(through(wall))
    finally:
        structlog.configure(**before)
    assert (status, json.loads(body)["code"]) == (500, "unexpected")
    logged = json.loads(written.getvalue())
    assert (logged["event"], logged["error"]) == ("unexpected", "RuntimeError")
    assert "broken" in logged["where"][-1]
    assert "canary" not in written.getvalue() + body.decode()


def test_every_answer_carries_what_a_browser_needs_to_be_told(http: TestClient) -> None:
    for path in ("/.well-known/jwks.json", "/nothing", "/v1/people/keys"):
        headers = http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/requests/%00", 404, "not_found"),
        ("GET", "/v1/requests/%ff%fe", 404, "not_found"),
        ("GET", "/v1/requests/..%2f..%2fetc", 404, "not_found"),
        ("GET", "/v1/requests/\u00fcber", 404, "not_found"),
        ("GET", "/log/tile/%00", 404, "not_found"),
        ("DELETE", "/v1/calls", 405, "method_not_allowed"),
        ("PUT", "/healthz", 405, "method_not_allowed"),
        ("TRACE", "/v1/calls", 405, "method_not_allowed"),
        ("OPTIONS", "/v1/calls", 405, "method_not_allowed"),
    ],
)
def test_what_leads_nowhere_is_a_problem(
    http: TestClient, company: Running, *, method: str, path: str, status: int, code: str
) -> None:
    response = http.request(method, path, headers=company.bearer())
    assert answer(response) == (status, code)
    assert status != 405 or response.headers["allow"]


@pytest.mark.parametrize("path", ["/healthz", "/.well-known/jwks.json", "/nothing", "/signin"])
def test_head_is_get_without_the_content(http: TestClient, path: str) -> None:
    got, asked = http.get(path), http.head(path)
    assert asked.status_code == got.status_code
    assert asked.headers["content-type"] == got.headers["content-type"]
    assert asked.content == b""


@pytest.mark.parametrize("wait", ["-1", "61", "x", "1.5", "", "9" * 400])
def test_a_wait_that_is_none_is_refused(http: TestClient, company: Running, wait: str) -> None:
    response = http.get(f"/v1/requests/req_{'a' * 26}?wait={wait}", headers=company.bearer())
    assert answer(response) == (422, "invalid")
    assert response.json()["place"] == "query /wait"


def edge(origin: str = "https://a.example", **options: Any) -> Edge:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return Edge(app, origin=origin, max_bytes=LIMIT, **options)


async def through(
    wall: Edge,
    *,
    method: str = "GET",
    host: bytes = b"a.example",
    headers: list[tuple[bytes, bytes]] | None = None,
    receive: Callable[[], Awaitable[Message]] | None = None,
) -> tuple[int | None, bytes]:
    """Send one request through the wall and return its status and body."""

    async def empty() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(b"host", host), *(headers or [])],
    }
    await wall(scope, receive or empty, send)
    status = sent[0]["status"] if sent else None
    return status, b"".join(message.get("body", b"") for message in sent)


def raw_request(url: str, head: bytes) -> bytes:
    """Send the head of a request and nothing of its body; return the head of the answer."""
    parts = urlsplit(url)
    with socket.create_connection(("127.0.0.1", parts.port or 80), timeout=30) as connection:
        connection.sendall(head + f"Host: {parts.netloc}\r\n\r\n".encode())
        with contextlib.suppress(ConnectionResetError):
            return connection.recv(4_096)
    return b""
