"""One line of the log for each request, without payload and without names.

A line holds the method, the route as it is declared (never the path, which can hold a token), the
status, the code of a refusal, how long it took, the enforcer, and the ids of requests, verdicts and
approvals. Of a 401 it holds the reason, which the caller is not told: `why` of the error.

Probes and scrapes that went well have no line.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson
import structlog
from starlette.datastructures import Headers

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from approvals.api.metrics import Metrics

_KEY: Final = "assent.account"
_ID: Final = re.compile(r"(?:req|vrd|apr)_[a-z2-7]{26}", re.ASCII)
_QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics"})
_SUCCESS: Final = 400
_MOST_BODY: Final = 65_536
UNROUTED: Final = "-"

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Account:
    """What is told of one request, filled while it is answered."""

    enforcer: str | None = None
    why: str | None = None
    ids: set[str] = field(default_factory=set)
    route: str = UNROUTED
    status: int = 0
    code: str | None = None

    def about(self, subject: str | None) -> None:
        """The request concerns this request, verdict or approval."""
        if subject is not None and _ID.fullmatch(subject):
            self.ids.add(subject)


def account_of(request: Request) -> Account:
    """The account of a request; one that nobody reads where there is none."""
    found = request.scope.get(_KEY)
    return found if isinstance(found, Account) else Account()


class Accounts:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        """Tell of the requests to `app`."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request be answered, and tell of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        account = scope[_KEY] = Account()
        begun = time.perf_counter()
        try:
            await self._app(scope, receive, _noting(account, send))
        finally:
            seconds = time.perf_counter() - begun
            self._metrics.answered(
                method=scope["method"],
                route=account.route,
                status=account.status,
                seconds=seconds,
                code=account.code,
            )
            if account.status >= _SUCCESS or account.status == 0 or account.route not in _QUIET:
                _tell(scope["method"], account, seconds)


class Routed:
    """ASGI middleware around the routes alone: it notes which of them was taken."""

    def __init__(self, app: ASGIApp) -> None:
        """Note the routes of `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request be routed, and note where to."""
        account = scope.get(_KEY)
        try:
            await self._app(scope, receive, send)
        finally:
            if isinstance(account, Account):
                account.route = str(getattr(scope.get("route"), "path", UNROUTED))
                for value in scope.get("path_params", {}).values():
                    account.about(value if isinstance(value, str) else None)


def _noting(account: Account, send: Send) -> Send:
    refusing = False

    async def noted(message: Message) -> None:
        nonlocal refusing
        if message["type"] == "http.response.start":
            account.status = message["status"]
            kind = Headers(raw=message.get("headers", [])).get("content-type", "")
            refusing = kind.startswith("application/problem+json")
        elif refusing and message["type"] == "http.response.body":
            refusing = False
            account.code = _code(message.get("body", b""))
        await send(message)

    return noted


def _code(body: bytes) -> str | None:
    """The code of a problem of ours; nothing else of it is read."""
    if not body or len(body) > _MOST_BODY:
        return None
    code = orjson.loads(body).get("code")
    return code if isinstance(code, str) else None


def _tell(method: str, account: Account, seconds: float) -> None:
    told = {
        "code": account.code,
        "enforcer": account.enforcer,
        "ids": sorted(account.ids) or None,
        "why": account.why,
    }
    _log.info(
        "request",
        method=method,
        route=account.route,
        status=account.status,
        ms=round(seconds * 1000, 1),
        **{name: value for name, value in told.items() if value is not None},
    )
