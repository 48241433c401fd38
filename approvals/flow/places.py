"""Places that are held for a while, shared so that nobody can take them all.

Whoever asks gets a place while they hold fewer than are free. So one holder gets at most half of
all places, the next who takes what there is half of the rest, and something is left for whoever
comes after them. No number has to be set for it. (This is the rule of dynamic thresholds for shared
buffers; Choudhury and Hahne, 1998.)

Used from one event loop: nothing here waits, so each count is exact.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Generic, TypeVar

from approvals.core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

Holder = TypeVar("Holder", bound="Hashable")


class Places(Generic[Holder]):
    """So many places; `code` is what who finds none is told."""

    def __init__(self, total: int, *, code: str, message: str, each: int | None = None) -> None:
        """All are free. `each` is what one may hold at most, if that is less than the share."""
        self._total = total
        self._each = total if each is None else each
        self._code = code
        self._message = message
        self._held: Counter[Holder] = Counter()
        self.taken = 0

    @contextlib.contextmanager
    def take(self, holder: Holder) -> Iterator[None]:
        """Hold a place until the block ends.

        Raises:
            Unavailable: the holder has a share already.
        """
        held = self._held.get(holder, 0)  # a question leaves nothing behind
        if held >= min(self._each, self._total - self.taken):
            raise Unavailable(self._message, code=self._code)
        self._held[holder] += 1
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
            self._held[holder] -= 1
            if not self._held[holder]:
                del self._held[holder]
