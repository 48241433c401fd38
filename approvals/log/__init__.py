"""The transparency log: staging, sequencing, proofs, publication and the check of all of it."""

from approvals.log.append import append
from approvals.log.check import MOST_FINDINGS, Finding, Report, check
from approvals.log.follow import Follower
from approvals.log.proofs import consistency, inclusion
from approvals.log.sequence import BATCH, sequence, verify_extends
from approvals.log.tiles import checkpoint, entries, tile
from approvals.log.times import wrong_times

__all__ = [
    "BATCH",
    "MOST_FINDINGS",
    "Finding",
    "Follower",
    "Report",
    "append",
    "check",
    "checkpoint",
    "consistency",
    "entries",
    "inclusion",
    "sequence",
    "tile",
    "verify_extends",
    "wrong_times",
]
