"""What verifying an approval costs beside the one thing that it cannot do without: the signature.

The call is 1 KB of canonical form, the approval is the one that policy gives. The floor is the
check of the same bytes by `cryptography` with the key already read.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from approvals.core import b64
from approvals.core.calls import ToolCall, call_hash
from approvals.verifier import Verifier
from tests.company import AUDIENCE, ISSUER, NOW, Company

if TYPE_CHECKING:
    from collections.abc import Callable

AIM = 1.6
# Many short rounds: a round that was interrupted loses, and one of each was not.
ROUNDS, CALLS = 1500, 10


def run() -> list[dict[str, Any]]:
    """Measure both in turns, so that what else the machine does falls on both; the best counts."""
    company = Company()
    lines: Any = [{"sku": f"item-{number:04}", "quantity": number} for number in range(24)]
    call = ToolCall("https://payments.example", "order", {"lines": lines, "memo": "m" * 50})
    document = company.request(call=call)
    approval = company.allowed(tool=call.tool, target=call.target, call_hash=document.call_hash)
    token = company.token(approval)
    verifier = Verifier(issuer=ISSUER, audience=AUDIENCE, keys=company.jwks)
    assert verifier.verify(token, call, now=NOW).call_hash == call_hash(call)

    signed, _, signature = token.rpartition(".")
    raw, message = b64.decode(signature), signed.encode()
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    jwk: dict[str, Any] = company.key.public_jwk()
    x, y = (int.from_bytes(b64.decode(jwk[name])) for name in ("x", "y"))
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    algorithm = ec.ECDSA(SHA256())

    ours, floor = [], []
    for _ in range(ROUNDS):
        floor.append(_timed(lambda: key.verify(der, message, algorithm)))
        ours.append(_timed(lambda: verifier.verify(token, call, now=NOW)))
    ratio = min(ours) / min(floor)
    return [
        {
            "name": "verify the approval of a 1 KB call, against the bare ES256 check",
            "ratio": round(ratio, 2),
            "aim": f"<= {AIM}",
            "meets": ratio <= AIM,
            "call_bytes": len(call.canonical()),
            "token_bytes": len(token),
            "microseconds": round(min(ours) * 1e6, 1),
            "floor_microseconds": round(min(floor) * 1e6, 1),
        }
    ]


def _timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(CALLS):
        act()
    return (time.perf_counter() - start) / CALLS


if __name__ == "__main__":
    for result in run():
        print(result)
