"""The service's keys: for approvals (ES256), for the log and for webhooks (Ed25519), for seals."""

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
