"""Giving staged events their places, and signing the tree that they make.

    1. Lead: of all processes one sequences at a time. The others do nothing.
    2. Take the oldest staged events, in the order of their ids. An event whose id was drawn before
       but that committed after is not lost: it waits for a later batch.
    3. Take up the tree at its last checkpoint. The checkpoint must be signed by our key, and the
       stored tree must hash to it: a log that was altered is not continued, whatever the reason.
    4. Each event must be the next one of its subject, after those that have their places: what is
       signed once cannot be taken back.
    5. Append: leaves, their hashes, and the nodes they complete.
    6. Sign the new size and root, and store the checkpoint.
    7. Take the events out of the line.
    8. Let `marking` remember outside the database what was signed; if it cannot, nothing happened.

All of it is one transaction. A checkpoint leaves this process only by being read from the database,
after that transaction committed: whatever is rolled back was never published, and the size being
the key of the table, no size can ever have two roots. The cost is that of the batch and of one
path down the tree, never of the tree.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from approvals.core.errors import ProofError
from approvals.core.history.leaves import Chain, parse_leaf
from approvals.core.merkle import leaf_hash
from approvals.core.tlog.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint
from approvals.core.tlog.leaves import Leaf, StoredCheckpoint
from approvals.log.tree import Frontier, StoredTree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.core.tlog.leaves import Staged
    from approvals.log.tables import Database, Signer, Tables
    from approvals.log.tree import Node

Marking = Callable[["StoredCheckpoint | None", StoredCheckpoint, "Sequence[Staged]"], None]

BATCH: Final = 1024
"""Events that one transaction sequences at most: on SQLite other writers wait for it."""


def sequence(
    store: Database,
    keys: Signer,
    *,
    now: int,
    limit: int = BATCH,
    marking: Marking | None = None,
) -> int:
    """Sequence up to `limit` staged events; return how many it were.

    Call it again at once while it returns `limit`: there may be more. `marking` is called before
    the commit with the checkpoint that is stored, the one that will be, and the batch.

    Raises:
        ProofError: `log_altered` or `log_incomplete`: the stored log is not the one that was
            signed last, or the events in line do not go on from it. Nothing was changed.
    """
    with store.begin() as tx:
        # 1. One sequencer.
        if not tx.log.lead():
            return 0
        # 2. The batch.
        batch = tx.log.staged(limit=limit)
        if not batch:
            return 0
        # 3. The tree so far.
        last = tx.log.latest_checkpoint()
        frontier = _verified_frontier(tx.log, last, keys)
        # 4. The chains.
        _require_next(tx.log, batch)
        # 5. Leaves and nodes.
        _grow(tx.log, frontier, batch)
        # 6. The checkpoint.
        signed = _check_in(tx.log, frontier, keys, now=now)
        # 7. The line.
        tx.log.unstage([staged.id for staged in batch])
        # 8. The mark.
        if marking is not None:
            marking(last, signed, batch)
    return len(batch)


def verify_extends(tables: Tables, keys: Signer, *, size: int, root: bytes) -> StoredCheckpoint:
    """The last checkpoint, which is ours and continues the log of `size` leaves with this `root`.

    Costs a path down the tree.

    Raises:
        ProofError: `log_rolled_back`: the log is shorter; `log_forked`: it is another one;
            `log_altered` or `log_incomplete`: it is not what was signed last.
    """
    last = tables.latest_checkpoint()
    if last is None or last.size < size:
        raise ProofError(
            f"{size} leaves were signed, and the database has "
            f"{0 if last is None else last.size}: it is older than what these keys signed",
            code="log_rolled_back",
        )
    _verified_frontier(tables, last, keys)
    if Frontier.of(StoredTree(tables, size)).root() != root:
        raise ProofError(
            f"the first {size} leaves are not those that these keys signed", code="log_forked"
        )
    return last


def _verified_frontier(tables: Tables, last: StoredCheckpoint | None, keys: Signer) -> Frontier:
    size = 0 if last is None else last.size
    if tables.hashes(size, size + 1):
        raise _altered(size, "there are leaves that no checkpoint covers")
    frontier = Frontier.of(StoredTree(tables, size))
    if last is None:
        return frontier
    try:
        signed = parse_checkpoint(last.note, vkeys=[keys.vkey])
    except ProofError as error:
        raise _altered(size, f"the last checkpoint is not ours: {error.message}") from error
    root = frontier.root()
    if (signed.origin, signed.size, signed.root, last.root) != (keys.origin, size, root, root):
        raise _altered(size, "the stored leaves do not hash to the last checkpoint")
    return frontier


def _require_next(tables: Tables, batch: Sequence[Staged]) -> None:
    """Refuse a batch with an event that is missing, there twice, or filed under another subject."""
    lasts = tables.lasts({(staged.tenant, staged.subject) for staged in batch})
    chains = {key: _chain_after(key[1], leaf) for key, leaf in lasts.items()}
    for staged in batch:
        chain = chains.setdefault((staged.tenant, staged.subject), Chain())
        try:
            told = parse_leaf(staged.leaf)
        except ProofError as error:
            raise _out_of_line(staged, error.message) from error
        event = told.event
        if (event.tenant, event.subject) != (staged.tenant, staged.subject):
            raise _out_of_line(staged, f"it is about {event.subject}")
        if told.link != chain.next():
            raise _out_of_line(staged, f"{event.subject} has {chain.count} events before it")
        chain.add(staged.leaf)


def _chain_after(subject: str, leaf: bytes) -> Chain:
    try:
        chain = Chain(parse_leaf(leaf).link.seq)
    except ProofError as error:
        raise ProofError(
            f"the last leaf of {subject} is not an event: {error.message}", code="log_altered"
        ) from error
    chain.add(leaf)
    return chain


def _out_of_line(staged: Staged, message: str) -> ProofError:
    return ProofError(
        f"an event in line is not the next one of its subject: {message}",
        code="log_altered",
        place=f"staged event {staged.id}",
    )


def _grow(tables: Tables, frontier: Frontier, batch: Sequence[Staged]) -> None:
    leaves: list[Leaf] = []
    completed: list[Node] = []
    for staged in batch:
        hashed = leaf_hash(staged.leaf)
        leaves.append(
            Leaf(
                index=frontier.size,
                tenant=staged.tenant,
                subject=staged.subject,
                leaf=staged.leaf,
                hash=hashed,
                opening=staged.opening,
            )
        )
        completed += frontier.add(hashed)
    tables.append(leaves)
    for level, nodes in groupby(sorted(completed), key=itemgetter(0)):
        run = list(nodes)
        tables.put_nodes(level, run[0][1], [node for _, _, node in run])


def _check_in(tables: Tables, frontier: Frontier, keys: Signer, *, now: int) -> StoredCheckpoint:
    root = frontier.root()
    note = sign_checkpoint(
        Checkpoint(origin=keys.origin, size=frontier.size, root=root),
        name=keys.origin,
        key=keys.log_key,
    )
    checkpoint = StoredCheckpoint(size=frontier.size, root=root, note=note, created=now)
    tables.put_checkpoint(checkpoint)
    return checkpoint


def _altered(size: int, message: str) -> ProofError:
    return ProofError(message, code="log_altered", place=f"checkpoint {size}")
