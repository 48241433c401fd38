"""The evidence of one call in one file, and checking it with nothing but pinned keys."""

from __future__ import annotations

from approvals.core.evidence_file.completeness import Completeness
from approvals.core.evidence_file.document import EvidenceFile, LoggedEvent, Outcome
from approvals.core.evidence_file.finding import Finding
from approvals.core.evidence_file.verify import verify

__all__ = [
    "Completeness",
    "EvidenceFile",
    "Finding",
    "LoggedEvent",
    "Outcome",
    "verify",
]
