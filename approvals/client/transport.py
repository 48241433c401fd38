"""One exchange with the service, bounded in bytes and in seconds.

TLS unless the service is on this machine; no redirect is followed, because the bearer token would
go with it; nothing compressed is read, because a small answer could unfold into a huge one.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final, cast

import httpx2

from approvals.client.answers import MAX_ANSWER, problem
from approvals.client.errors import ServiceAway, ServiceError
from approvals.core import canonical, urls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.canonical import Json

ATTEMPTS: Final = 3
"""How often what is safe to repeat is sent while the service is away."""

FIRST_PAUSE: Final = 0.1

_ANSWER_TIME: Final = 30.0
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,200}", re.ASCII)


class Transport:
    """The connections to one service. Safe to share between threads."""

    def __init__(self, url: str, *, http: httpx2.Client | None) -> None:
        """Prepare, without connecting; raises `ValueError` for an address that is not safe."""
        address = urls.origin(url)
        self.url = address.origin
        # A proxy from the environment has no business between two processes on one machine.
        self._http = http or httpx2.Client(trust_env=not address.is_loopback)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        expected: tuple[int, ...],
        body: Mapping[str, Json] | None = None,
        headers: Mapping[str, str] | None = None,
        attempts: int = 1,
        hold: float = 0.0,
        limit: int = MAX_ANSWER,
    ) -> bytes:
        """Send one request, up to `attempts` times while the service is away."""
        sent = {"Accept-Encoding": "identity", **(headers or {})}
        content = None
        if body is not None:
            content = canonical.encode(cast("Json", body))
            sent["Content-Type"] = "application/json"
        timeout = httpx2.Timeout(connect=5.0, read=hold + 20.0, write=20.0, pool=20.0)
        request = self._http.build_request(
            method, self.url + path, content=content, headers=sent, timeout=timeout
        )
        pause = FIRST_PAUSE
        while True:
            attempts -= 1
            try:
                status, answer = self._exchange(
                    request, limit=limit, time_limit=hold + _ANSWER_TIME
                )
                if status in expected:
                    return answer
                raise problem(status, answer)
            except ServiceAway:
                if attempts <= 0:
                    raise
            time.sleep(pause)
            pause *= 4

    def _exchange(
        self, request: httpx2.Request, *, limit: int, time_limit: float
    ) -> tuple[int, bytes]:
        """Send and read the whole answer within `limit` bytes and `time_limit` seconds."""
        end = time.monotonic() + time_limit
        try:
            response = self._http.send(request, stream=True, follow_redirects=False)
            try:
                if response.headers.get("content-encoding", "identity") != "identity":
                    raise ServiceError(
                        "the answer is compressed, which was not asked for",
                        code="answer",
                        status=response.status_code,
                    )
                body = bytearray()
                for chunk in response.iter_raw():
                    body += chunk
                    if len(body) > limit:
                        raise ServiceError(
                            f"the answer is larger than {limit} bytes",
                            code="answer",
                            status=response.status_code,
                        )
                    if time.monotonic() > end:
                        raise ServiceAway(f"the service did not finish its answer: {request.url}")
                return response.status_code, bytes(body)
            finally:
                response.close()
        except httpx2.HTTPError as error:
            raise ServiceAway(
                f"the service at {self.url} cannot be reached: {type(error).__name__}"
            ) from error


def segment(identifier: str) -> str:
    """Return an id that can stand in a path, or raise `ValueError`.

    Quoting would not do: servers decode %2F before they route, and an id could reach another route.
    """
    if _ID.fullmatch(identifier) is None:
        raise ValueError(f"not an id: {identifier!r}")
    return identifier
