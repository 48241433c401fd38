"""Which connections a process holds, so that no stranger can take them all.

What holds:
1. There are never more than `most`, and that is always fewer than the descriptors of the process:
   the database, the log and the next connection find one.
2. A connection whose request has not arrived whole keeps nobody out: when all places are taken, the
   one that has been in this state longest is closed for the next one. So half-sent heads, bodies
   that trickle and idle connections cannot lock anybody out, however many there are.
3. One address holds at most `per_address`, unless it is a proxy's, which speaks for many.
4. The bodies that are still arriving take at most `BODIES` bytes together; beyond that the oldest
   of these connections is closed.

Used from one event loop; nothing here waits, so each count is exact.
"""

from __future__ import annotations

import resource
from collections import Counter
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final, Protocol

from uvicorn.server import ServerState

if TYPE_CHECKING:
    from approvals.config import Settings

BODIES: Final = 64 * 1024 * 1024
_OURS: Final = 256
"""Descriptors that are not for connections: database, files, log, channels."""


class Held(Protocol):
    """A connection, as far as this module knows it."""

    def drop(self) -> None:
        """Close the connection at once, without an answer."""


def descriptors() -> int:
    """How many descriptors the process may open; as many as it is allowed to ask for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # a system may allow less than it says
            return soft
    return hard


def places(most: int, *, of: int) -> int:
    """How many connections fit into `of` descriptors, `most` at most."""
    if of == resource.RLIM_INFINITY:
        return most
    return min(most, max(of - _OURS, of // 2))


def most_connections(settings: Settings) -> int:
    """How many connections this process holds at one time."""
    return places(settings.max_connections, of=descriptors())


class Connections(ServerState):
    """The connections of one server."""

    def __init__(self, settings: Settings) -> None:
        """Hold none."""
        super().__init__()
        self.most = most_connections(settings)
        self._per_address = settings.connections_per_address
        self._proxies = tuple(ip_network(each) for each in settings.proxies)
        self._held: dict[Held, str] = {}
        self._each: Counter[str] = Counter()
        # Ordered by when they came into it: the first is the one that has been so longest.
        self._unfinished: dict[Held, int] = {}
        self._bodies = 0

    @property
    def held(self) -> int:
        """How many connections are held."""
        return len(self._held)

    def admit(self, connection: Held, address: str) -> bool:
        """Whether there is a place for this connection; if so, it has it from now on."""
        if self._each[address] >= self._per_address and not self._is_proxy(address):
            return False
        if len(self._held) >= self.most and not self._drop_oldest():
            return False
        self._held[connection] = address
        self._each[address] += 1
        self._unfinished[connection] = 0
        return True

    def leave(self, connection: Held) -> None:
        """Free the place of a connection that is closed."""
        address = self._held.pop(connection, None)
        if address is not None:
            self._each[address] -= 1
            if not self._each[address]:
                del self._each[address]
        self.whole(connection)

    def arriving(self, connection: Held, size: int) -> None:
        """So many bytes more of a body have arrived, and it is not whole."""
        if connection not in self._unfinished:
            return
        self._unfinished[connection] += size
        self._bodies += size
        while self._bodies > BODIES:
            oldest = next(each for each, held in self._unfinished.items() if held)
            self.leave(oldest)
            oldest.drop()

    def whole(self, connection: Held) -> None:
        """The request has arrived: from now on the connection keeps its place until the answer."""
        self._bodies -= self._unfinished.pop(connection, 0)

    def again(self, connection: Held) -> None:
        """The answer has gone out: the next request is waited for."""
        if connection in self._held and connection not in self._unfinished:
            self._unfinished[connection] = 0

    def _drop_oldest(self) -> bool:
        oldest = next(iter(self._unfinished), None)
        if oldest is None:
            return False
        self.leave(oldest)
        oldest.drop()
        return True

    def _is_proxy(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._proxies)
