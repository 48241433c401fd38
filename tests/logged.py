"""What waits in line for the log, read with what it opens to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from approvals.core.history.events import EventType, parse_leaf, verify_opening

if TYPE_CHECKING:
    from approvals.core.canonical import Json
    from approvals.core.history.events import LeafEvent
    from approvals.store import Tx


def in_line(tx: Tx) -> list[tuple[LeafEvent, dict[str, Json]]]:
    """Each event in line, and the secret values that its opening shows."""
    return [
        (parse_leaf(each.leaf), verify_opening(each.leaf, orjson.loads(each.opening)))
        for each in tx.log.staged(limit=10_000)
    ]


def told(tx: Tx, kind: EventType) -> list[dict[str, Json]]:
    """The secret values of each event of this type in line."""
    return [opened for event, opened in in_line(tx) if event.type is kind]
