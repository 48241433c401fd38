"""Addresses that this project connects to or is reached at, each in one plain form.

A person reads an address in a review, one program checks it, another connects to it, and all must
see the same host. Lenient URL parsers differ: they accept credentials before a host
(`https://a@b/`), many spellings of an IP address (`127.1`, `2130706433`, `0x7f.1`) and an empty
port. So one pattern reads an address whole, and it has one plain form:

- scheme and host in lower case; http and ws only to this machine;
- a DNS name in ASCII without a trailing dot, four plain numbers, or an IPv6 address in brackets in
  its shortest form (RFC 5952);
- nothing before the host, and no fragment.

`origin` is for addresses that operators type: it gives them the plain form that a browser would.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from approvals.core.errors import AssentError

if TYPE_CHECKING:
    from collections.abc import Collection

DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_WEB: Final = frozenset({"http", "https"})
_PLAIN: Final = frozenset({"http", "ws"})
_LAST_PORT: Final = 65535
_LONGEST_NAME: Final = 253

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME: Final = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}", re.ASCII)
# What ends in a number is an IPv4 address to a browser and to inet_aton (WHATWG URL, section 3.5).
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_URL: Final = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>[/?][A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?",
    re.ASCII,
)
_AUTHORITY: Final = re.compile(r"[A-Za-z]+://[^/?#]*")


class UrlError(AssentError, ValueError):
    """This is not an address in its plain form; the message says what is wrong."""

    default_code = "url"


@dataclass(frozen=True, slots=True)
class Url:
    """An address in its plain form. `host` has no brackets; `path` is empty, `/…` or `?…`."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def is_tls(self) -> bool:
        """Whether the connection is private."""
        return self.scheme not in _PLAIN

    @property
    def is_loopback(self) -> bool:
        """Whether this is the machine itself."""
        return is_loopback(self.host)

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP address rather than a name."""
        return _address(self.host) is not None

    @property
    def authority(self) -> str:
        """Host and port as in a `Host` header: the port only where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def target(self) -> str:
        """What is asked for in the request line: path and query."""
        return self.path if self.path.startswith("/") else f"/{self.path}"

    @property
    def origin(self) -> str:
        """Scheme, host and port, as a browser serialises an origin."""
        return f"{self.scheme}://{self.authority}"


def read(text: str, *, schemes: Collection[str] = _WEB) -> Url:
    """Read an address that is in its plain form.

    Raises:
        UrlError: it is not.
    """
    found = _URL.fullmatch(text)
    if found is None or found["scheme"] not in schemes:
        raise UrlError(
            "must be like https://name.example/path: https, a host in lower-case ASCII, nothing "
            "before it and no fragment"
        )
    host = found["host"].strip("[]")
    if not is_host(host) or (":" in host) != found["host"].startswith("["):
        raise UrlError(f"{host!r} is not a host's name or address in its plain form")
    scheme = found["scheme"]
    port = int(found["port"] or DEFAULT_PORTS[scheme])
    if not 0 < port <= _LAST_PORT:
        raise UrlError(f"there is no port {port}")
    if scheme in _PLAIN and not is_loopback(host):
        raise UrlError(f"use {scheme}s: what goes to another machine must not go in the clear")
    return Url(scheme=scheme, host=host, port=port, path=found["path"] or "")


def origin(text: str) -> Url:
    """Read an address that an operator typed: scheme, host and port in any case, a slash at most.

    Raises:
        UrlError: it is more than an origin, or not an address.
    """
    if not text.isascii():
        raise UrlError("write an international host name in its xn-- form")
    authority = _AUTHORITY.match(text)
    end = authority.end() if authority else 0
    url = read(text[:end].lower() + text[end:])
    if url.path not in {"", "/"}:
        raise UrlError(
            "must be like https://name.example: scheme, host and port only, no path and no query"
        )
    return Url(scheme=url.scheme, host=url.host, port=url.port, path="")


def is_host(text: str) -> bool:
    """Whether this is a host in its plain form: a DNS name, or an IP address without brackets."""
    address = _address(text)
    if address is not None:
        return str(address) == text and getattr(address, "scope_id", None) is None
    return is_name(text)


def is_name(text: str) -> bool:
    """Whether this is a DNS name in lower-case ASCII, of one label or several."""
    return (
        len(text) <= _LONGEST_NAME
        and _NAME.fullmatch(text) is not None
        and _NUMBER.fullmatch(text.rpartition(".")[2]) is None
    )


def is_loopback(host: str) -> bool:
    """Whether a host in its plain form is this machine: `localhost`, `127.…` or `::1`."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
