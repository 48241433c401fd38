"""What a person signs, and checking that this person's key signed it.

A decision, approve or deny alike, is a *statement*: who decides what about which request, call and
displayed document. Its digest is the WebAuthn challenge, so the passkey's signature covers all of
it and cannot be carried to another call, request, person or decision. The *evidence* is everything
needed to check that again later, offline and without trusting the service. The service and the
offline verifier call the one function here, `verify_evidence`.

What holds after `verify_evidence`: the key given signed this statement, for this relying party,
from one of the origins given, in a page that was not framed by another site, with the person
present and verified by the authenticator. What a copy of the statement used twice would mean is the
caller's to stop.

Follows Web Authentication Level 3, section 7.2, and docs/protocol.md.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from approvals.core import b64, canonical, documents
from approvals.core.decision import passkey
from approvals.core.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from approvals.core.canonical import Json

STATEMENT_TYPE = "assent/decision/1"
STATEMENT_LIFE = 300
"""Seconds that a statement may live at most."""

NONCE_LENGTH = 32
AAGUID_LENGTH = 16


class Decision(StrEnum):
    """What a person may answer."""

    APPROVE = "approve"
    DENY = "deny"


class StepUp(StrEnum):
    """How a decision is made, from the weakest to the strongest."""

    SESSION = "session"
    PASSKEY = "passkey"
    HARDWARE = "hardware-passkey"

    def covers(self, other: StepUp) -> bool:
        """Whether a decision made this way is good enough where `other` is asked for."""
        return _STRENGTH[self] >= _STRENGTH[other]

    @property
    def amr(self) -> tuple[str, ...]:
        """The authentication methods that stand behind it (RFC 8176)."""
        return _METHODS[self]


_STRENGTH = {StepUp.SESSION: 0, StepUp.PASSKEY: 1, StepUp.HARDWARE: 2}
# A click in a signed-in channel proves no key. A passkey with user verification is possession and
# one more factor; only one whose maker attested that it cannot be copied may be called
# hardware-held.
_METHODS: dict[StepUp, tuple[str, ...]] = {
    StepUp.SESSION: (),
    StepUp.PASSKEY: ("mfa", "pop", "user"),
    StepUp.HARDWARE: ("hwk", "mfa", "user"),
}

_STATEMENT: Mapping[str, tuple[type, ...]] = {
    "typ": (str,),
    "decision": (str,),
    "request": (str,),
    "request_digest": (str,),
    "call_hash": (str,),
    "display_digest": (str,),
    "approver": (str,),
    "nonce": (str,),
    "iat": (int,),
    "exp": (int,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One person's decision about one request, before it is signed.

    Digests and the nonce are base64url as they are written; times are seconds since the epoch.
    """

    decision: Decision
    request: str
    request_digest: str
    call_hash: str
    display_digest: str
    approver: str
    nonce: str
    iat: int
    exp: int

    def document(self) -> dict[str, Json]:
        """The JSON object whose canonical form is signed."""
        return {
            "typ": STATEMENT_TYPE,
            "decision": self.decision.value,
            "request": self.request,
            "request_digest": self.request_digest,
            "call_hash": self.call_hash,
            "display_digest": self.display_digest,
            "approver": self.approver,
            "nonce": self.nonce,
            "iat": self.iat,
            "exp": self.exp,
        }

    @classmethod
    def from_document(cls, document: object, place: str = "statement") -> Statement:
        """Read a statement strictly; `Invalid` names the member that is wrong."""
        it = documents.read(document, _STATEMENT, place)
        if it["typ"] != STATEMENT_TYPE:
            documents.refuse(f"{place}.typ", f"not {STATEMENT_TYPE}")
        if it["decision"] not in _DECISIONS:
            documents.refuse(f"{place}.decision", "neither approve nor deny")
        if len(documents.octets(it["nonce"], f"{place}.nonce")) != NONCE_LENGTH:
            documents.refuse(f"{place}.nonce", f"not {NONCE_LENGTH} bytes")
        iat = documents.moment(it["iat"], f"{place}.iat")
        exp = documents.moment(it["exp"], f"{place}.exp")
        if not 0 < exp - iat <= STATEMENT_LIFE:
            documents.refuse(f"{place}.exp", f"not within {STATEMENT_LIFE} seconds after iat")
        return cls(
            decision=Decision(it["decision"]),
            request=it["request"],
            request_digest=documents.digest(it["request_digest"], f"{place}.request_digest"),
            call_hash=documents.digest(it["call_hash"], f"{place}.call_hash"),
            display_digest=documents.digest(it["display_digest"], f"{place}.display_digest"),
            approver=it["approver"],
            nonce=it["nonce"],
            iat=iat,
            exp=exp,
        )


