"""Writes tests/vectors/receipt/: what holds, and a file for each reason why a receipt is refused.

    python -m tests.vectors.make_receipt_vectors

Each file says what an enforcer has after spending and what it must answer: `approval` is the token
that it verified and spent, `use_id` the one that it sent, `receipt` what came back; `reason` is
null where the call may run. Keys are made fresh in memory and never written: running this again
gives other tokens with the same answers.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from approvals.core import jws
from approvals.core.receipt import TOKEN_TYPE, Receipt, sign
from tests.company import Company, digest_of, make_signing_key

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent / "receipt"
COMPANY = Company()
USE = "use-1"


def receipt_for(company: Company, **changes: Any) -> Receipt:
    """The receipt for the company's approval, spent when half of its life was over."""
    approval = company.approval()
    made = Receipt(
        issuer=approval.issuer,
        audience=approval.audience,
        tenant=approval.tenant,
        jti=approval.jti,
        txn=approval.txn,
        call_hash=approval.call_hash,
        use_id=USE,
        consumed=(approval.issued + approval.expires) // 2,
    )
    return replace(made, **changes)


def receipts(company: Company) -> Iterator[tuple[str, str | None, str, str]]:
    """Name, expected reason, what it is about, and the token."""
    approval, whole = company.approval(), receipt_for(company)
    claims = whole.claims()

    def signed(**changes: Any) -> str:
        return sign(replace(whole, **changes), key=company.key)

    yield "accepted", None, "the receipt for this use of this approval", signed()
    first = signed(consumed=approval.issued)
    yield "accepted-first", None, "spent in the second in which it was issued", first
    last = signed(consumed=approval.expires - 1)
    yield "accepted-last", None, "spent in the last second of the approval", last
    yield "use_id", "use_id", "another execution's receipt", signed(use_id="use-2")
    yield "iss", "iss", "of another service", signed(issuer="https://other.example")
    yield "aud", "aud", "another enforcer's", signed(audience="other-gateway")
    yield "tenant", "tenant", "of another tenant", signed(tenant="other")
    other = "b" * 26
    yield "jti", "jti", "for another approval", signed(jti=f"apr_{other}", txn=f"req_{other}")
    verdict = whole.txn.replace("req_", "vrd_")
    yield "txn", "txn", "for the approval of a verdict of that id", signed(txn=verdict)
    yield "call_hash", "call_hash", "for another call", signed(call_hash=digest_of("another"))
    early = signed(consumed=approval.issued - 1)
    yield "consumed-early", "consumed", "spent before it was issued", early
    late = signed(consumed=approval.expires)
    yield "consumed-late", "consumed", "spent after it had expired", late
    unknown = sign(whole, key=make_signing_key())
    yield "unknown_key", "unknown_key", "signed by a key that is not published", unknown
    typed = jws.sign(claims, key=company.key, typ="JWT")
    yield "type", "type", "typed as any JWT", typed
    yield "type-approval", "type", "the approval in place of its receipt", company.token(approval)
    head, payload, _ = signed().split(".")
    moved = ".".join((head, payload, unknown.rpartition(".")[2]))
    yield "signature", "signature", "with another token's signature", moved
    added = jws.sign({**claims, "max_uses": 2}, key=company.key, typ=TOKEN_TYPE)
    yield "malformed-claim", "malformed", "a claim that is not of a receipt", added
    for name in claims:
        fewer = {key: value for key, value in claims.items() if key != name}
        token = jws.sign(fewer, key=company.key, typ=TOKEN_TYPE)
        yield f"malformed-no-{name}", "malformed", f"without {name}", token
    yield "malformed", "malformed", "no token", "{}"
    yield "malformed-empty", "malformed", "nothing", ""


def main() -> None:
    """Write every file anew."""
    HERE.mkdir(exist_ok=True)
    for old in HERE.glob("*.json"):
        old.unlink()
    approval = COMPANY.token(COMPANY.approval())
    for name, reason, about, token in receipts(COMPANY):
        document = {
            "about": about,
            "reason": reason,
            "receipt": token,
            "approval": approval,
            "use_id": USE,
            "jwks": COMPANY.jwks,
        }
        text = json.dumps(document, indent=1, ensure_ascii=True)
        (HERE / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
