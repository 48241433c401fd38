"""Where a webhook may go: one way to write an address, and which networks are never reached.

The service stands inside networks that the world does not. Whoever could make it post to an address
of their choice would reach what only it can: metadata services, databases, its own loopback. So:

- A hook's host is a DNS name in lower-case ASCII, with nothing before it (`https://a@b/`), no
  trailing dot, and no form of an IP address, of which there are many: `127.1`, `2130706433`,
  `0x7f.1`, `[::ffff:127.0.0.1]`. One pattern reads all of it, not a URL parser that means well.
- What the name resolves to is global unicast, and by itself: an address that carries another in it
  (mapped, compatible, NAT64, 6to4, Teredo) is refused, whichever it carries.
- The one exception is this machine, where the hook says so in its address and the service itself
  is one that is only reached from this machine: to try things out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from approvals.core.errors import AssentError

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_URL: Final = re.compile(
    rf"(?P<scheme>https?)://(?P<host>(?:{_LABEL}\.)*{_LABEL}|\[::1\])(?::(?P<port>[0-9]{{1,5}}))?"
    r"(?P<path>[/?][A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?",
    re.ASCII,
)
# What ends in a number is an IPv4 address to inet_aton, however it is written (WHATWG URL, 3.5).
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_LONGEST_NAME: Final = 253
_PORTS: Final = {"http": 80, "https": 443}
_LAST_PORT: Final = 65535

# IANA's special-purpose registries, and multicast. Spelt out: what a library calls global has
# changed between versions, and it counts multicast in.
_CLOSED_4: Final = tuple(
    map(
        ip_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
            *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24"),
            *("192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24"),
            *("198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            "168.63.129.16/32",  # a cloud's own channel to its machines, public by number only
        ),
    )
)
_OPEN_6: Final = ip_network("2000::/3")
_CLOSED_6: Final = tuple(
    map(
        ip_network,
        # Teredo, ORCHID and benchmarking are in the first; 6to4 is 2002.
        ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
    )
)


class HookRefused(AssentError):  # noqa: N818 - an outcome of looking at an address
    """No notice goes there."""

    default_code = "hook_address"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to post: `host` is a name, or a loopback address where `loopback` is true."""

    host: str
    port: int
    path: str
    tls: bool
    loopback: bool

    @property
    def authority(self) -> str:
        """The Host header: the port only where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = _PORTS["https" if self.tls else "http"]
        return host if self.port == usual else f"{host}:{self.port}"


def target(url: str, *, loopback: bool) -> Target:
    """Read a hook's address; `loopback` is whether the service itself is on loopback.

    Raises:
        HookRefused: `hook_url`, with what is wrong.
    """
    found = _URL.fullmatch(url)
    if found is None:
        raise HookRefused("not https, a host's name and a path", code="hook_url")
    host, scheme = found["host"].strip("[]"), found["scheme"]
    port = int(found["port"] or _PORTS[scheme])
    local = _is_loopback(host)
    if not 0 < port <= _LAST_PORT or len(host) > _LONGEST_NAME:
        raise HookRefused("no such port or name", code="hook_url")
    if not local and _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise HookRefused("an IP address, not a name", code="hook_url")
    if local and not loopback:
        raise HookRefused("this machine, from a service that others reach", code="hook_url")
    if scheme == "http" and not local:
        raise HookRefused("http would send a notice in the clear", code="hook_url")
    path = found["path"] or "/"
    return Target(
        host=host,
        port=port,
        path=path if path.startswith("/") else f"/{path}",
        tls=scheme == "https",
        loopback=local,
    )


def check_address(text: str, *, loopback: bool) -> str:
    """The address in one form, if a notice may go there: `loopback` is whether it must be that.

    Raises:
        HookRefused: `hook_address`.
    """
    try:
        address = ip_address(text)
    except ValueError:
        raise HookRefused("what the name resolves to is no address") from None
    if loopback:
        if not address.is_loopback:
            raise HookRefused("a hook on this machine resolves to another")
    elif not _is_public(address):
        raise HookRefused("the name resolves to an address that is not public")
    return str(address)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in closed for closed in _CLOSED_4)
    return (
        address in _OPEN_6
        and address.is_global
        and address.scope_id is None
        and not any(address in closed for closed in _CLOSED_6)
    )


def _is_loopback(host: str) -> bool:
    """`localhost`, or a loopback address written as such: four plain numbers, or `::1`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
