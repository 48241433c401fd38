"""Answering where Slack says that an answer may be left (`response_url`).

The address comes in a callback. Whoever stole the signing secret can name any: only Slack's own
host, or that of the counterpart which the operator configured, is ever asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from integrations.slack.client import SLACK_API, SlackError, post_json

if TYPE_CHECKING:
    from collections.abc import Mapping

HOOKS: Final = "hooks.slack.com"
_LONGEST: Final = 2_000
_HTTPS: Final = 443


def may_answer(url: str, *, api_url: str) -> bool:
    """Whether an answer may be left at this address."""
    if len(url) > _LONGEST or not url.isascii() or not url.isprintable() or "\\" in url:
        return False
    try:
        parts, api = urlsplit(url), urlsplit(api_url)
        port = parts.port
    except ValueError:
        return False
    if parts.username is not None or parts.password is not None or parts.fragment:
        return False
    if api_url != SLACK_API and (parts.scheme, parts.netloc) == (api.scheme, api.netloc):
        return True
    return parts.scheme == "https" and parts.hostname == HOOKS and port in {None, _HTTPS}


def answer(url: str, body: Mapping[str, Any], *, api_url: str, proxy: str | None) -> bool:
    """Leave an answer; whether it arrived. Nothing depends on it: what was decided is decided."""
    if not may_answer(url, api_url=api_url):
        return False
    try:
        post_json(url, body, proxy=proxy)
    except SlackError:
        return False
    return True
