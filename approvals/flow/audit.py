"""Whether the database holds what the log tells: states, uses, chains and counters.

1. What the database holds is read first, and what the log tells after it, in line or in its place.
2. Where the two differ both are read again. What was only on its way has moved on by then, since
   states only go forward; a difference that stays as it was is one.

It says nothing where the log itself was changed: that is for `log.check`, which comes before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals import log
from approvals.core import b64
from approvals.core.errors import ProofError
from approvals.core.rebuild import rebuild
from approvals.flow.tally import recount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from approvals.flow.service import Service
    from approvals.store import Tx

CHUNK = 1024
NOTHING = "nothing"


def audit(service: Service) -> tuple[log.Finding, ...]:
    """Where the database and the log differ, by id; code `state_differs`, `chain` or `impossible`.

    Holds the state of every request and the end of every chain in memory.
    """
    try:
        differing = _differences(service)
        if differing:
            differing &= _differences(service)
    except ProofError as error:
        return (log.Finding(error.code, error.place or "log", error.message),)
    return tuple(
        log.Finding("state_differs", name, f"the log tells {told}, the database holds {held}")
        for name, told, held in sorted(differing)
    )


def _differences(service: Service) -> set[tuple[str, str, str]]:
    with service.store.read() as tx:
        held: dict[str, str] = {**tx.requests.states(), **tx.approvals.states()}
        held |= {key: _end(*chain) for key, chain in tx.log.chains().items()}
        rebuilt = rebuild(_leaves(tx))
        counted, recounted = tx.counters.in_force(now=tx.now), recount(tx)
    told: dict[str, str] = {**rebuilt.became}
    told |= {key: _end(*chain) for key, chain in rebuilt.chains.items()}
    held |= {str(bucket): str(count) for bucket, count in counted.items()}
    told |= {str(bucket): str(count) for bucket, count in recounted.items()}
    return {
        (name, told.get(name, NOTHING), held.get(name, NOTHING))
        for name in told.keys() | held.keys()
        if told.get(name) != held.get(name)
    }


def _end(count: int, head: bytes | None) -> str:
    return f"{count} events, the last {'none' if head is None else b64.encode(head)}"


def _leaves(tx: Tx) -> Iterator[bytes]:
    """Every leaf in its place, then those in line."""
    # The line first: what gets its place meanwhile is met there, and is not told twice.
    line = dict.fromkeys(staged.leaf for staged in tx.log.staged(limit=tx.log.staged_count()))
    start = 0
    while leaves := tx.log.leaves(start, start + CHUNK):
        for leaf in leaves:
            line.pop(leaf.leaf, None)
            yield leaf.leaf
        start += CHUNK
    yield from line
