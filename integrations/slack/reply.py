"""Answering where Slack says that an answer may be left (`response_url`).

The address comes in a callback. Whoever stole the signing secret can name any: only Slack's own
host, or that of the counterpart which the operator configured, is ever asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from approvals.core.addresses import urls
from approvals.integrations.slack.client import SLACK_API, SlackError, post_json

if TYPE_CHECKING:
    from collections.abc import Mapping

HOOKS: Final = "hooks.slack.com"
_LONGEST: Final = 2_000


def may_answer(url: str, *, api_url: str) -> bool:
    """Whether an answer may be left at this address."""
    if len(url) > _LONGEST:
        return False
    try:
        address = urls.read(url)
    except urls.UrlError:
        return False
    if api_url != SLACK_API and address.origin == urls.read(api_url).origin:
        return True
    return address.origin == f"https://{HOOKS}"


def answer(url: str, body: Mapping[str, Any], *, api_url: str, proxy: str | None) -> bool:
    """Leave an answer; whether it arrived. Nothing depends on it: what was decided is decided."""
    if not may_answer(url, api_url=api_url):
        return False
    try:
        post_json(url, body, proxy=proxy)
    except SlackError:
        return False
    return True
