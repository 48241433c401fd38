"""What a passkey signs that is not a decision: a sign-in, an enrolment, a proof of being there.

WebAuthn has one operation for all of it: the authenticator signs 32 bytes, and the person sees the
same prompt. So each challenge is the digest of a document that names its purpose. The page's script
checks that document before it asks the passkey, and a verifier of decisions accepts only digests of
decisions. An attacker who serves the page's script can leave out the check; docs/threat-model.md
says what follows.

Follows docs/protocol.md, "What else is signed".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from approvals.core.decision.ceremony import challenge_of

if TYPE_CHECKING:
    from approvals.core.canonical import Json


class Purpose(StrEnum):
    """What a passkey is used for. `DECIDE` alone has a statement of its own, a decision."""

    DECIDE = "decide"
    SIGN_IN = "sign-in"
    ENROL = "enrol"
    ADD = "add-passkey"
    LINK = "link-account"
    UNLINK = "unlink-account"
    REVOKE = "revoke-passkey"

    @property
    def typ(self) -> str:
        """The type of the document that is signed."""
        return _TYPES.get(self, "assent/proof/1")


_TYPES = {
    Purpose.DECIDE: "assent/decision/1",
    Purpose.SIGN_IN: "assent/sign-in/1",
    Purpose.ENROL: "assent/enrolment/1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """One use of a passkey that decides nothing; times are seconds since the epoch.

    `person` is None at a sign-in: who it is, the passkey tells.
    """

    purpose: Purpose
    origin: str
    person: str | None
    nonce: str
    iat: int
    exp: int

    def document(self) -> dict[str, Json]:
        """The JSON object whose canonical form is signed."""
        return {
            "typ": self.purpose.typ,
            "purpose": self.purpose.value,
            "origin": self.origin,
            "person": self.person,
            "nonce": self.nonce,
            "iat": self.iat,
            "exp": self.exp,
        }

    def challenge(self) -> bytes:
        """The 32 bytes that the passkey is asked to sign."""
        return challenge_of(self.purpose.typ, self.document())
