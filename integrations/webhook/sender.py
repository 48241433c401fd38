"""One POST to a registered host, and nothing else: the part that touches the network.

What holds:

- The name is resolved once; every address it has must be allowed, and only those are connected to.
  A name that means another address a moment later (DNS rebinding) is not asked again.
- Over TLS the certificate must be the name's, so that also a wrong answer from DNS reaches nobody.
- No redirect is followed, no proxy is asked, no cookie is kept; each post has its own connection.
- It ends within `WHOLE_SECONDS` and reads at most `MOST_BYTES`, whatever the host does.

The answer's status and `Retry-After` are all that is of interest; its body is not looked at.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from approvals.flow.telling.deliver import SEND_SECONDS
from approvals.integrations.webhook.target import HookRefused, check_address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from approvals.core.addresses.urls import Url

    Resolve: TypeAlias = Callable[[str, int], Sequence[str]]
    Dial: TypeAlias = Callable[[tuple[str, int], float], socket.socket]

MOST_BYTES: Final = 65_536
CONNECT_SECONDS: Final = 5.0
WHOLE_SECONDS: Final = SEND_SECONDS - 10.0  # resolving has time-outs of its own
MOST_ADDRESSES: Final = 3

_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n]*)?\r?\n", re.ASCII)
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
# One repetition and no second way to match: a host chooses what this reads, and `re` holds every
# thread of the process while it tries.
_RETRY_AFTER: Final = re.compile(rb"\nretry-after:([^\r\n]*)\r?\n", re.IGNORECASE)
_LONGEST_END: Final = len(b"\r\n\r\n")
_INFORMATIONAL: Final = range(100, 200)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the host said: the status, and `Retry-After` as it was written."""

    status: int
    retry_after: str | None


def addresses(host: str, port: int) -> list[str]:
    """What the machine's resolver says that a name means."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def dialled(address: tuple[str, int], seconds: float) -> socket.socket:
    """A connection to an address, which is numbers: nothing is resolved here."""
    return socket.create_connection(address, seconds)


def post(
    target: Url,
    headers: Mapping[str, str],
    body: bytes,
    *,
    tls: ssl.SSLContext,
    resolve: Resolve = addresses,
    dial: Dial = dialled,
) -> Answer:
    """Post the body and give the answer.

    Raises:
        HookRefused: `hook_address` where the name leads to an address that is not allowed,
            `hook_unresolved`, `hook_away`, `hook_certificate`, `hook_tls`, `hook_slow`,
            `hook_nonsense`, `hook_too_large`.
    """
    ends = time.monotonic() + WHOLE_SECONDS
    try:
        with _connected(target, tls, _pinned(target, resolve), dial, ends) as connection:
            connection.settimeout(_left(ends))
            connection.sendall(_head(target, headers, len(body)) + body)
            return _answer(connection, ends)
    except TimeoutError:
        raise HookRefused("the host took too long", code="hook_slow") from None
    except ssl.SSLCertVerificationError:
        raise HookRefused("the certificate is not this host's", code="hook_certificate") from None
    except ssl.SSLError:
        raise HookRefused("TLS failed", code="hook_tls") from None
    except OSError:
        raise HookRefused("the host cannot be reached", code="hook_away") from None


def _pinned(target: Url, resolve: Resolve) -> list[str]:
    try:
        found = resolve(target.host, target.port)
    except (OSError, UnicodeError):
        raise HookRefused("the name does not resolve", code="hook_unresolved") from None
    # One that is not allowed refuses them all: a name that means both is not an accident.
    allowed = [check_address(each, loopback=target.is_loopback) for each in found]
    if not allowed:
        raise HookRefused("the name does not resolve", code="hook_unresolved")
    return allowed[:MOST_ADDRESSES]


def _connected(
    target: Url, tls: ssl.SSLContext, pinned: Sequence[str], dial: Dial, ends: float
) -> socket.socket:
    failed: OSError = ConnectionError()
    for address in pinned:
        try:
            plain = dial((address, target.port), min(CONNECT_SECONDS, _left(ends)))
        except OSError as error:
            failed = error
            continue
        if not target.is_tls:
            return plain
        try:
            plain.settimeout(_left(ends))
            return tls.wrap_socket(plain, server_hostname=target.host)
        except OSError:
            plain.close()
            raise
    raise failed


def _head(target: Url, headers: Mapping[str, str], length: int) -> bytes:
    fields = {
        "Host": target.authority,
        **headers,
        "Content-Length": str(length),
        "Connection": "close",
    }
    lines = [f"POST {target.target} HTTP/1.1", *(f"{name}: {fields[name]}" for name in fields)]
    text = "\r\n".join(lines)
    if any(character in value for value in fields.values() for character in "\r\n\0"):
        raise ValueError("a header that would end itself")
    return f"{text}\r\n\r\n".encode("ascii")


def _answer(connection: socket.socket, ends: float) -> Answer:
    """Read until a head is whole that is not informational (RFC 9110, 15.2)."""
    heard = b""
    budget = MOST_BYTES
    looked = 0
    while True:
        # Only what is new is looked at, or a host that sends single bytes costs their square.
        end = _HEAD_END.search(heard, looked)
        if end is not None:
            head, heard, looked = heard[: end.start()] + b"\r\n", heard[end.end() :], 0
            status = _STATUS.match(head)
            if status is None:
                break
            if int(status[1]) not in _INFORMATIONAL:
                retry = _RETRY_AFTER.search(head)
                said = None if retry is None else retry[1].strip(b" \t").decode("latin-1")
                return Answer(int(status[1]), said)
            continue
        if budget <= 0:
            raise HookRefused("the answer has no end", code="hook_too_large")
        connection.settimeout(_left(ends))
        got = connection.recv(min(budget, 8192))
        if not got:
            break
        budget -= len(got)
        looked = max(0, len(heard) - _LONGEST_END + 1)
        heard += got
    raise HookRefused("the answer is not HTTP/1.1", code="hook_nonsense")


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
