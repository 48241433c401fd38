"""A person decides with a passkey.

1. `begin` makes the decision statement, stores it and gives the browser its challenge.
2. The passkey signs the challenge, which is the statement's digest.
3. `finish` takes the statement (once, before it expires), checks the evidence by two readers, casts
   the vote on the locked request, recomputes the quorum and, when it is met, issues the approval,
   all in one transaction.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from approvals import log
from approvals.core import b64, canonical, sizes
from approvals.core.approval import APPROVAL, REQUEST, Basis, counted
from approvals.core.calls import call_hash
from approvals.core.decision.ceremony import (
    Decision,
    Evidence,
    Statement,
    challenge,
    verify_evidence,
)
from approvals.core.decision.occasion import Purpose
from approvals.core.decision.quorum import assign
from approvals.core.decision.vote import Vote
from approvals.core.errors import Conflict, EvidenceError, Invalid
from approvals.core.history.events import VoteApprove, VoteDeny
from approvals.core.requests import State, cast, require_may_decide, revoke
from approvals.flow.acting.sight import needs_whole, to_look, visible_to
from approvals.flow.granting.issue import issue
from approvals.flow.granting.recheck import may_be_approved
from approvals.flow.integrity.gate import require_open
from approvals.flow.knowing.logged import verify_request
from approvals.flow.people import passkeys
from approvals.flow.people.challenges import give_decision, stale, take
from approvals.flow.people.proof import record_use
from approvals.flow.transition import announce, approve, end

if TYPE_CHECKING:
    from approvals.core.requests import Request
    from approvals.flow.acting.session import Present, Session
    from approvals.flow.people.passkeys import Assertion
    from approvals.flow.service import Service
    from approvals.store import Tx
    from approvals.store.passkeys import Passkey
    from approvals.store.requests import StoredRequest

LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class DecisionChallenge:
    """A statement to sign: `options` go to the WebAuthn call as they are."""

    id: str
    options: dict[str, Any]
    statement: Statement
    text: str


def begin(
    service: Service, session: Session, request_id: str, decision: Decision
) -> DecisionChallenge:
    """Make the statement that the person is about to sign.

    Raises:
        Unauthenticated: they are signed out (`signed_out`).
        NotFound: no such request for this person.
        TransitionError: it is over, they are not asked, or they have voted.
        Unavailable: the log cannot tell of a vote (`closed`).
        Conflict: they approve without having opened the whole of what will run (`whole_not_seen`)
            or without having had it before them long enough (`looked_too_briefly`).
    """
    with service.store.begin() as tx:
        require_open(service, tx)  # nobody signs what would not be counted
        who, stored = visible_to(service, tx, session, request_id)
        require_may_decide(stored.request, who.person, now=tx.now)
        _must_have_seen(service, tx, stored, who, decision)
        document = stored.request.document
        statement = Statement(
            decision=decision,
            request=request_id,
            request_digest=document.digest(),
            call_hash=document.call_hash,
            display_digest=document.display_digest or "",
            approver=who.person,
            nonce=b64.encode(secrets.token_bytes(32)),
            iat=tx.now,
            exp=tx.now + service.settings.statement_life,
        )
        given = give_decision(service, tx, statement, tenant=who.tenant)
        return DecisionChallenge(
            given.id,
            passkeys.request_options(
                service.settings,
                challenge=given.challenge,
                allowed=tx.passkeys.active(tenant=who.tenant, person=who.person),
            ),
            statement,
            given.statement,
        )


def finish(
    service: Service,
    session: Session,
    ceremony_id: str,
    credential: object,
    *,
    reason: str | None = None,
) -> State:
    """Cast the vote that the passkey signed; gives the request's new state.

    Raises:
        Unauthenticated: they are signed out (`signed_out`).
        Conflict: the statement was used, is too old or was made for somebody else
            (`statement_used`), or it was not seen whole (`whole_not_seen`) or long enough
            (`looked_too_briefly`).
        TransitionError: the request is over, or the person is not asked or has voted.
        EvidenceError: the assertion does not hold for this statement.
        Invalid: the reason is too long (`reason`).
    """
    if reason is not None and len(reason) > LONGEST_REASON:
        raise Invalid(
            f"a reason has at most {LONGEST_REASON} characters", code="reason", place="/reason"
        )
    assertion = passkeys.read_assertion(credential)
    with service.store.begin() as tx:
        taken = take(service, tx, ceremony_id, Purpose.DECIDE)
        if (taken.tenant, taken.person) != (session.tenant, session.person):
            raise stale(Purpose.DECIDE)
        statement = Statement.from_document(orjson.loads(taken.statement))
        who, stored = visible_to(service, tx, session, statement.request, lock=True)
        require_may_decide(stored.request, who.person, now=tx.now)
        _must_have_seen(service, tx, stored, who, statement.decision)
        enrolled = _hold_passkeys(tx, stored, b64.encode(assertion.credential_id))
        if enrolled is None or (enrolled.tenant, enrolled.person) != (who.tenant, who.person):
            raise EvidenceError("this passkey is not enrolled for you", code="unknown_passkey")
        vote = _vote(
            service,
            tx,
            assertion,
            ceremony_id=taken.id,
            enrolled=enrolled,
            statement=statement,
            reason=reason or None,
        )
        return count(service, tx, stored, vote)


def _hold_passkeys(tx: Tx, stored: StoredRequest, credential_id: str) -> Passkey | None:
    """The passkey that answered, if it is enrolled. It is locked, and so are those that voted.

    This vote may be the last, and then all of them are looked at: in the order of their ids, as
    whoever spends locks them.
    """
    voted = [vote.evidence for vote in stored.request.votes if vote.evidence is not None]
    ids = {credential_id, *(b64.encode(evidence.credential_id) for evidence in voted)}
    return {each: tx.passkeys.get(each) for each in sorted(ids)}[credential_id]


def require_decider(service: Service, session: Session, request_id: str) -> None:
    """Refuse who could not decide a request, before they are asked how.

    Raises:
        Unauthenticated: they are signed out (`signed_out`).
        NotFound: no such request for this person.
        TransitionError: it is over, they are not asked, or they have voted.
    """
    with service.store.read() as tx:
        who, stored = visible_to(service, tx, session, request_id)
        require_may_decide(stored.request, who.person, now=tx.now)


def _must_have_seen(
    service: Service, tx: Tx, stored: StoredRequest, who: Present, decision: Decision
) -> None:
    """Nobody approves what they have not had before them; denying is never made harder."""
    if decision is Decision.DENY:
        return
    if needs_whole(stored) and not tx.attention.opened_whole(
        request_id=stored.id, person=who.person
    ):
        raise Conflict("open the whole of what will run first", code="whole_not_seen")
    if to_look(tx, service.settings, who, stored.id) != 0:
        raise Conflict("take a moment to read what will run first", code="looked_too_briefly")


def _vote(
    service: Service,
    tx: Tx,
    assertion: Assertion,
    *,
    ceremony_id: str,
    enrolled: Passkey,
    statement: Statement,
    reason: str | None,
) -> Vote:
    settings = service.settings
    seen = passkeys.check_assertion(
        settings, assertion, challenge=challenge(statement), enrolled=enrolled
    )
    evidence = Evidence(
        credential_id=assertion.credential_id,
        client_data_json=assertion.client_data_json,
        authenticator_data=assertion.authenticator_data,
        signature=assertion.signature,
        user_handle=assertion.user_handle,
        public_key=enrolled.public_key,
        aaguid=enrolled.aaguid,
        backup_eligible=seen.backup_eligible,
        backup_state=seen.backup_state,
        rp_id=settings.rp_id,
        origins=(settings.url,),
    )
    if len(canonical.encode(evidence.document())) > sizes.VOTE_EVIDENCE:
        raise EvidenceError(
            f"what the passkey answered is more than the {sizes.VOTE_EVIDENCE} bytes that an "
            "approval has room for; use another passkey",
            code="too_large",
        )
    verified = verify_evidence(
        statement,
        evidence,
        public_key=enrolled.public_key,
        rp_id=settings.rp_id,
        origins=(settings.url,),
        enrolled_as=enrolled.step_up,
        now=tx.now,
        backup_eligible=enrolled.backup_eligible,
        user_handle=tx.passkeys.known_handle(tenant=enrolled.tenant, person=enrolled.person),
    )
    record_use(
        tx,
        enrolled,
        ceremony_id=ceremony_id,
        purpose=Purpose.DECIDE,
        sign_count=verified.sign_count,
        backup_state=seen.backup_state,
    )
    return Vote(
        approver=verified.approver,
        decision=statement.decision,
        step_up=verified.step_up,
        time=tx.now,
        statement=statement,
        evidence=evidence,
        reason=reason,
        channel="web",
    )


def count(service: Service, tx: Tx, stored: StoredRequest, vote: Vote) -> State:
    """Cast a checked vote on a locked request, and issue the approval when the quorum is met.

    If the approval could not be spent under what holds now (the enforcer was removed, a rule became
    stricter, who voted before has left) none is issued, and the request ends as revoked.
    """
    require_open(service, tx)
    verify_request(tx, stored)
    request = cast(stored.request, vote, now=tx.now)
    tx.requests.add_vote(request, vote)
    _log_vote(tx, request, vote)
    if request.state is State.APPROVED and not may_be_approved(service, tx, request):
        request = revoke(request, now=tx.now)
    match request.state:
        case State.PENDING:
            announce(tx, request)
        case State.APPROVED:
            _approve(service, tx, stored, request)
        case _:
            end(tx, request)
    return request.state


def _approve(service: Service, tx: Tx, stored: StoredRequest, request: Request) -> None:
    requirements = request.document.requirements
    token = issue(
        service,
        tx,
        call=stored.call,
        hashed=call_hash(stored.call),
        document=request.document,
        txn=request.id,
        basis=Basis.HUMAN,
        rules=tuple(sorted({requirement.rule for requirement in requirements})),
        votes=counted(assign(requirements, request.votes) or ()),
    )
    approve(
        tx,
        request,
        approval=APPROVAL + request.id.removeprefix(REQUEST),
        token=canonical.digest(token),
    )


def _log_vote(tx: Tx, request: Request, vote: Vote) -> None:
    event = VoteApprove if vote.decision is Decision.APPROVE else VoteDeny
    statement, evidence = vote.statement, vote.evidence
    log.append(
        tx,
        event(
            time=tx.now,
            tenant=request.document.tenant,
            subject=request.id,
            request_digest=request.document.digest(),
            statement=None if statement is None else canonical.digest(statement.document()),
            evidence=None if evidence is None else canonical.digest(evidence.document()),
            approver=vote.approver,
            reason=vote.reason,
            step_up=vote.step_up.value,
            channel=vote.channel,
        ),
    )
