"""A small company whose people really decide: requests, votes and approvals made honestly.

Tests start from what is right and then change one thing. Nothing here is faked: keys are fresh,
statements are signed by software passkeys, tokens by a signing key.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jwcrypto.jwk import JWK

from approvals.core import approval as approvals
from approvals.core import b64, jws
from approvals.core.approval import Approval, Basis
from approvals.core.calls import ToolCall, call_hash
from approvals.core.decision.ceremony import Decision, Evidence, Statement, StepUp, challenge
from approvals.core.decision.quorum import assign
from approvals.core.decision.requirement import Requirement
from approvals.core.decision.vote import Vote
from approvals.core.directory import Approver, Directory, EnrolledKey
from approvals.core.requests import RequestDocument
from approvals.verifier import Verifier
from tests.softkey import SoftKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from approvals.core.canonical import Json

NOW = 1_800_000_000
ISSUER = "https://approve.example"
AUDIENCE = "payments-gateway"
ORIGIN = "https://approve.example"
RP_ID = "approve.example"
OCCASION = "abcdefghijklmnopqrstuvwxyz"
CALL = ToolCall(
    "https://payments.example", "transfer", {"amount": "750.00", "to": "vendor@example.com"}
)
GROUPS: Mapping[str, tuple[str, ...]] = {
    "ada": ("finance",),
    "ben": ("finance", "managers"),
    "cleo": ("managers",),
    "dora": ("engineering",),
}
STAND_INS: Mapping[str, tuple[str, ...]] = {"ben": ("dora",), "cleo": ("dora",)}


def digest_of(text: str) -> str:
    """A digest that stands for something that these tests do not look into."""
    return b64.encode(text.encode().ljust(32, b".")[:32])


def new_key() -> dict[str, Any]:
    """A fresh ES256 key as a private JWK."""
    made: dict[str, Any] = JWK.generate(kty="EC", crv="P-256").export(as_dict=True)
    return made


def public_jwk(key: Mapping[str, Any]) -> dict[str, Any]:
    """The public half of a JWK."""
    return {name: value for name, value in key.items() if name != "d"}


def make_signing_key() -> jws.SigningKey:
    """A fresh ES256 key."""
    return jws.SigningKey.from_jwk(new_key())


TWO_FROM_FINANCE = Requirement(
    rule="large-transfers",
    reason="Transfers of 500 and more need two people from finance",
    approvers=("finance",),
    eligible=("ada", "ben"),
    quorum=2,
    step_up=StepUp.PASSKEY,
)


@dataclass
class Company:
    """Its service's signing key and its people's passkeys."""

    key: jws.SigningKey = field(default_factory=make_signing_key)
    passkeys: dict[str, SoftKey] = field(
        default_factory=lambda: {
            person: SoftKey(person, rp_id=RP_ID, origin=ORIGIN, step_up=StepUp.HARDWARE)
            for person in GROUPS
        }
    )

    @property
    def jwks(self) -> dict[str, Json]:
        """The service's published keys."""
        return {"keys": [self.key.public_jwk()]}

    @property
    def directory(self) -> Directory:
        """Everybody with their groups and passkeys."""
        return Directory(
            issuer=ISSUER,
            tenant="default",
            number=7,
            issued=NOW - 1000,
            rp_id=RP_ID,
            origins=(ORIGIN,),
            people=tuple(
                Approver(
                    id=person,
                    groups=GROUPS[person],
                    keys=(enrolled(passkey),),
                    stand_ins=STAND_INS.get(person, ()),
                    since=NOW - 100_000,
                )
                for person, passkey in self.passkeys.items()
            ),
        )

    def request(
        self, *requirements: Requirement, call: ToolCall = CALL, **changes: Any
    ) -> RequestDocument:
        """A request for `CALL` by the user "uma", made a minute ago."""
        document = RequestDocument(
            call_hash=call_hash(call),
            tool_definition=digest_of("definition"),
            tenant="default",
            user="uma",
            agent="billing-agent",
            task=None,
            precondition=None,
            bundle=digest_of("bundle"),
            requirements=requirements or (TWO_FROM_FINANCE,),
            display_digest=digest_of("display"),
            audience=AUDIENCE,
            nonce=b64.encode(secrets.token_bytes(32)),
            created=NOW - 60,
            expires=NOW + 840,
        )
        return replace(document, **changes)

    def vote(
        self,
        person: str,
        document: RequestDocument,
        *,
        passkey: SoftKey | None = None,
        step_up: StepUp | None = None,
        wrong: Mapping[str, Any] | None = None,
        **changes: Any,
    ) -> Vote:
        """That person's approving vote, signed after `changes` were made to the statement."""
        passkey = passkey or self.passkeys[person]
        statement = Statement(
            decision=Decision.APPROVE,
            request=f"req_{OCCASION}",
            request_digest=document.digest(),
            call_hash=document.call_hash,
            display_digest=document.display_digest or "",
            approver=person,
            nonce=b64.encode(secrets.token_bytes(32)),
            iat=NOW - 20,
            exp=NOW + 280,
        )
        statement = replace(statement, **changes)
        return Vote(
            approver=statement.approver,
            decision=statement.decision,
            step_up=step_up or passkey.step_up,
            time=statement.iat + 5,
            statement=statement,
            evidence=sign(passkey, statement, **(wrong or {})),
        )

    def approval(
        self,
        document: RequestDocument | None = None,
        votes: Sequence[Vote] | None = None,
        **changes: Any,
    ) -> Approval:
        """An approval that these votes (ada's and ben's, unless told) gave."""
        document = document or self.request()
        if votes is None:
            votes = [self.vote("ada", document), self.vote("ben", document)]
        assigned = assign(document.requirements, votes)
        approval = Approval(
            issuer=ISSUER,
            audience=document.audience,
            jti=f"apr_{OCCASION}",
            issued=NOW - 10,
            not_before=NOW - 10,
            expires=NOW + 290,
            user=document.user,
            agent=document.agent,
            txn=f"req_{OCCASION}",
            tenant=document.tenant,
            target=CALL.target,
            tool=CALL.tool,
            call_hash=document.call_hash,
            request_digest=document.digest(),
            bundle=document.bundle,
            rules=tuple(sorted({requirement.rule for requirement in document.requirements})),
            basis=Basis.HUMAN,
            precondition=document.precondition,
            request=document,
            approvals=approvals.counted(assigned or [(vote, "large-transfers") for vote in votes]),
        )
        return replace(approval, **changes)

    def allowed(self, **changes: Any) -> Approval:
        """An approval by policy alone."""
        document = self.request(requirements=(), display_digest=None)
        basis = {"basis": Basis.POLICY, "txn": f"vrd_{OCCASION}", "request": None}
        return self.approval(document, [], **{**basis, "rules": ("reads",), **changes})

    def verifier(self, **options: Any) -> Verifier:
        """A verifier of the company's enforcer, with its people pinned."""
        given: dict[str, Any] = {"keys": self.jwks, "people": self.directory, **options}
        return Verifier(issuer=ISSUER, audience=AUDIENCE, **given)

    def token(self, approval: Approval) -> str:
        """The approval as the service would sign it."""
        return approvals.issue(approval, key=self.key)


def enrolled(passkey: SoftKey) -> EnrolledKey:
    """A passkey as a directory lists it."""
    return EnrolledKey(
        credential_id=passkey.credential_id,
        public_key=passkey.cose,
        aaguid=passkey.aaguid,
        backup_eligible=passkey.backup_eligible,
        step_up=passkey.step_up,
        since=NOW - 90_000,
    )


def sign(passkey: SoftKey, statement: Statement, **wrong: Any) -> Evidence:
    """Evidence that this passkey signed this statement, as the service would keep it."""
    options = {"challenge": b64.encode(challenge(statement))}
    response = passkey.authenticate(options, **wrong)["response"]
    return Evidence(
        credential_id=passkey.credential_id,
        client_data_json=b64.decode(response["clientDataJSON"]),
        authenticator_data=b64.decode(response["authenticatorData"]),
        signature=b64.decode(response["signature"]),
        user_handle=b64.decode(response["userHandle"]),
        public_key=passkey.cose,
        aaguid=passkey.aaguid,
        backup_eligible=passkey.backup_eligible,
        backup_state=passkey.backed_up,
        rp_id=RP_ID,
        origins=(ORIGIN,),
    )
