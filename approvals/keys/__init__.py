"""The service's keys: one that signs approvals (ES256) and one that signs the log (Ed25519)."""

from approvals.keys.keyring import (
    DEFAULT_ORIGIN,
    LONGEST_APPROVAL,
    ApprovalKey,
    Keyring,
    KeyState,
    Rotation,
)

__all__ = [
    "DEFAULT_ORIGIN",
    "LONGEST_APPROVAL",
    "ApprovalKey",
    "KeyState",
    "Keyring",
    "Rotation",
]
