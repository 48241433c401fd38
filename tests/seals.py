"""A key for seals, for tests of a database that no service stands on."""

from __future__ import annotations

import hmac


def mac(text: bytes) -> bytes:
    """HMAC-SHA-256 under a key that everybody knows."""
    return hmac.digest(b"tests" * 8, text, "sha256")
