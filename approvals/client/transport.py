"""One exchange with the service, bounded in bytes and in seconds, blocking or on an event loop.

TLS unless the service is on this machine; no redirect is followed, because the bearer token would
go with it; nothing compressed is read, because a small answer could unfold into a huge one.

Connections belong to one process and, where they are asynchronous, to one event loop. After a fork
the child opens its own: two processes on one connection would read each other's answers.
"""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from typing import TYPE_CHECKING, Final, cast

import httpx2

from approvals.client.answers import problem
from approvals.client.errors import OutcomeUnknown, ServiceAway, ServiceError
from approvals.client.steps import Pause
from approvals.core import canonical
from approvals.core.addresses import urls

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from approvals.client.steps import Send, Step
    from approvals.core.canonical import Json

# Nothing of the request has reached anybody; after any other failure it may have been done.
_NEVER_SENT: Final = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
    httpx2.ProxyError,
)
# Every call that waits for people holds a connection: a limit would let the next ones not even ask.
_LIMITS: Final = httpx2.Limits(max_connections=None, max_keepalive_connections=20)


class Transport:
    """The connections of blocking callers to one service. Safe to share between threads."""

    def __init__(self, url: str, *, http: httpx2.Client | None, bearer: Callable[[], str]) -> None:
        """Prepare, without connecting; raises `ValueError` for an address that is not safe."""
        self.url = urls.origin(url).origin
        self._bearer = bearer
        self._given = http
        self._given_in = os.getpid()
        self._own: dict[int, httpx2.Client] = {}
        self._closed = False

    def close(self) -> None:
        """Give the connections of this process back. Nothing can be sent afterwards."""
        self._closed = True
        if self._given is not None:
            self._given.close()
        own = self._own.pop(os.getpid(), None)
        if own is not None:
            own.close()

    def perform(self, step: Step) -> bytes:
        """Do one step of a plan."""
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return b""
        http = self._http()
        exchange = _Exchange(self.url, step)
        request = exchange.request(http, self._bearer)
        try:
            response = http.send(request, stream=True, follow_redirects=False)
            try:
                exchange.begin(response)
                for chunk in response.iter_raw():
                    exchange.take(chunk)
            finally:
                response.close()
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise exchange.lost(error) from error
        return exchange.answer(response)

    def _http(self) -> httpx2.Client:
        pid = os.getpid()
        if self._given is not None:
            if pid != self._given_in:
                raise _forked()
            if self._given.is_closed:
                raise _closed()
            return self._given
        if self._closed:
            raise _closed()
        own = self._own.get(pid)
        if own is None:
            # A parent's client stays where it is: closing it would end the parent's connections.
            made = httpx2.Client(trust_env=_trusts_environment(self.url), limits=_LIMITS)
            own = self._own.setdefault(pid, made)
        return own


class AsyncTransport:
    """The connections of coroutines to one service, a set of them for each event loop."""

    def __init__(
        self, url: str, *, http: httpx2.AsyncClient | None, bearer: Callable[[], str]
    ) -> None:
        """Prepare, without connecting; raises `ValueError` for an address that is not safe."""
        self.url = urls.origin(url).origin
        self._bearer = bearer
        self._given = http
        self._given_in = os.getpid()
        self._own: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _OfLoop]
        self._own = weakref.WeakKeyDictionary()

    async def close(self) -> None:
        """Give the connections of this event loop back; those of others end with their loops."""
        if self._given is not None:
            await self._given.aclose()
        own = self._own.get(asyncio.get_running_loop())
        if own is not None:
            await own.end.aclose()

    async def perform(self, step: Step) -> bytes:
        """Do one step of a plan."""
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return b""
        http = await self._http()
        exchange = _Exchange(self.url, step)
        request = exchange.request(http, self._bearer)
        try:
            response = await http.send(request, stream=True, follow_redirects=False)
            try:
                exchange.begin(response)
                async for chunk in response.aiter_raw():
                    exchange.take(chunk)
            finally:
                await response.aclose()
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise exchange.lost(error) from error
        return exchange.answer(response)

    async def _http(self) -> httpx2.AsyncClient:
        pid = os.getpid()
        if self._given is not None:
            if pid != self._given_in:
                raise _forked()
            return self._given
        loop = asyncio.get_running_loop()
        own = self._own.get(loop)
        if own is None or own.pid != pid or own.http.is_closed:
            http = httpx2.AsyncClient(trust_env=_trusts_environment(self.url), limits=_LIMITS)
            own = self._own[loop] = _OfLoop(pid, http, self._until_the_loop_ends(loop, http))
            await anext(own.end)
        return own.http

    async def _until_the_loop_ends(
        self, loop: asyncio.AbstractEventLoop, http: httpx2.AsyncClient
    ) -> AsyncGenerator[None]:
        """A loop that ends closes its generators, and this one closes the loop's connections."""
        try:
            yield
        finally:
            held = self._own.get(loop)
            if held is not None and held.http is http:
                del self._own[loop]
            await http.aclose()


class _OfLoop:
    """The connections of one event loop in one process, and what closes them."""

    __slots__ = ("end", "http", "pid")

    def __init__(self, pid: int, http: httpx2.AsyncClient, end: AsyncGenerator[None]) -> None:
        self.pid = pid
        self.http = http
        self.end = end


class _Exchange:
    """One request and as much of its answer as has come."""

    def __init__(self, url: str, send: Send) -> None:
        self._url = url
        self._send = send
        self._body = bytearray()
        self._end = time.monotonic() + send.hold + 1.5 * send.answer_within

    def request(
        self, http: httpx2.Client | httpx2.AsyncClient, bearer: Callable[[], str]
    ) -> httpx2.Request:
        send = self._send
        headers = {"Accept-Encoding": "identity", **send.headers}
        if send.named:
            headers["Authorization"] = f"Bearer {bearer()}"
        content = None
        if send.body is not None:
            content = canonical.encode(cast("Json", send.body))
            headers["Content-Type"] = "application/json"
        timeout = httpx2.Timeout(
            connect=5.0, read=send.hold + send.answer_within, write=20.0, pool=20.0
        )
        return http.build_request(
            send.method, self._url + send.path, content=content, headers=headers, timeout=timeout
        )

    def begin(self, response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise ServiceError(
                "the answer is compressed, which was not asked for",
                code="answer",
                status=response.status_code,
            )

    def take(self, chunk: bytes) -> None:
        self._body += chunk
        if len(self._body) > self._send.limit:
            raise ServiceError(
                f"the answer is larger than {self._send.limit} bytes", code="answer", status=200
            )
        if time.monotonic() > self._end:
            raise OutcomeUnknown(f"the service at {self._url} did not finish its answer")

    def answer(self, response: httpx2.Response) -> bytes:
        body = bytes(self._body)
        if response.status_code in self._send.expected:
            return body
        raise problem(response.status_code, body, retry_after=response.headers.get("retry-after"))

    def lost(self, error: Exception) -> ServiceAway:
        kind = ServiceAway if isinstance(error, _NEVER_SENT) else OutcomeUnknown
        return kind(f"the service at {self._url} cannot be reached: {type(error).__name__}")


def _trusts_environment(url: str) -> bool:
    # A proxy from the environment has no business between two processes on one machine.
    return not urls.origin(url).is_loopback


def _forked() -> ServiceAway:
    return ServiceAway(
        "the HTTP client that was given to this client belongs to the process before the fork; "
        "make the client in each process, or give it none"
    )


def _closed() -> ServiceAway:
    return ServiceAway("this client has been closed")
