"""A published log, checked whole by somebody who has its leaves and its key, and nothing else.

1. The checkpoint, and each one that was kept from earlier, is signed by the log.
2. The log began with what each kept checkpoint signed: nothing was changed or cut off since.
3. Its leaves are those that its checkpoint signed.
4. Each leaf is an event that follows the one before it of its subject, and can have happened after
   those before it.

Follows RFC 9162 (the tree) and docs/protocol.md, "Log" and "Events".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.core import merkle
from approvals.core.errors import ProofError
from approvals.core.history.rebuild import rebuild
from approvals.core.tlog.checkpoint import parse_checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from approvals.core.tlog.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedLog:
    """All leaves of a log, from the first on, and the signed checkpoint that covers them."""

    checkpoint: str
    leaves: Iterable[bytes]


@dataclass(frozen=True, slots=True)
class VerifiedLog:
    """A log that is whole: its size and root, and how many requests and approvals it tells of."""

    size: int
    root: bytes
    told: int


def verify_published(
    log: FetchedLog, *, vkeys: Sequence[str], remembered: Sequence[str] = ()
) -> VerifiedLog:
    """Check a log against its key and the signed notes that were kept from it.

    Each leaf is read once.

    Raises:
        ProofError: `checkpoint`: a note is not signed by the log; `log_truncated`: a kept one
            covers more leaves than there are; `log_forked`: the log does not begin with what a kept
            one signed; `log_incomplete`: the leaves are not those that the checkpoint signed; and
            as `rebuild` for a leaf that tells what cannot have happened.
    """
    whole = parse_checkpoint(log.checkpoint, vkeys=vkeys)
    kept = [parse_checkpoint(note, vkeys=vkeys) for note in remembered]
    _compare(whole, kept)
    roots = merkle.Accumulator()
    rebuilt = rebuild(_counted(log.leaves, roots, kept))
    _finish(roots, whole, kept)
    return VerifiedLog(size=whole.size, root=whole.root, told=len(rebuilt.became))


def verify_copy(leaves: Iterable[bytes], *, whole: Checkpoint, kept: Sequence[Checkpoint]) -> None:
    """Check that a copy of a log agrees with its checkpoint and goes on from earlier ones.

    No signature is looked at: this keeps a copy from being replaced by that of another log.

    Raises:
        ProofError: `log_truncated`, `log_forked` or `log_incomplete`, as `verify_published`.
    """
    _compare(whole, kept)
    roots = merkle.Accumulator()
    for _ in _counted(leaves, roots, kept):
        pass
    _finish(roots, whole, kept)


def _compare(whole: Checkpoint, kept: Sequence[Checkpoint]) -> None:
    for each in kept:
        if each.origin != whole.origin:
            raise ProofError(f"kept from {each.origin}, not {whole.origin}", code="log_forked")
        if each.size > whole.size:
            raise ProofError(
                f"a kept checkpoint covers {each.size} leaves, and the log ends at {whole.size}",
                code="log_truncated",
            )


def _finish(roots: merkle.Accumulator, whole: Checkpoint, kept: Sequence[Checkpoint]) -> None:
    _hold(roots, kept)
    if (roots.size, roots.root()) != (whole.size, whole.root):
        raise ProofError(
            "these are not the leaves that its checkpoint signed", code="log_incomplete"
        )


def _counted(
    leaves: Iterable[bytes], roots: merkle.Accumulator, kept: Sequence[Checkpoint]
) -> Iterator[bytes]:
    """Pass the leaves on; hold the tree to each kept checkpoint when it has come to its size."""
    for leaf in leaves:
        _hold(roots, kept)
        roots.add(merkle.leaf_hash(leaf))
        yield leaf


def _hold(roots: merkle.Accumulator, kept: Sequence[Checkpoint]) -> None:
    for each in kept:
        if each.size == roots.size and each.root != roots.root():
            raise ProofError(
                f"the first {each.size} leaves are not what a kept checkpoint signed",
                code="log_forked",
            )
