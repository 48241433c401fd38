"""webhooks.yaml: the hosts that may be told of requests, and of what.

A hook's address is read by people in a review and by a program at run time, and both must see the
same host: `approvals.core.addresses.hooks` is what reads it here and where it is posted to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.core.addresses import hooks as hook_address
from approvals.core.addresses.urls import UrlError
from approvals.core.registry import HOOK_EVENTS, Hook

if TYPE_CHECKING:
    from approvals.policy.bundle.cursor import Cursor


def read_hooks(file: Cursor) -> dict[str, Hook]:
    """Hooks by name."""
    hooks: dict[str, Hook] = {}
    if not file.expect_members(required=("hooks",)) or not file.has("hooks"):
        return hooks
    for name, hook in file.at("hooks").entries():
        hook.expect_members(required=("url", "events"))
        url, events = hook.text("url"), hook.texts("events")
        if url:
            _check_url(hook.at("url"), url)
        for index, event in enumerate(events):
            if event not in HOOK_EVENTS:
                known = ", ".join(HOOK_EVENTS)
                hook.at("events", index).wrong("bad_value", f"{event!r} is not one of {known}")
        if hook.has("events") and not events:
            hook.at("events").wrong("bad_value", "a hook that is told nothing is of no use")
        hooks[name] = Hook(name=name, url=url, events=tuple(sorted(events)))
    return hooks


def _check_url(place: Cursor, url: str) -> None:
    try:
        hook_address.read(url)
    except UrlError as error:
        place.wrong("bad_url", error.message)
