"""What a person sees when a page cannot be shown.

The service has one place that turns errors into statuses and codes (problem+json, RFC 9457). Here
such an answer is drawn as a page when a browser asked for one, with the code small below, so that
it can be read out to whoever runs the service. Programs get the problem unchanged.

What holds: the status is kept; nothing of the request is repeated on the page; who may not see a
thing reads the same page as who asks for a thing that is not there.
"""

import json
import re
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from approvals.web.pages import rendered

_LARGEST = 65_536
_CODE = re.compile(r"[a-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Said:
    """The words for an error: a headline, and what to do."""

    title: str
    advice: str


BY_CODE = {
    "invitation_used": Said(
        "This invitation has been used",
        "It works once. If that was you, sign in with your passkey. If it was not, "
        "tell whoever runs this service now.",
    ),
    "invitation_expired": Said(
        "This invitation has ended", "Ask whoever sent it to you for a new one."
    ),
    "invitation_replaced": Said(
        "There is a newer invitation", "Use the newest one that was sent to you."
    ),
    "unknown_invitation": Said(
        "This invitation is not known here",
        "Open the whole link, as it was sent to you, or ask for a new one.",
    ),
    "signed_out": Said("You are signed out", "Nothing was decided. Sign in to go on."),
    "rate_limited": Said("Too often", "Wait a minute, then try again."),
}
BY_STATUS = {
    403: Said("Not allowed", "You are signed in, but this is not yours to do."),
    404: Said("Nothing here", "There is no such page, or it is not for you."),
    405: Said("Nothing here", "This address cannot be opened in a browser."),
    410: Said("No longer there", "This was here once and has ended."),
    429: Said("Too often", "Wait a minute, then try again."),
    503: Said(
        "Not available just now",
        "Nothing was decided and nothing was lost. Try again in a moment.",
    ),
}
OTHERWISE = Said("That did not work", "Nothing was decided. Go back and try again.")


def said(status: int, code: str) -> Said:
    """The words for an error."""
    return BY_CODE.get(code) or BY_STATUS.get(status, OTHERWISE)


class ErrorPages:
    """ASGI middleware: problem+json becomes a page for a browser that navigates."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; redraw its answer if it is an error that a person will read."""
        if not _a_person_reads(scope):
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def redrawn(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and _is_error(message):
                start = message
                return
            if start is None:
                await send(message)
                return
            body = (body + message.get("body", b""))[:_LARGEST]
            if message.get("more_body", False):
                return
            drawn = _draw(start["status"], body)
            headers = MutableHeaders(raw=[*start["headers"]])
            headers["content-type"] = "text/html; charset=utf-8"
            headers["content-length"] = str(len(drawn))
            await send({**start, "headers": headers.raw})
            await send({"type": "http.response.body", "body": _unless_head(scope, drawn)})

        await self._app(scope, receive, redrawn)


def _a_person_reads(scope: Scope) -> bool:
    return (
        scope["type"] == "http"
        and scope["method"] in {"GET", "HEAD"}
        and "text/html" in Headers(scope=scope).get("accept", "")
    )


def _is_error(message: Message) -> bool:
    kind = Headers(raw=message["headers"]).get("content-type", "")
    return message["status"] >= 400 and kind.startswith(  # noqa: PLR2004 - HTTP's own line
        ("application/problem+json", "application/json")
    )


def _draw(status: int, body: bytes) -> bytes:
    words = said(status, code := _code(body))
    return rendered(
        "error.html",
        {"title": words.title, "advice": words.advice, "status": status, "code": code},
    ).encode()


def _code(body: bytes) -> str:
    """The stable code of a problem, or `error` for what is none of ours."""
    try:
        problem = json.loads(body)
    except ValueError:
        return "error"
    code = problem.get("code") if isinstance(problem, dict) else None
    return code if isinstance(code, str) and _CODE.fullmatch(code) else "error"


def _unless_head(scope: Scope, drawn: bytes) -> bytes:
    return b"" if scope["method"] == "HEAD" else drawn
