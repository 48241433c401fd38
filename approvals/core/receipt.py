"""The receipt: the service's signed statement that one use has spent one approval.

An enforcer runs a call only after `verify` accepted its receipt. Then a key of the service signed
it, for this enforcer, approval and call, at a time when the approval was valid. It names the
`use_id` that the enforcer made for this one execution. An answer without such a receipt lets
nothing run, even with status 200: it may come from a proxy, a cache or a server in the wrong place.

Follows docs/protocol.md, "Spending".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from approvals.core import documents, jws
from approvals.core.approval import verify_occasion
from approvals.core.errors import Invalid, JwsError, ReceiptRejected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.approval import Approval
    from approvals.core.canonical import Json

TOKEN_TYPE: Final = "assent-receipt+jwt"  # noqa: S105 - a media type, not a secret

_CLAIMS: Mapping[str, tuple[type, ...]] = {
    "iss": (str,),
    "aud": (str,),
    "tenant": (str,),
    "jti": (str,),
    "txn": (str,),
    "call_hash": (str,),
    "use_id": (str,),
    "consumed": (int,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """That the approval `jti` was spent: by which enforcer, for which call and use, and when.

    `jti` and `txn` are those of the approval; `consumed` is in Unix seconds.
    """

    issuer: str
    audience: str
    tenant: str
    jti: str
    txn: str
    call_hash: str
    use_id: str
    consumed: int

    def claims(self) -> dict[str, Json]:
        """The claims of the token."""
        return {
            "iss": self.issuer,
            "aud": self.audience,
            "tenant": self.tenant,
            "jti": self.jti,
            "txn": self.txn,
            "call_hash": self.call_hash,
            "use_id": self.use_id,
            "consumed": self.consumed,
        }

    @classmethod
    def from_claims(cls, claims: object) -> Receipt:
        """Read the claims strictly; `Invalid` names the claim that is wrong."""
        it = documents.read(claims, _CLAIMS, "receipt")
        verify_occasion(it["jti"], it["txn"], "receipt")
        return cls(
            issuer=it["iss"],
            audience=it["aud"],
            tenant=it["tenant"],
            jti=it["jti"],
            txn=it["txn"],
            call_hash=documents.digest(it["call_hash"], "receipt.call_hash"),
            use_id=it["use_id"],
            consumed=documents.moment(it["consumed"], "receipt.consumed"),
        )


def sign(receipt: Receipt, *, key: jws.SigningKey) -> str:
    """The receipt as the service gives it: a compact JWS."""
    return jws.sign(receipt.claims(), key=key, typ=TOKEN_TYPE)


def read(token: str, *, keys: jws.KeySet | Mapping[str, Json]) -> Receipt:
    """The receipt in a token that one of `keys` signed, or `ReceiptRejected`.

    What it is a receipt of is for the caller to compare; `verify` does it for an approval.
    """
    try:
        _, claims = jws.verify(token, keys=keys, typ=TOKEN_TYPE, signed_at="consumed")
        return Receipt.from_claims(claims)
    except JwsError as error:
        place = "receipt" if error.place is None else f"receipt.{error.place}"
        raise ReceiptRejected(error.message, reason=error.reason, place=place) from error
    except Invalid as error:
        raise ReceiptRejected(error.message, reason="malformed", place=error.place) from error


def verify(
    token: str, *, keys: jws.KeySet | Mapping[str, Json], approval: Approval, use_id: str
) -> Receipt:
    """The receipt for this use of this approval, or `ReceiptRejected`."""
    receipt = read(token, keys=keys)
    verify_spending(receipt, approval)
    # The receipt of another use is another execution's: this one has not been let through.
    if receipt.use_id != use_id:
        raise ReceiptRejected(
            "the receipt is for another use", reason="use_id", place="receipt.use_id"
        )
    return receipt


def verify_spending(receipt: Receipt, approval: Approval) -> None:
    """Check that a receipt is for this approval, spent in its time; or raise `ReceiptRejected`."""
    for name, given, wanted in (
        ("iss", receipt.issuer, approval.issuer),
        ("aud", receipt.audience, approval.audience),
        ("tenant", receipt.tenant, approval.tenant),
        ("jti", receipt.jti, approval.jti),
        ("txn", receipt.txn, approval.txn),
        ("call_hash", receipt.call_hash, approval.call_hash),
    ):
        if given != wanted:
            raise ReceiptRejected(
                "the receipt is for another approval", reason=name, place=f"receipt.{name}"
            )
    if not approval.issued <= receipt.consumed < approval.expires:
        raise ReceiptRejected(
            "the receipt is of a time at which the approval was not valid",
            reason="consumed",
            place="receipt.consumed",
        )
