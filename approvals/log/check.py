"""Checking a whole stored log: everything is recomputed, nothing that is stored is believed.

    1. Every leaf is in its place and is an event; its hash is the hash of its bytes; its row
       belongs to the tenant and the subject that the event names.
    2. What is kept of its personal parts opens its commitments.
    3. Every tile node is the hash of the leaves under it; none is missing, none is in excess.
    4. Every checkpoint is signed by one of the given keys, and its size and root are those that the
       leaves have. Two checkpoints that both hold for the beginning of one list of leaves are
       consistent with one another.
    5. So is every checkpoint that the caller remembers: from another day, a witness, an evidence
       file. This, and only this, shows a log that was cut off, forked or restored from a backup
       together with all of its checkpoints.
    6. The last checkpoint covers every leaf.
    7. The time beside a checkpoint, which is not signed, is one at which it can have been made,
       where the caller gives the time (`log.times`).

One altered leaf changes the root of every later checkpoint, and each node above the leaf. Findings
that only follow from an earlier one are kept apart, so that they hide no others.

It reads each leaf once, a few at a time, so memory does not grow with the log.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from approvals.core.canonical import MAX_DEPTH, parse_object
from approvals.core.errors import AssentError
from approvals.core.history.leaves import parse_leaf, verify_opening
from approvals.core.merkle import leaf_hash
from approvals.core.tlog.checkpoint import parse_checkpoint
from approvals.log.times import Times
from approvals.log.tree import TILE_HEIGHT, TILE_WIDTH, Frontier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from approvals.core.tlog.leaves import Leaf, StoredCheckpoint
    from approvals.log.tables import Database, Tables
    from approvals.log.times import Wrong
    from approvals.log.tree import Node

CHUNK: Final = 4 * TILE_WIDTH
MOST_FINDINGS: Final = 200
MAX_OPENING: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was signed: a stable code, where, and a sentence."""

    code: str
    place: str
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found.

    `staged` events wait for their places; `unopened` values were committed to and are not kept now,
    as when a person's data was erased. Neither is a fault. `unlisted` findings came after the first
    `MOST_FINDINGS`. `following` more follow from these: checkpoints and nodes over what was
    changed, of which `consequences` has the first.
    """

    size: int
    root: bytes
    checkpoints: int
    staged: int
    unopened: int
    findings: tuple[Finding, ...]
    unlisted: int
    consequences: tuple[Finding, ...] = ()
    following: int = 0

    @property
    def ok(self) -> bool:
        """Whether the log is whole."""
        return not self.findings


@dataclass(slots=True)
class _Findings:
    listed: list[Finding] = field(default_factory=list)
    unlisted: int = 0
    consequences: list[Finding] = field(default_factory=list)
    following: int = 0

    def add(self, code: str, place: str, message: str, *, follows: bool = False) -> None:
        """Take in a finding; `follows`: an earlier one is the only reason for it."""
        self.following += follows
        listed = self.consequences if follows else self.listed
        if len(listed) < MOST_FINDINGS:
            listed.append(Finding(code, place, message))
        elif not follows:
            self.unlisted += 1


@dataclass(frozen=True, slots=True)
class _Claim:
    """A checkpoint to hold the leaves to: a stored one, or one that the caller remembers."""

    size: int
    root: bytes
    place: str
    code: str
    created: int | None = None


def check(
    store: Database,
    *,
    vkeys: Sequence[str],
    remembered: Sequence[str] = (),
    now: int | None = None,
    advance: Callable[[int, int], None] | None = None,
) -> Report:
    """Check the log against `vkeys` and the `remembered` checkpoints (signed notes).

    `now` is the time, without which the times of checkpoints are not checked.

    It may run while the log grows: it then covers the log up to the checkpoint it found first.
    `advance` is told, as it reads on, how many leaves it has read and of how many.
    """
    findings = _Findings()
    with store.read() as tx:
        tables = tx.log
        staged = tables.staged_count()
        size = _covered(tables, findings)
        stored = _Stored(tables, size, vkeys, findings)
        claims = heapq.merge(
            stored.claims(), _remembered(remembered, vkeys, findings), key=lambda claim: claim.size
        )
        times = None if now is None else Times(now=now)
        walk = _Walk(tables, size, findings, times, advance)
        for claim in claims:
            walk.compare(claim)
        walk.to(size)
        walk.compare_early()
    return Report(
        size=size,
        root=walk.frontier.root(),
        checkpoints=stored.count,
        staged=staged,
        unopened=walk.unopened,
        findings=tuple(findings.listed),
        unlisted=findings.unlisted,
        consequences=tuple(findings.consequences),
        following=findings.following,
    )


class _Walk:
    """Goes along the leaves once, checking each and building the tree that they make."""

    def __init__(
        self,
        tables: Tables,
        size: int,
        findings: _Findings,
        times: Times | None,
        advance: Callable[[int, int], None] | None,
    ) -> None:
        self.frontier = Frontier()
        self.unopened = 0
        self._times = times
        self._tables = tables
        self._size = size
        self._findings = findings
        self._advance = advance
        self._hashes = self._leaf_hashes()
        self._completed: list[Node] = []
        self._broken = False
        self._differs = (
            False  # the last stored checkpoint did not hold, or a leaf after it was altered
        )
        self._altered: list[int] = []  # the first leaves found to be altered

    def compare(self, claim: _Claim) -> None:
        """4, 5. Hold the first `claim.size` leaves to a checkpoint."""
        if claim.size > self._size:
            self._findings.add(
                "log_truncated", claim.place, f"signed, but the log ends at {self._size}"
            )
            return
        self.to(claim.size)
        # After a gap no root can be right; the gap has been found and named.
        if self._broken:
            return
        holds = self.frontier.root() == claim.root
        if not holds:
            self._findings.add(
                claim.code,
                claim.place,
                f"the first {claim.size} leaves do not hash to its root",
                follows=self._differs,
            )
        if claim.created is not None:  # a stored one, of which the next is a continuation
            self._differs = not holds
            if self._times is not None:
                self._found_times(self._times.checkpoint(claim.size, claim.created))

    def compare_early(self) -> None:
        """7. Find times before the events that a checkpoint covers, now that all are known."""
        if self._times is not None and not self._broken:
            self._found_times(self._times.early(self._tables))

    def _found_times(self, wrong: Iterable[Wrong]) -> None:
        for each in wrong:
            self._findings.add("checkpoint_time", f"checkpoint {each.size}", each.message)

    def to(self, size: int) -> None:
        while self.frontier.size < size and not self._broken:
            hashed = next(self._hashes, None)
            if hashed is None:
                self._broken = True
                break
            self._completed += self.frontier.add(hashed)
            if len(self._completed) >= TILE_WIDTH:
                self._check_nodes()
        if size == self._size:
            self._check_nodes()

    def _leaf_hashes(self) -> Iterator[bytes]:
        """1, 2. The hashes of the leaves' bytes; ends at the first gap, checking what is beyond."""
        expected = 0
        whole = True
        for start in range(0, self._size, CHUNK):
            leaves = self._tables.leaves(start, min(start + CHUNK, self._size))
            if self._advance is not None:
                self._advance(min(start + CHUNK, self._size), self._size)
            for leaf in leaves:
                self._check_leaf(leaf)
                if leaf.index != expected:
                    self._missing(expected, leaf.index)
                    whole = False
                expected = leaf.index + 1
                if whole:
                    yield leaf_hash(leaf.leaf)
        if expected < self._size:
            self._missing(expected, self._size)

    def _missing(self, start: int, end: int) -> None:
        place = f"leaf {start}" if end == start + 1 else f"leaves {start} to {end - 1}"
        self._findings.add("leaf_missing", place, "a checkpoint covers what is not there")

    def _check_leaf(self, leaf: Leaf) -> None:
        place = f"leaf {leaf.index}"
        if leaf_hash(leaf.leaf) != leaf.hash:
            self._findings.add("leaf_altered", place, "its bytes do not hash to its stored hash")
            self._differs = True
            if len(self._altered) < MOST_FINDINGS:
                self._altered.append(leaf.index)
        try:
            told = parse_leaf(leaf.leaf)
        except AssentError as error:
            self._findings.add("leaf_malformed", place, error.message)
            return
        event = told.event
        if self._times is not None:
            self._times.leaf(leaf.index, event)
        if event.tenant != leaf.tenant:
            self._findings.add(
                "leaf_tenant", place, f"filed under {leaf.tenant!r}, but of {event.tenant!r}"
            )
        if event.subject != leaf.subject:
            self._findings.add(
                "leaf_subject", place, f"filed under {leaf.subject!r}, but about {event.subject!r}"
            )
        try:
            opening = parse_object(
                leaf.opening.encode(), max_bytes=MAX_OPENING, max_depth=MAX_DEPTH + 2
            )
            opened = verify_opening(told, opening)
        except AssentError as error:
            self._findings.add("opening_altered", place, str(error))
        else:
            self.unopened += len(opened.erased())

    def _check_nodes(self) -> None:
        """3. Compare completed nodes with the stored ones, a run at a time."""
        for level, group in groupby(sorted(self._completed), key=itemgetter(0)):
            run = list(group)
            first, last = run[0][1], run[-1][1]
            stored = self._tables.nodes(level, first, last + 1)
            if len(stored) != len(run):
                self._findings.add(
                    "node_missing", f"tile level {level}, nodes {first} to {last}", "not all stored"
                )
                continue
            for (_, index, computed), found in zip(run, stored, strict=True):
                if computed != found:
                    self._findings.add(
                        "node_altered",
                        f"tile level {level}, node {index}",
                        "is not the hash of the leaves under it",
                        follows=self._is_altered(level, index),
                    )
        self._completed.clear()

    def _is_altered(self, level: int, index: int) -> bool:
        """Whether a leaf under this node was found to be altered."""
        under: int = TILE_WIDTH**level
        first = bisect_left(self._altered, index * under)
        return first < len(self._altered) and self._altered[first] < (index + 1) * under


