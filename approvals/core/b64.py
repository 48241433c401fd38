"""Base64url without padding (RFC 4648 section 5, RFC 7515 section 2), one spelling per value.

A lenient decoder takes many texts for the same bytes (padding, line breaks, stray characters,
unused bits that are not zero), so a token could be altered without breaking its signature, and
whatever is keyed on its text could be walked around. Here exactly one text decodes to given bytes.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64encode
from typing import Final

_TO_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
_PADDING: Final = (b"", b"!", b"==", b"=")


def encode(raw: bytes) -> str:
    """Write bytes as base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Read the one text that `encode` writes for these bytes.

    Raises:
        ValueError: the text is anything else.
    """
    try:
        # "+", "/", "=" and an impossible length become "!", which the strict reader refuses.
        # UnicodeEncodeError and binascii.Error are both ValueErrors.
        spelled = text.encode("ascii")
        raw = binascii.a2b_base64(
            spelled.translate(_TO_STANDARD) + _PADDING[len(spelled) % 4], strict_mode=True
        )
    except ValueError as error:
        raise ValueError("not base64url without padding") from error
    # A last character whose unused bits are set decodes to the same bytes as its canonical sibling.
    if encode(raw[len(raw) // 3 * 3 :]) != text[len(text) // 4 * 4 :]:
        raise ValueError("not the canonical base64url text of its bytes")
    return raw
