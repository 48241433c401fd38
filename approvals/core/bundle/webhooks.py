"""webhooks.yaml: the hosts that may be told of requests, and of what.

A hook's address is read by people in a review and by a URL parser at run time, and both must see
the same host. So an address has one plain form: https, or http to the machine itself; a DNS name in
ASCII or a loopback address; nothing before the host that could pass for one (`https://a@b/`), and
no other IP address, which would reach past names into a network (also as `2130706433`, `0x7f.1`).
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from approvals.core.registry import HOOK_EVENTS, Hook

if TYPE_CHECKING:
    from approvals.core.bundle.cursor import Cursor

_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+([/?][A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?", re.ASCII)
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"({_LABEL}\.)*{_LABEL}", re.ASCII)
# What ends in a number is an IPv4 address to a browser and to inet_aton, however it is written.
_NUMBER = re.compile(r"([0-9]+|0x[0-9a-f]*)", re.ASCII)
_LONGEST_NAME = 253


def read_hooks(file: Cursor) -> dict[str, Hook]:
    """Hooks by name."""
    hooks: dict[str, Hook] = {}
    if not file.expect_members(required=("hooks",)) or not file.has("hooks"):
        return hooks
    for name, hook in file.at("hooks").entries():
        hook.expect_members(required=("url", "events"))
        url, events = hook.text("url"), hook.texts("events")
        why = _fault(url) if url else None
        if why is not None:
            hook.at("url").wrong("bad_url", why)
        for index, event in enumerate(events):
            if event not in HOOK_EVENTS:
                known = ", ".join(HOOK_EVENTS)
                hook.at("events", index).wrong("bad_value", f"{event!r} is not one of {known}")
        if hook.has("events") and not events:
            hook.at("events").wrong("bad_value", "a hook that is told nothing is of no use")
        hooks[name] = Hook(name=name, url=url, events=tuple(sorted(events)))
    return hooks


def _fault(url: str) -> str | None:
    """What keeps this from being a hook's address."""
    if not _URL.fullmatch(url):
        return "an address is https, a host and a path, without credentials or a fragment"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        port = 0
    if port == 0:
        return "the port is not one"
    if host == "localhost" or _is_loopback(host):
        return None
    if ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]):
        return "an address names its host; no IP address but a loopback one"
    if not _NAME.fullmatch(host) or len(host) > _LONGEST_NAME:
        return f"{host!r} is not a host's name"
    return None if parts.scheme == "https" else "http would send a notice in the clear: use https"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