class _Stored:
    """4. The stored checkpoints: each is signed, and says what its row says."""

    def __init__(
        self, tables: Tables, size: int, vkeys: Sequence[str], findings: _Findings
    ) -> None:
        self.count = 0
        self._tables = tables
        self._size = size
        self._vkeys = vkeys
        self._findings = findings

    def claims(self) -> Iterator[_Claim]:
        for stored in self._tables.checkpoints():
            if stored.size > self._size:
                continue  # signed since this check began; read on, so that the cursor is closed
            self.count += 1
            place = f"checkpoint {stored.size}"
            self._check_signed(stored, place)
            yield _Claim(stored.size, stored.root, place, "checkpoint_root", stored.created)

    def _check_signed(self, stored: StoredCheckpoint, place: str) -> None:
        try:
            signed = parse_checkpoint(stored.note, vkeys=self._vkeys)
        except AssentError as error:
            self._findings.add("checkpoint_signature", place, error.message)
            return
        if (signed.size, signed.root) != (stored.size, stored.root):
            self._findings.add(
                "checkpoint_altered", place, "its row says another thing than what is signed"
            )


def _remembered(
    notes: Sequence[str], vkeys: Sequence[str], findings: _Findings
) -> Iterator[_Claim]:
    """5. The checkpoints that the caller has from elsewhere, smallest first."""
    claims = []
    for number, note in enumerate(notes, start=1):
        place = f"remembered checkpoint {number}"
        try:
            signed = parse_checkpoint(note, vkeys=vkeys)
        except AssentError as error:
            findings.add("checkpoint_signature", place, error.message)
            continue
        claims.append(
            _Claim(signed.size, signed.root, f"{place} (of {signed.size} leaves)", "log_forked")
        )
    return iter(sorted(claims, key=lambda claim: claim.size))


def _covered(tables: Tables, findings: _Findings) -> int:
    """3, 6. Return the size to check, having looked for rows that no checkpoint covers.

    Rows commit together with the checkpoint that covers them, and the log may grow while this
    reads. So rows are counted first and the checkpoint is read after them: it covers them all, or
    nothing does. A node in excess would be published once the log has grown to it.
    """
    before = _last_size(tables)
    nodes_beyond = []
    for level in range(1, TILE_HEIGHT):
        end = before >> (TILE_HEIGHT * level)
        nodes_beyond.append((level, end + len(tables.nodes(level, end, end + TILE_WIDTH))))
    leaves = tables.leaf_count()
    size = _last_size(tables)
    if leaves > size:
        findings.add("leaf_uncovered", f"leaf {size}", "no checkpoint covers it")
    for level, count in nodes_beyond:
        end = size >> (TILE_HEIGHT * level)
        if count > end:
            findings.add(
                "node_uncovered", f"tile level {level}, from node {end}", "no checkpoint covers it"
            )
    return size


def _last_size(tables: Tables) -> int:
    last = tables.latest_checkpoint()
    return 0 if last is None else last.size
