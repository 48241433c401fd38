"""Whether Slack signed a callback: version 0 of its request signatures, read strictly.

1. Exactly one `X-Slack-Request-Timestamp`, which is digits, and exactly one `X-Slack-Signature`,
   which is `v0=` and 64 lower-case hexadecimal digits.
2. The HMAC over the raw body is that signature. Nothing of the body has been read before this.
3. The timestamp is within five minutes of the service's time.
4. The signature has not been taken before, by this or any other process (`taken_once` tells).

Whatever fails gives the same refusal, so that nobody learns how far they came. The SDK's own
verifier computes the HMAC; it takes a signature again and again within its window, raises on
headers that are no number, and believes the local clock.
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from slack_sdk.signature import SignatureVerifier

from approvals.core.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WINDOW: Final = 300
TIMESTAMP: Final = "x-slack-request-timestamp"
SIGNATURE: Final = "x-slack-signature"

_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_V0 = re.compile(r"v0=[0-9a-f]{64}", re.ASCII)


def refused() -> Unauthenticated:
    """The one refusal of everything that Slack would not have sent."""
    return Unauthenticated("this is not a callback that Slack signed", code="slack_callback")


class Signatures:
    """Checks callbacks against one signing secret."""

    def __init__(self, secret: str) -> None:
        """Keep the secret, inside the SDK's verifier."""
        self._verifier = SignatureVerifier(secret)

    def verify(
        self,
        *,
        timestamps: Sequence[str],
        signatures: Sequence[str],
        body: bytes,
        now: Callable[[], int],
    ) -> str:
        """Check 1 to 3; gives the digest by which a signature is taken once.

        `now` is asked only about a body that was signed, so that garbage costs no look-up.

        Raises:
            Unauthenticated: code `slack_callback`.
        """
        if len(timestamps) != 1 or len(signatures) != 1:
            raise refused()
        (timestamp,), (signature,) = timestamps, signatures
        if not _SECONDS.fullmatch(timestamp) or not _V0.fullmatch(signature):
            raise refused()
        try:
            expected = self._verifier.generate_signature(timestamp=timestamp, body=body)
        except UnicodeDecodeError:
            raise refused() from None  # a form is ASCII; the SDK signs text
        if expected is None or not hmac.compare_digest(expected, signature):
            raise refused()
        if abs(now() - int(timestamp)) > WINDOW:
            raise refused()
        return once_digest("signature", signature)


def once_digest(kind: str, value: str) -> str:
    """The name under which a callback is taken once."""
    return sha256(f"slack/{kind}/{value}".encode()).hexdigest()
