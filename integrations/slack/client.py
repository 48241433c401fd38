"""Slack's Web API through slack_sdk, with bounds that the SDK leaves open.

What holds: a call takes seconds, also where the answer drips; no redirect is followed, since the
SDK's transport would carry the token along to wherever it leads; an answer is at most a mebibyte
and is a JSON object, or counts as nonsense; every way in which a call fails is a `SlackError`; no
message and no token is in a log.
"""

from __future__ import annotations

import json
import logging
import re
import time
from http.client import HTTPException
from typing import IO, TYPE_CHECKING, Any, Final, cast
from urllib.error import HTTPError
from urllib.request import (
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web import WebClient

from approvals.core.addresses import urls
from approvals.core.errors import AssentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from http.client import HTTPMessage, HTTPResponse

    from slack_sdk.web import SlackResponse

SLACK_API: Final = "https://slack.com/api/"
CALL_SECONDS: Final = 5
LARGEST_ANSWER: Final = 1_048_576
LONGEST_WAIT: Final = 900
DEFAULT_WAIT: Final = 30

_CHUNK: Final = 65_536
_DIGITS: Final = 4
_ERROR = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_TOO_MANY: Final = 429
_OK: Final = 200
_NONSENSE: Final = '{"ok": false, "error": "nonsense"}'

# The SDK tells a logger at DEBUG what it sends.
quiet: Final = logging.getLogger("assent.slack")
quiet.setLevel(logging.CRITICAL)


class SlackError(AssentError):
    """A call failed: `error` is Slack's own word for it, or ours where there is none.

    Ours are `away` (no answer), `status_…` and `nonsense`. `after` is in how many seconds Slack
    wants to be asked again, where it said so.
    """

    default_code = "slack"

    def __init__(self, error: str, *, after: int | None = None) -> None:
        super().__init__("Slack did not do what it was asked", code=f"slack_{error}")
        self.error = error
        self.after = after


def web_client(token: str, api_url: str = SLACK_API) -> WebClient:
    """A client of the SDK within these bounds; calls through it go through `ask`."""
    client = _Bounded(
        token=token,
        base_url=api_url,
        timeout=CALL_SECONDS,
        # A retry belongs to the outbox, which remembers it, and not to a thread that sleeps.
        retry_handlers=[],
        logger=quiet,
    )
    if not urls.read(api_url).is_tls:
        client.proxy = None  # a counterpart on this machine is not asked for through a proxy
    return client


def ask(method: Callable[..., SlackResponse], **arguments: Any) -> Mapping[str, Any]:
    """Call a method of the SDK's client; gives Slack's answer, which said ok.

    Raises:
        SlackError: anything else.
    """
    try:
        answer = method(**arguments)
    except SlackApiError as error:
        raise _refused(error) from error
    except (OSError, HTTPException, SlackClientError) as error:
        raise SlackError("away") from error
    return cast("Mapping[str, Any]", answer.data)


def post_json(url: str, body: Mapping[str, Any], *, proxy: str | None = None) -> None:
    """POST JSON to an address that was checked before; what comes back is of no interest.

    Raises:
        SlackError: it did not arrive.
    """
    request = Request(  # noqa: S310 - the scheme was checked with the rest of the address
        url,
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json; charset=utf-8"},
        method="POST",
    )
    try:
        answer = _exchange(_opener(proxy), request)
    except (OSError, HTTPException) as error:
        raise SlackError("away") from error
    if answer["status"] != _OK:
        raise SlackError(f"status_{answer['status']}")


class _Bounded(WebClient):
    """The SDK's client with another way of doing the one exchange that every call comes down to."""

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        del url  # it is the request's own
        answer = _exchange(_opener(self.proxy, https=HTTPSHandler(context=self.ssl)), req)
        if not _is_object(answer["body"]):
            # Whatever it is, the SDK would trip over it in one of several ways.
            answer["body"] = _NONSENSE
        return answer


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(  # noqa: PLR0917 - urllib's signature
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> Request | None:
        """Follow nothing: the answer is the redirect, which is no answer."""
        del req, fp, code, msg, headers, newurl
        return None


def _opener(proxy: str | None, *, https: HTTPSHandler | None = None) -> OpenerDirector:
    proxies = {} if proxy is None else {"http": proxy, "https": proxy}
    return build_opener(ProxyHandler(proxies), _NoRedirect(), https or HTTPSHandler())


def _exchange(opener: OpenerDirector, request: Request) -> dict[str, Any]:
    deadline = time.monotonic() + CALL_SECONDS
    try:
        answer = cast("HTTPResponse", opener.open(request, timeout=CALL_SECONDS))
    except HTTPError as error:
        answer = cast("HTTPResponse", error)
    with answer:
        return {
            "status": answer.status,
            "headers": dict(answer.headers.items()),
            "body": _body(answer, deadline),
        }


def _body(answer: HTTPResponse, deadline: float) -> str:
    """What was answered, as far as it came in time and in size; nonsense makes nothing of it."""
    body = bytearray()
    while chunk := answer.read1(_CHUNK):
        body += chunk
        if len(body) > LARGEST_ANSWER or time.monotonic() > deadline:
            raise TimeoutError("the answer is too long, or too long in coming")
    return body.decode("utf-8", "replace")


def _is_object(body: str) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def _refused(error: SlackApiError) -> SlackError:
    answer = error.response
    if answer.status_code == _TOO_MANY:
        return SlackError("ratelimited", after=_wait(answer.headers))
    if answer.status_code != _OK:
        return SlackError(f"status_{answer.status_code}")
    word = answer.get("error")
    if not isinstance(word, str) or not _ERROR.fullmatch(word):
        word = "nonsense"
    return SlackError(word, after=_wait(answer.headers) if word == "ratelimited" else None)


def _wait(headers: Mapping[str, str]) -> int:
    for name, value in headers.items():
        if name.lower() == "retry-after" and value.isascii() and value.isdigit():
            # Compared by length of the text first: thousands of digits are not made a number.
            short = value.lstrip("0")
            return min(int(short or "1"), LONGEST_WAIT) if len(short) <= _DIGITS else LONGEST_WAIT
    return DEFAULT_WAIT
