"""The directory of approvers' keys, which enforcers pin so as not to trust the service."""

from __future__ import annotations

from approvals.core.directory.entries import OVERLAP, Approver, EnrolledKey, FormerKey, FormerPlace
from approvals.core.directory.listing import DOCUMENT_TYPE, Directory
from approvals.core.directory.pinning import TOKEN_TYPE, read_pinned, sign, verify, verify_successor

__all__ = [
    "DOCUMENT_TYPE",
    "OVERLAP",
    "TOKEN_TYPE",
    "Approver",
    "Directory",
    "EnrolledKey",
    "FormerKey",
    "FormerPlace",
    "read_pinned",
    "sign",
    "verify",
    "verify_successor",
]
