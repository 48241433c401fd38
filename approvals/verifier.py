"""What an enforcement layer runs before a call: token and call in, a verified approval out.

    verifier = Verifier(issuer="https://approve.example", audience="payments", keys=jwks)
    approval = verifier.verify(token, call, now=int(time.time()))

`call` is the call that is about to run, parsed from the very bytes that will run, never a hash that
somebody sent. What holds afterwards: the service approved exactly this call, for this enforcer,
minutes ago; and with `people` pinned, the people in it did. What does not hold yet: that it was not
used before. Spending (`POST /v1/approvals/{jti}/consume`) comes last and is what makes an approval
single-use: the call may run once `verify_receipt` has taken the receipt that came back.

This module needs no service, no network and no clock: time is an argument. It raises nothing but
`ApprovalRejected` and `ReceiptRejected`, whatever the tokens hold.

Follows docs/protocol.md, "Verifying an approval" and "Spending".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from approvals.core import authority, jws
from approvals.core import receipt as receipts
from approvals.core.approval import MAX_LIFE, MAX_SKEW, TOKEN_TYPE, Approval, Basis
from approvals.core.calls import ToolCall, call_hash
from approvals.core.directory import Directory, verify_successor
from approvals.core.errors import (
    REASONS,
    AdmissionError,
    ApprovalRejected,
    Invalid,
    JwsError,
    ReceiptRejected,
)
from approvals.core.floor import Floor, Floors, PinnedFloor, RiskGroup
from approvals.core.receipt import Receipt

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from approvals.core.canonical import Json

__all__ = [
    "ApprovalRejected",
    "Floor",
    "Floors",
    "Receipt",
    "ReceiptRejected",
    "RiskGroup",
    "ToolCall",
    "VerifiedApproval",
    "Verifier",
]


PEOPLE_MAX_AGE: Final = 90 * 24 * 3600
"""Seconds for which a pinned directory is good, unless the enforcer says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedApproval:
    """An approval of this very call. Only `Verifier.verify` makes one."""

    jti: str
    call_hash: str
    approval: Approval


