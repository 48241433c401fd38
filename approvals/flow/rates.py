"""How often something may be begun: by one caller, and by all together.

What holds:
1. One caller begins at most `each` in a minute, on average and at once.
2. All together begin at most `overall` in a minute. The more of their own a caller has used, the
   more of it must be left: when it runs low, whoever has begun nothing lately is still let in,
   and those who use it up are refused first.
3. Memory is bounded: callers who have all of their own back are forgotten, and beyond
   `MOST_CALLERS` whoever was seen longest ago. `overall` holds whoever is forgotten.

Kept in memory, a process at a time: several processes allow as much each, a restart begins anew.
These limits bound what strangers can make a process do; nothing that is granted depends on them.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from approvals.core.errors import TooMany

MOST_CALLERS: Final = 10_000
MINUTE: Final = 60.0
_HALF: Final = 0.5


@dataclass(slots=True)
class _Bucket:
    """What is left of a minute's worth, as of a time."""

    most: float
    left: float
    at: float

    def refill(self, now: float) -> None:
        self.left = min(self.most, self.left + max(0.0, now - self.at) * self.most / MINUTE)
        self.at = now

    def seconds_until(self, wanted: float) -> int:
        return max(1, math.ceil((wanted - self.left) * MINUTE / self.most))


class Rates:
    """The limits of one kind of thing. Safe to share between threads."""

    def __init__(self, *, each: int, overall: int | None = None) -> None:
        """Allow `each` in a minute to each caller, and `overall` to all of them, if it is given."""
        self._each = each
        self._overall = None if overall is None else _Bucket(overall, overall, 0.0)
        self._callers: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, caller: str, *, now: float) -> None:
        """Count one of `caller` at `now`, seconds of a steady clock.

        Raises:
            TooMany: there have been too many (`rate_limited`); it says when to come back.
        """
        with self._lock:
            own = self._callers.pop(caller, None) or _Bucket(self._each, self._each, now)
            self._callers[caller] = own
            own.refill(now)
            self._forget(now)
            if own.left < 1:
                raise _too_many(own.seconds_until(1))
            # Counted before it is let in: who goes on trying does not look like a newcomer.
            own.left -= 1
            if self._overall is not None:
                self._overall.refill(now)
                used = 1 - (own.left + 1) / own.most
                wanted = max(1.0, used * self._overall.most * _HALF)
                if self._overall.left < wanted:
                    raise _too_many(self._overall.seconds_until(wanted))
                self._overall.left -= 1

    @property
    def callers(self) -> int:
        """How many callers are remembered."""
        return len(self._callers)

    def _forget(self, now: float) -> None:
        while len(self._callers) > 1:
            longest_ago = next(iter(self._callers.values()))
            is_full_again = now - longest_ago.at >= MINUTE
            if not is_full_again and len(self._callers) <= MOST_CALLERS:
                return
            self._callers.popitem(last=False)


def network_of(address: str) -> str:
    """Whose address it is: of IPv6 a whole /64, which is what one subscriber gets at least."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed.packed, 64), strict=False))


def _too_many(seconds: int) -> TooMany:
    return TooMany("this was begun too often; wait and try again", retry_after=seconds)