_DECISIONS = frozenset(Decision)


def challenge(statement: Statement) -> bytes:
    """The 32 bytes a passkey is asked to sign for this statement."""
    return challenge_of(STATEMENT_TYPE, statement.document())


def challenge_of(typ: str, document: Mapping[str, Json]) -> bytes:
    """The challenge for a document of this type, whatever a passkey signs.

    The prefix keeps one type from ever being taken for another: no sign-in and no enrolment has
    the challenge of a decision.
    """
    return hashlib.sha256(typ.encode() + b"\x00" + canonical.encode(dict(document))).digest()


_EVIDENCE: Mapping[str, tuple[type, ...]] = {
    "credential_id": (str,),
    "client_data_json": (str,),
    "authenticator_data": (str,),
    "signature": (str,),
    "user_handle": (str, documents.NULL),
    "public_key": (str,),
    "aaguid": (str,),
    "backup_eligible": (bool,),
    "backup_state": (bool,),
    "rp_id": (str,),
    "origins": (list,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A passkey's assertion over a statement, with what was enrolled for that passkey.

    `public_key` is the COSE_Key as the authenticator gave it; `backup_eligible` is fixed at
    enrolment, `backup_state` is as it was at this assertion.
    """

    credential_id: bytes
    client_data_json: bytes
    authenticator_data: bytes
    signature: bytes
    user_handle: bytes | None
    public_key: bytes
    aaguid: bytes
    backup_eligible: bool
    backup_state: bool
    rp_id: str
    origins: tuple[str, ...]

    def document(self) -> dict[str, Json]:
        """The JSON form, byte strings as base64url without padding."""
        return {
            "credential_id": b64.encode(self.credential_id),
            "client_data_json": b64.encode(self.client_data_json),
            "authenticator_data": b64.encode(self.authenticator_data),
            "signature": b64.encode(self.signature),
            "user_handle": None if self.user_handle is None else b64.encode(self.user_handle),
            "public_key": b64.encode(self.public_key),
            "aaguid": b64.encode(self.aaguid),
            "backup_eligible": self.backup_eligible,
            "backup_state": self.backup_state,
            "rp_id": self.rp_id,
            "origins": list(self.origins),
        }

    @classmethod
    def from_document(cls, document: object, place: str = "evidence") -> Evidence:
        """Read evidence strictly; `Invalid` names the member that is wrong."""
        it = documents.read(document, _EVIDENCE, place)
        octets = {
            name: documents.octets(it[name], f"{place}.{name}")
            for name in (
                "credential_id",
                "client_data_json",
                "authenticator_data",
                "signature",
                "public_key",
                "aaguid",
            )
        }
        if len(octets["aaguid"]) != AAGUID_LENGTH:
            documents.refuse(f"{place}.aaguid", f"not {AAGUID_LENGTH} bytes")
        handle = it["user_handle"]
        return cls(
            **octets,
            user_handle=None
            if handle is None
            else documents.octets(handle, f"{place}.user_handle"),
            backup_eligible=it["backup_eligible"],
            backup_state=it["backup_state"],
            rp_id=it["rp_id"],
            origins=documents.strings(it["origins"], f"{place}.origins"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedEvidence:
    """What evidence proves; only `verify_evidence` makes one."""

    approver: str
    step_up: StepUp
    sign_count: int


def verify_evidence(
    statement: Statement,
    evidence: Evidence,
    *,
    public_key: bytes,
    rp_id: str,
    origins: Collection[str],
    enrolled_as: StepUp,
    now: int | None = None,
    backup_eligible: bool | None = None,
    user_handle: bytes | None = None,
) -> VerifiedEvidence:
    """Check that the holder of `public_key` signed `statement`, and say how strongly.

    `public_key`, `rp_id`, `origins`, `enrolled_as` and, where given, `backup_eligible` and
    `user_handle` are what the caller holds to be true: never taken from the evidence.
    `enrolled_as` is the strongest step-up that this key may make: `hardware-passkey` only where an
    attestation of it was verified, because what a key says of itself anybody can program. `now` is
    the moment of the decision; without it the statement's times are only checked against each
    other. Raises `EvidenceError`, `.code` naming the check:

    1. The statement: lives at most five minutes, and is alive at `now`. (code `statement`)
    2. What was enrolled is what the caller pinned, else evidence could bring its own key.
       (`public_key`, `rp_id`, `origin`, `user_handle`, `backup`)
    3. The client data: an assertion, over this statement's challenge, from one of the origins, not
       in a frame of another site. (`client_data`, `challenge`, `origin`, `cross_origin`)
    4. The signature over authenticator data and client data. (`signature`)
    5. The authenticator data: this relying party, person present and verified, flags that agree
       with the enrolment, nothing behind the end. (`authenticator_data`, `rp_id`, `user_presence`,
       `user_verification`, `backup`)
    """
    # 1. A statement that lives long could be collected now and used when it suits the attacker.
    if not 0 < statement.exp - statement.iat <= STATEMENT_LIFE:
        raise EvidenceError("the statement lives too long", code="statement")
    if now is not None and not statement.iat <= now < statement.exp:
        raise EvidenceError("the statement was not alive at that time", code="statement")

    # 2. Evidence describes its own key so that a person can read it; belief comes from the caller
    #    alone.
    if not hmac.compare_digest(evidence.public_key, public_key):
        raise EvidenceError("the evidence names another public key", code="public_key")
    if evidence.rp_id != rp_id:
        raise EvidenceError("the evidence names another relying party", code="rp_id")
    if not evidence.origins or not set(evidence.origins) <= set(origins):
        raise EvidenceError("the evidence names an origin that is not pinned", code="origin")
    # A user handle is optional in an assertion where the credential was named, as it is here.
    if user_handle is not None and evidence.user_handle not in (None, user_handle):
        raise EvidenceError("the assertion is for another user handle", code="user_handle")
    if backup_eligible is not None and evidence.backup_eligible is not backup_eligible:
        raise EvidenceError("the evidence misstates whether the key can be copied", code="backup")

    # 3. Deny turned into approve, or A's assertion used for B, is another challenge.
    passkey.check_client_data(
        evidence.client_data_json, challenge=challenge(statement), origins=evidence.origins
    )

    # 4. Before anything else in the authenticator data is read: it is the signer's word from here
    #    on.
    signed = evidence.authenticator_data + hashlib.sha256(evidence.client_data_json).digest()
    passkey.verify_signature(public_key, signature=evidence.signature, message=signed)

    # 5. A key enrolled as bound to its device cannot become a copyable one, nor the reverse.
    seen = passkey.read_authenticator_data(evidence.authenticator_data, rp_id=rp_id)
    if seen.backup_eligible is not evidence.backup_eligible:
        raise EvidenceError("backup eligibility differs from the enrolment", code="backup")
    if seen.backup_state is not evidence.backup_state:
        raise EvidenceError("the evidence misstates the backup state", code="backup")
    return VerifiedEvidence(
        approver=statement.approver,
        step_up=(
            StepUp.HARDWARE
            if enrolled_as is StepUp.HARDWARE and not seen.backup_eligible
            else StepUp.PASSKEY
        ),
        sign_count=seen.sign_count,
    )