class Verifier:
    """Checks approvals for one enforcer against the keys, and if pinned the people, that it trusts.

    `keys` is the service's JWKS. `people` is the directory of approvers' keys: with it, no approval
    counts that a person's own passkey did not sign, so that a stolen signing key of the service
    approves nothing; tools named in `unattended` may still be allowed by policy alone. Nothing is
    approved with a directory that is older than `people_max_age` (None: of whatever age), or from
    the future: an old one still counts who has left, and keys that were lost. `people_least` is the
    number of the newest directory that was pinned before; an older one is refused (`Invalid`,
    `directory_older`). `skew` and `people_max_age` are in seconds.

    `floor` is whom this enforcer itself wants asked, by tool, whatever bundle, request and service
    say: `{"transfer": Floor(quorum=2, groups={"finance"})}`, or `Floors` with risk groups. A tool
    that it does not name needs the entry `*`, or a place in `unattended`: it is refused otherwise.
    It needs `people`, because nobody else's word on groups and keys counts for it.
    """

    __slots__ = (
        "_audience",
        "_floor",
        "_issuer",
        "_keys",
        "_people",
        "_people_max_age",
        "_skew",
        "_tenant",
        "_unattended",
    )

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        keys: jws.KeySet | Mapping[str, Json],
        people: Directory | Mapping[str, Json] | None = None,
        people_max_age: int | None = PEOPLE_MAX_AGE,
        people_least: int = 0,
        tenant: str = "default",
        skew: int = MAX_SKEW,
        unattended: Collection[str] = (),
        floor: Floors | Mapping[str, Floor | Sequence[Floor]] | None = None,
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys = keys if isinstance(keys, jws.KeySet) else jws.KeySet.from_jwks(keys)
        if people is not None and not isinstance(people, Directory):
            people = Directory.from_document(people)
        if people is not None and (people.issuer, people.tenant) != (issuer, tenant):
            raise Invalid(
                f"the directory is of {people.issuer} and its tenant {people.tenant}, and this "
                f"verifier takes approvals of {issuer} and its tenant {tenant}",
                code="directory",
            )
        if people is not None:
            verify_successor(people, number=people_least)
        self._people = people
        self._people_max_age = people_max_age
        self._tenant = tenant
        self._skew = skew
        self._unattended = frozenset(unattended)
        self._floor: PinnedFloor | None = None
        if floor is not None:
            if people is None:
                raise Invalid(
                    "a floor counts the people of a pinned directory, and none is pinned",
                    code="floor",
                )
            floors = floor if isinstance(floor, Floors) else Floors(floor)
            self._floor = PinnedFloor(floors, people, self._unattended)

    def verify_askable(
        self,
        tool: str,
        *,
        now: int,
        user: str | None = None,
        audience: str | None = None,
        tenant: str | None = None,
    ) -> None:
        """Refuse, before anybody is asked, what no approval could be verified for afterwards.

        `audience` and `tenant` are as whom the service is asked. Ask each time: keys and
        directories grow old. Raises `ApprovalRejected` with the reason that `verify` would have
        once people had approved: `unknown_key` (all keys are retired), `audience`, `tenant`,
        `directory`, or `floor` (it has no word on the tool, or cannot be filled).
        """
        if self._keys.are_retired(now):
            raise ApprovalRejected(
                "unknown_key", "every key of the service that is pinned is retired: pin newer ones"
            )
        self._verify_parties(
            self._issuer,
            self._audience if audience is None else audience,
            self._tenant if tenant is None else tenant,
        )
        if self._people is not None:
            self._verify_age(self._people, now)
        if self._floor is not None:
            self._floor.verify_fillable(tool, user=user)

    def verify(  # noqa: C901, PLR0912 - fourteen steps, to be read and audited in one place, in order
        self,
        token: str,
        call: ToolCall,
        *,
        now: int,
        agent: str | None = None,
        user: str | None = None,
        precondition: str | None = None,
    ) -> VerifiedApproval:
        """Check that `token` approves `call` at `now` (seconds), or raise `ApprovalRejected`.

        `agent` and `user`, where the enforcer knows them, must be those of the approval;
        `precondition` must be what the approval was given for, including none.

         1. The token is one strict compact JWS, typed as an approval, signed by a key of the issuer
            with that key's algorithm. (`malformed`, `type`, `unknown_key`, `algorithm`,
            `signature`)
         2. Its claims are complete, and nothing is in them that nobody checks. (`malformed`)
         3. It was issued by this service. (`issuer`)
         4. It is made out to this enforcer alone. (`audience`)
         5. It belongs to this tenant. (`tenant`)
         6. Its life is as short as an approval's may be. (`lifetime`)
         7. It is alive now, and what is pinned is not too old. (`not_yet_valid`, `expired`,
            `directory`)
         8. The call about to run hashes to what was approved. (`call_mismatch`)
         9. It is this agent's, for this user. (`agent_mismatch`, `user_mismatch`)
        10. The resource is still what it was. (`precondition`)
        11. It stands on an authority that is enough here. (`floor`, `basis`)
        12. People were asked for what the claims say, and each statement says yes to it; with
            people pinned, their passkeys signed those statements. (`evidence`)
        13. Distinct persons entitled to it fill every place. (`quorum`)
        14. They also fill the places that this enforcer itself wants filled. (`floor`)
        """
        # 1. Any key but the issuer's, any algorithm but the key's, any second spelling of the
        #    token.
        try:
            _, claims = jws.verify(token, keys=self._keys, typ=TOKEN_TYPE, signed_at="iat", now=now)
        except JwsError as error:
            raise ApprovalRejected(error.reason, error.message, place=error.place) from error

        # 2. A claim that is missing or unknown: what this version does not read, it must not wave
        #    through.
        try:
            approval = Approval.from_claims(claims)
        except Invalid as error:
            raise ApprovalRejected("malformed", error.message, place=error.place) from error

        # 3. A key shared by two services, or a test service trusted by mistake.
        # 4. An approval for one enforcer, carried to another that would run it a second time.
        # 5. Another tenant's approval.
        self._verify_parties(approval.issuer, approval.audience, approval.tenant)

        # 6. A long life would outlive the record of what was spent, and every revocation.
        ordered = approval.issued <= approval.not_before < approval.expires
        if not ordered or approval.expires > approval.issued + MAX_LIFE:
            raise ApprovalRejected("lifetime", place="exp")

        # 7. One from the future or the past; clocks may differ by the skew, no more.
        if now + self._skew < approval.not_before:
            raise ApprovalRejected("not_yet_valid", place="nbf")
        if now - self._skew >= approval.expires:
            raise ApprovalRejected("expired", place="exp")
        if self._people is not None:
            self._verify_age(self._people, now)

        # 8. The agent got one call approved and runs another. Recomputed here, from the call
        #    itself.
        hashed = _hash(call)
        detail = "authorization_details[0]"
        if approval.target != call.target:
            raise _differs(
                "call_mismatch", call.target, approval.target, place=f"{detail}.locations"
            )
        if approval.tool != call.tool:
            raise _differs("call_mismatch", call.tool, approval.tool, place=f"{detail}.identifier")
        if approval.call_hash != hashed:
            raise ApprovalRejected(
                "call_mismatch",
                f"target and tool are the approved ones, the arguments are not (hash {hashed} "
                f"against {approval.call_hash})",
                place="authorization_details[0].call_hash",
            )

        # 9. One agent's approval in another's hands, or for another user's account.
        if agent is not None and approval.agent != agent:
            raise _differs("agent_mismatch", agent, approval.agent, place="act.sub")
        if user is not None and approval.user != user:
            raise _differs("user_mismatch", user, approval.user, place="sub")

        # 10. The record was changed between decision and execution. One side alone knowing of a
        #     precondition is refused too: it would otherwise go unchecked.
        if approval.precondition != precondition:
            raise ApprovalRejected("precondition", place="precondition")

        # 11. A signing key alone can always claim that policy allowed it.
        if approval.basis is Basis.POLICY:
            if self._floor is not None and self._floor.of(call.tool):
                raise ApprovalRejected("floor", place="basis")
            if self._people is not None and call.tool not in self._unattended:
                raise ApprovalRejected("basis", _needs_a_person(call.tool), place="basis")
            return VerifiedApproval(jti=approval.jti, call_hash=hashed, approval=approval)

        # 12. A decision on one thing presented as a decision on another, or one that nobody made.
        request = authority.verify_request(approval)
        authority.verify_votes(approval, request, self._people, skew=self._skew)

        # 13. Too few people, one twice, the wrong ones, or the very person it is for.
        authority.verify_quorum(approval, request, self._people)

        # 14. Rules that were loosened: in the bundle, in a stored request, by who has the keys.
        if self._floor is not None:
            self._floor.verify(approval)
        return VerifiedApproval(jti=approval.jti, call_hash=hashed, approval=approval)

    def _verify_parties(self, issuer: str, audience: str, tenant: str) -> None:
        if issuer != self._issuer:
            raise _differs("issuer", self._issuer, issuer, place="iss")
        if audience != self._audience:
            raise _differs("audience", self._audience, audience, place="aud")
        if tenant != self._tenant:
            raise _differs("tenant", self._tenant, tenant, place="tenant")

    def _verify_age(self, people: Directory, now: int) -> None:
        if people.issued > now + self._skew:
            raise ApprovalRejected(
                "directory", f"the pinned directory says that it is of {people.issued}, after now"
            )
        age = now - people.issued
        if self._people_max_age is not None and age > self._people_max_age:
            raise ApprovalRejected(
                "directory",
                f"the pinned directory is {age} seconds old and may be {self._people_max_age}: "
                "pin a newer one (assent keys directory)",
            )

    def verify_receipt(self, token: str, approval: VerifiedApproval, *, use_id: str) -> Receipt:
        """Check that `token` is the service's receipt for this use of `approval`.

        `use_id` is the one that was sent to spend it. Raises `ReceiptRejected`, and then the call
        must not run.
        """
        return receipts.verify(token, keys=self._keys, approval=approval.approval, use_id=use_id)


def _differs(reason: str, expected: str, got: str, *, place: str) -> ApprovalRejected:
    """A rejection that names both sides, which are names and no values of arguments."""
    return ApprovalRejected(
        reason, f"{REASONS[reason]}: expected {expected!r}, got {got!r}", place=place
    )


def _hash(call: ToolCall) -> str:
    try:
        return call_hash(call)
    except AdmissionError as error:
        # Arguments that have no canonical form were never approved.
        raise ApprovalRejected("call_mismatch", error.message, place=error.place) from error


def _needs_a_person(tool: str) -> str:
    return (
        f"no person approved this, and {tool} needs a person: name it in ASSENT_UNATTENDED (in "
        "code: `unattended`), or let a rule ask"
    )
