"""The counters that limits are held to, counted again from the log.

Somebody who can write to the database could lower a counter, and an agent could exceed its limits.
Each addition to a counter has an event in the same transaction. So the counters can be computed
from the log, and `audit` compares them. Only the part of the log is read that still counts.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import orjson

from approvals.core.history.events import CallRefused, Event, OfCall
from approvals.core.history.leaves import parse_leaf, verify_opening
from approvals.flow.asking.weigh import is_call_of_the_agent
from approvals.policy.verdict import DenyCode
from approvals.store.counters import (
    DAY,
    HOUR,
    Bucket,
    buckets_of_call,
    buckets_of_denial,
    is_in_force,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from approvals.store import Tx

CHUNK: Final = 1024


def recount(tx: Tx) -> dict[Bucket, int]:
    """The right value of every counter that is in force.

    Raises:
        ProofError: a leaf is not an event, or does not open to what is kept of it.
    """
    counts: Counter[Bucket] = Counter()
    for leaf, opening in _lately(tx):
        told = parse_leaf(leaf)
        if isinstance(told.event, OfCall):
            counts.update(
                bucket
                for bucket in _buckets(verify_opening(told, orjson.loads(opening)))
                if is_in_force(bucket.span, bucket.start, now=tx.now)
            )
    return dict(counts)


def _lately(tx: Tx) -> Iterator[tuple[bytes, str]]:
    """Leaves that may still count, with their openings: first the staged ones, then the newest."""
    for staged in tx.log.staged(limit=tx.log.staged_count()):
        yield staged.leaf, staged.opening
    # An hour more: an event may have been given its place somewhat later than one after it.
    oldest = tx.now - DAY - 2 * HOUR
    checkpoint = tx.log.latest_checkpoint()
    end = 0 if checkpoint is None else checkpoint.size
    while end > 0:
        leaves = tx.log.leaves(max(0, end - CHUNK), end)
        for leaf in leaves:
            yield leaf.leaf, leaf.opening
        if leaves and all(parse_leaf(leaf.leaf).event.time < oldest for leaf in leaves):
            return
        end -= CHUNK


def _buckets(event: Event) -> Iterator[Bucket]:
    match event:
        case CallRefused(enforcer=str(enforcer), agent=str(agent), tool=str(tool), code=str(code)):
            if is_call_of_the_agent(code):
                yield from buckets_of_call(
                    tenant=event.tenant, agent=agent, tool=tool, now=event.time
                )
            yield from buckets_of_denial(
                tenant=event.tenant,
                enforcer=enforcer,
                agent="" if code == DenyCode.NO_AGENT else agent,
                now=event.time,
            )
        case CallRefused():
            return  # what it was about has been erased
        case OfCall(agent=str(agent), tool=str(tool)):
            yield from buckets_of_call(tenant=event.tenant, agent=agent, tool=tool, now=event.time)
        case _:
            return
