"""The counters that limits are held to, counted again from the log.

Somebody who can write to the database could lower a counter, and an agent could exceed its limits.
Each addition to a counter has an event in the same transaction. So the counters can be computed
from the log, and `audit` compares them. Only the part of the log is read that still counts.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import orjson

from approvals.core.history.events import EventType, parse_leaf, verify_opening
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

    from approvals.core.history.events import LeafEvent
    from approvals.store import Tx

CHUNK: Final = 1024
_SUBMITTED: Final = frozenset(
    {
        EventType.CALL_ALLOWED,
        EventType.CALL_REFUSED,
        EventType.REQUEST_OPENED,
        EventType.REQUEST_REPEATED,
    }
)


def recount(tx: Tx) -> dict[Bucket, int]:
    """The right value of every counter that is in force.

    Raises:
        ProofError: a leaf is not an event, or does not open to what is kept of it.
    """
    counts: Counter[Bucket] = Counter()
    for leaf, opening in _lately(tx):
        event = parse_leaf(leaf)
        if event.type in _SUBMITTED:
            said = {
                name: str(value)
                for name, value in verify_opening(leaf, orjson.loads(opening)).items()
            }
            counts.update(
                bucket
                for bucket in _buckets(event, said)
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
        if leaves and all(parse_leaf(leaf.leaf).time < oldest for leaf in leaves):
            return
        end -= CHUNK


def _buckets(event: LeafEvent, said: dict[str, str]) -> Iterator[Bucket]:
    if not said.keys() >= {"enforcer", "agent", "tool"}:
        return  # what it was about has been erased
    refused = event.type is EventType.CALL_REFUSED
    if not refused or is_call_of_the_agent(said["code"]):
        yield from buckets_of_call(
            tenant=event.tenant, agent=said["agent"], tool=said["tool"], now=event.time
        )
    if refused:
        known = said["code"] != DenyCode.NO_AGENT
        yield from buckets_of_denial(
            tenant=event.tenant,
            enforcer=said["enforcer"],
            agent=said["agent"] if known else "",
            now=event.time,
        )
