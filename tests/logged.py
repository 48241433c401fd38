"""What waits in line for the log, read with what it opens to."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import orjson

from approvals.core.history.leaves import parse_leaf, verify_opening

if TYPE_CHECKING:
    from approvals.core.history.events import Event
    from approvals.store import Tx


def in_line(tx: Tx) -> list[Event]:
    """Each event in line, with the sealed values that its opening shows."""
    return [
        verify_opening(parse_leaf(each.leaf), orjson.loads(each.opening))
        for each in tx.log.staged(limit=10_000)
    ]


E = TypeVar("E", bound="Event")


def told(tx: Tx, kind: type[E]) -> list[E]:
    """The events of this kind in line."""
    return [event for event in in_line(tx) if isinstance(event, kind)]
