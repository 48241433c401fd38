"""Where a webhook may go: one way to write an address, and which networks are never reached.

The service stands inside networks that the world does not. Whoever could make it post to an address
of their choice would reach what only it can: metadata services, databases, its own loopback. So:

- A hook's address is read by `approvals.core.addresses.hooks`, as in the bundle's check: its host
  is a name and no form of an IP address.
- What the name resolves to is global unicast, and by itself: an address that carries another in it
  (mapped, compatible, NAT64, 6to4, Teredo) is refused, whichever it carries.
- The one exception is this machine, where the hook says so in its address and the service itself
  is one that is only reached from this machine: to try things out.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final

from approvals.core.addresses import hooks as hook_address
from approvals.core.addresses.urls import UrlError
from approvals.core.errors import AssentError

if TYPE_CHECKING:
    from approvals.core.addresses.urls import Url

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


def target(text: str, *, loopback: bool) -> Url:
    """Read a hook's address; `loopback` is whether the service itself is on loopback.

    Raises:
        HookRefused: `hook_url`, with what is wrong.
    """
    try:
        url = hook_address.read(text)
    except UrlError as error:
        raise HookRefused(error.message, code="hook_url") from error
    if url.is_loopback and not loopback:
        raise HookRefused("this machine, from a service that others reach", code="hook_url")
    return url


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
