"""The outermost wall: what it lets through is small, complete, and meant for this service.

In this order, before a byte is parsed: the Host is ours; path and query are short; the body is
within the limit, whether or not its length was announced, and arrives within a time. The body is
then whole in memory, so nothing behind this wall can be fed slowly.

- A page on another name that points at this address (DNS rebinding) gets no answer.
- A hundred megabytes, a body that trickles, a chunked body without end: 413 or 408 and a closed
  connection, in bounded memory.
- An error that nobody foresaw becomes a 500 that says nothing, and one log line without message,
  arguments or body, because those can hold payload.
"""

from __future__ import annotations

import asyncio
import traceback
from typing import TYPE_CHECKING, Final

import structlog
from starlette.datastructures import Headers, MutableHeaders

from approvals.api.problems import problem
from approvals.core.addresses import urls

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_PATH: Final = 2_048
MAX_QUERY: Final = 4_096
BODY_SECONDS: Final = 20.0

PROBES: Final = frozenset({"/healthz", "/metrics", "/readyz"})
"""Asked by address, not by name; they tell nothing that a name would have to protect, or look at
the name themselves (`/metrics`)."""

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_CLOSE: Final = {"Connection": "close"}
_BODILESS: Final = frozenset({"GET", "HEAD"})

_log = structlog.get_logger(__name__)


class Edge:
    """ASGI middleware; wraps everything else."""

    def __init__(
        self, app: ASGIApp, *, origin: str, max_bytes: int, body_seconds: float = BODY_SECONDS
    ) -> None:
        """Guard `app`, which is reached at `origin`."""
        self._app = app
        self._max_bytes = max_bytes
        self._body_seconds = body_seconds
        address = urls.read(origin)
        written_out = f"{address.authority}:{address.port}"
        is_usual = address.port == urls.DEFAULT_PORTS[address.scheme]
        self._hosts = frozenset({address.authority, written_out if is_usual else address.authority})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, without_content=scope["method"] == "HEAD")
        if scope["method"] == "HEAD":
            # RFC 9110 section 9.3.2: as GET, without the content. Said once, for every route.
            scope = {**scope, "method": "GET"}
        try:
            await self._admit(scope, receive, answer.send)
        except Exception as error:  # the last wall: whatever it is, it is not told
            _log.error("unexpected", error=type(error).__name__, where=_where(error))
            if answer.started:
                raise  # half an answer is out: only the connection can still say that it failed
            failed = problem(500, "unexpected", "the service failed; nothing can be said about it")
            await failed(scope, receive, answer.send)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope)
        if refusal is None and _has_body(scope):
            body = await self._whole_body(receive)
            if body is None:
                return  # the caller has gone
            if isinstance(body, bytes):
                receive = _replay(body, receive)
            else:
                refusal = body
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if scope["path"] not in PROBES and (len(hosts) != 1 or hosts[0].lower() not in self._hosts):
            return problem(
                421, "misdirected", "this service does not answer to that Host", headers=_CLOSE
            )
        path = scope.get("raw_path") or scope["path"].encode()
        if len(path) > MAX_PATH or len(scope["query_string"]) > MAX_QUERY:
            return problem(414, "uri_too_long", "the address is too long", headers=_CLOSE)
        announced = headers.get("content-length", "0")
        if not (announced.isascii() and announced.isdigit()):
            return problem(400, "content_length", "Content-Length is no number", headers=_CLOSE)
        # Compared by length of the text first: thousands of digits are not made a number.
        significant = announced.lstrip("0")
        if (
            len(significant) > len(str(self._max_bytes))
            or int(significant or "0") > self._max_bytes
        ):
            return self._too_large()
        return None

    def _too_large(self) -> Response:
        return problem(
            413, "too_large", f"a body has at most {self._max_bytes} bytes here", headers=_CLOSE
        )

    async def _whole_body(self, receive: Receive) -> bytes | Response | None:
        """The body, the answer that refuses it, or None when the caller has gone."""
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > self._max_bytes:
                        return self._too_large()
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            return problem(408, "slow_body", "the body did not arrive in time", headers=_CLOSE)


class _Answer:
    """An answer on its way out: dressed in headers, and known to have begun."""

    def __init__(self, send: Send, *, without_content: bool) -> None:
        self.started = False
        self._send = send
        self._without_content = without_content

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        elif self._without_content and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)


def _has_body(scope: Scope) -> bool:
    if scope["method"] not in _BODILESS:
        return True
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receive that gives the whole body once and is then the connection's own."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return left.pop() if left else await receive()

    return replayed


def _where(error: BaseException) -> list[str]:
    """Name the frames of a traceback and nothing that was in them."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}:{frame.name}" for frame in frames]
