"""One file of tests/vectors/approval/, and the made-up company that its tokens are of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from approvals.core.calls import call_hash
from tests.company import AUDIENCE, CALL, ISSUER, NOW, ORIGIN, RP_ID, TWO_FROM_FINANCE, Company
from tests.softkey import SoftKey

COMPANY = Company()
COMPANY_WITH_SYNCED_KEYS = Company(
    key=COMPANY.key,
    passkeys={
        person: SoftKey(person, rp_id=RP_ID, origin=ORIGIN, backup_eligible=True)
        for person in COMPANY.passkeys
    },
)
STOOD_IN = replace(TWO_FROM_FINANCE, eligible=("ada", "dora"), stand_ins=(("dora", "ben"),))


@dataclass(frozen=True)
class Vector:
    """One file: the expected reason, None where it passes; the token; what else is given."""

    name: str
    reason: str | None
    about: str
    token: str
    pinned: bool = True
    decided_by: str = "verifier"
    given: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The JSON object of the file."""
        document = {
            "about": self.about,
            "reason": self.reason,
            "decided_by": self.decided_by,
            "token": self.token,
            "call": {"target": CALL.target, "tool": CALL.tool, "args": CALL.args},
            "call_hash": call_hash(CALL),
            "now": NOW,
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "tenant": "default",
            "jwks": COMPANY.jwks,
            **self.given,
        }
        if self.pinned:
            document.setdefault("directory", COMPANY.directory.document())
        return document
