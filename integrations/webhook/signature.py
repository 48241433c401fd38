"""Standard Webhooks headers, with its asymmetric signature (`v1a`, Ed25519).

A receiver checks with the service's public key: no secret is shared, so none can leak at a
receiver's and none has to be handed over.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def signed(
    body: bytes, *, webhook_id: str, timestamp: int, key: Ed25519PrivateKey
) -> dict[str, str]:
    """The headers `webhook-id`, `webhook-timestamp` and `webhook-signature` for a body.

    The id has no full stop in it, which is what sets apart the parts of what is signed.
    """
    if "." in webhook_id:
        raise ValueError("an id with a full stop could be read as an id and a timestamp")
    signature = key.sign(f"{webhook_id}.{timestamp}.".encode() + body)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1a,{base64.b64encode(signature).decode()}",
    }
