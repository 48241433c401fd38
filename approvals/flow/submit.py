"""A call is submitted: policy decides, and either an approval is issued, or it is refused, or people are asked.

What holds:
1. The verdict, its record, the log event, the approval or the request with its notices commit together.
2. An identical call of the same agent for the same user finds the request that is open for it, so a
   caller that could not wait asks again and people are asked once.
3. The same `Idempotency-Key` with the same body gets the same answer; with another body, an error.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

import orjson

from approvals import log
from approvals.core import b64, canonical, display, policy
from approvals.core.approval import Basis
from approvals.core.calls import call_hash
from approvals.core.errors import Conflict, Forbidden, Invalid
from approvals.core.events import Event, EventType
from approvals.core.requests import Request, RequestDocument, Requirement, State
from approvals.core.verdict import Allow, Deny, Escalate, Facts
from approvals.flow.expire import ended
from approvals.flow.issue import issue
from approvals.flow.notices import NoticeKind, tell
from approvals.flow.service import new_occasion
from approvals.flow.status import RequestStatus, status_of
from approvals.store.requests import StoredRequest, VerdictRecord

if TYPE_CHECKING:
    from approvals.core.canonical import Json
    from approvals.core.verdict import Verdict
    from approvals.flow.caller import Caller, Submission
    from approvals.flow.service import CurrentBundle, Service
    from approvals.store import Tx

NO_TOOL_DEFINITION = ""


@dataclass(frozen=True, slots=True)
class Allowed:
    """Policy let the call through by itself: `approval` is the token to verify and spend."""

    id: str
    approval: str


@dataclass(frozen=True, slots=True)
class Denied:
    """Policy refused the call."""

    id: str
    code: str
    rules: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """People are asked."""

    id: str
    status: RequestStatus


Answer = Allowed | Denied | Opened


def submit(service: Service, caller: Caller, submission: Submission) -> Answer:
    """Decide a call.

    Raises:
        Forbidden: the enforcer does not guard the call's target (`target_not_guarded`).
        Invalid: the `Idempotency-Key` was used for another body (`idempotency_mismatch`).
        Unavailable: no bundle, or no database.
    """
    if submission.call.target not in caller.targets:
        raise Forbidden(
            f"{caller.enforcer} does not guard {submission.call.target}",
            code="target_not_guarded",
            place="/call/target",
        )
    occasion = new_occasion()
    with service.store.begin() as tx:
        if submission.idempotency_key is not None:
            known = tx.requests.claim_key(
                tenant=caller.tenant,
                enforcer=caller.enforcer,
                key=submission.idempotency_key,
                body_digest=submission.body_digest,
                verdict=f"vrd_{occasion}",
                now=tx.now,
            )
            if known is not None:
                return _again(service, tx, caller, submission, known)
        current = service.current_bundle(tx, caller.tenant)
        facts = Facts(
            call=submission.call,
            agent=submission.agent,
            user=submission.user,
            now=tx.now,
            task=submission.task,
            usage=_usage(tx, caller, submission, current),
        )
        verdict = policy.evaluate(current.bundle, facts, excluded=_excluded(current))
        match verdict:
            case Allow():
                answer = _allow(service, tx, caller, submission, current, verdict, occasion)
            case Deny():
                answer = Denied(
                    f"vrd_{occasion}", verdict.code.value, verdict.rules, verdict.reasons
                )
            case Escalate():
                answer = _ask(service, tx, caller, submission, current, verdict, occasion)
            case _:
                assert_never(verdict)
        _remember(tx, caller, submission, current, facts, verdict, occasion, answer)
        return answer


def _usage(
    tx: Tx, caller: Caller, submission: Submission, current: CurrentBundle
) -> dict[str, int]:
    if not policy.needs_usage(current.bundle):
        return {"agent_hour": 0, "agent_day": 0, "tool_hour": 0, "tool_day": 0}
    return tx.requests.usage(
        tenant=caller.tenant, agent=submission.agent, tool=submission.call.tool, now=tx.now
    )


def _excluded(current: CurrentBundle) -> frozenset[str]:
    """Whoever activated the bundle alone is not asked under its rules."""
    return frozenset() if current.activated_by is None else frozenset({current.activated_by})


def _document(
    caller: Caller,
    submission: Submission,
    current: CurrentBundle,
    *,
    created: int,
    expires: int,
    requirements: tuple[Requirement, ...] = (),
    display_digest: str | None = None,
) -> RequestDocument:
    tool = current.bundle.tool(submission.call.target, submission.call.tool)
    return RequestDocument(
        call_hash=call_hash(submission.call),
        tool_definition=NO_TOOL_DEFINITION if tool is None else tool.definition_digest,
        tenant=caller.tenant,
        user=submission.user,
        agent=submission.agent,
        task=submission.task,
        precondition=submission.precondition,
        bundle=current.bundle.version,
        requirements=requirements,
        display_digest=display_digest,
        audience=caller.enforcer,
        nonce=b64.encode(secrets.token_bytes(32)),
        created=created,
        expires=expires,
    )


def _allow(
    service: Service,
    tx: Tx,
    caller: Caller,
    submission: Submission,
    current: CurrentBundle,
    verdict: Allow,
    occasion: str,
) -> Allowed:
    document = _document(
        caller,
        submission,
        current,
        created=tx.now,
        expires=tx.now + service.settings.approval_life,
    )
    token = issue(
        service,
        tx,
        call=submission.call,
        document=document,
        txn=f"vrd_{occasion}",
        basis=Basis.POLICY,
        rules=verdict.rules,
        votes=(),
    )
    return Allowed(f"vrd_{occasion}", token)


def _ask(
    service: Service,
    tx: Tx,
    caller: Caller,
    submission: Submission,
    current: CurrentBundle,
    verdict: Escalate,
    occasion: str,
) -> Opened:
    open_key = canonical.digest(
        [
            "assent/open/1",
            caller.tenant,
            caller.enforcer,
            submission.agent,
            submission.user,
            submission.task,
            submission.precondition,
            call_hash(submission.call),
        ]
    )
    shown = display.document(
        current.bundle.tool(submission.call.target, submission.call.tool), submission.call
    )
    document = _document(
        caller,
        submission,
        current,
        created=tx.now,
        expires=tx.now + verdict.ttl,
        requirements=verdict.requirements,
        display_digest=display.digest(shown),
    )
    stored = StoredRequest(
        request=Request(id=f"req_{occasion}", document=document, state=State.PENDING, votes=()),
        enforcer=caller.enforcer,
        call=submission.call.canonical().decode(),
        display=canonical.encode(shown).decode(),
        explanation=submission.explanation,
        repeats=0,
        decided=None,
    )
    seats = sorted({person for each in verdict.requirements for person in each.eligible})
    # Twice at most: a request found here that can no longer lead anywhere is closed on the way.
    for _ in range(2):
        if tx.requests.open(stored, open_key=open_key, seats=seats):
            tell(
                tx,
                NoticeKind.REQUEST_OPENED,
                tenant=caller.tenant,
                persons=seats,
                subject=stored.id,
            )
            for person in (*seats, submission.user):
                tx.announce(f"person:{person}")
            return Opened(stored.id, status_of(service, tx, stored))
        found = tx.requests.open_with(tenant=caller.tenant, open_key=open_key)
        if found is not None and not ended(tx, found):
            tx.requests.repeated(found.id)
            return Opened(found.id, status_of(service, tx, found))
    raise Conflict("an identical call was submitted at the same moment; submit again")


def _remember(
    tx: Tx,
    caller: Caller,
    submission: Submission,
    current: CurrentBundle,
    facts: Facts,
    verdict: Verdict,
    occasion: str,
    answer: Answer,
) -> None:
    """Store the verdict with what replays it, and log it."""
    hashed = call_hash(submission.call)
    record = policy.record(current.bundle, facts, verdict)
    tx.requests.add_verdict(
        VerdictRecord(
            id=f"vrd_{occasion}",
            tenant=caller.tenant,
            enforcer=caller.enforcer,
            agent=submission.agent,
            person=submission.user,
            target=submission.call.target,
            tool=submission.call.tool,
            call_hash=hashed,
            bundle=current.bundle.version,
            outcome=verdict.document()["outcome"],
            answer=orjson.dumps(_told(answer)).decode(),
            record=canonical.encode(record).decode(),
            created=tx.now,
        )
    )
    match answer:
        case Allowed():
            kind, subject = EventType.CALL_ALLOWED, answer.id
        case Denied():
            kind, subject = EventType.CALL_REFUSED, answer.id
        case Opened():
            fresh = answer.id == f"req_{occasion}"
            kind = EventType.REQUEST_OPENED if fresh else EventType.REQUEST_REPEATED
            subject = answer.id
        case _:
            assert_never(answer)
    provenance = submission.provenance
    public: dict[str, Json] = {
        "verdict": f"vrd_{occasion}",
        "subject": subject,
        "enforcer": caller.enforcer,
        "agent": submission.agent,
        "target": submission.call.target,
        "tool": submission.call.tool,
        "call_hash": hashed,
        "bundle": current.bundle.version,
        "rules": list(verdict.rules),
        "record": canonical.digest(record),
        "model": provenance.model,
        "prompt_hash": provenance.prompt_hash,
    }
    match answer:
        case Allowed():
            public["approval"] = f"apr_{occasion}"
        case Denied():
            public["code"] = answer.code
        case Opened():
            public["request_digest"] = answer.status.digest
        case _:
            assert_never(answer)
    log.append(
        tx,
        Event(
            type=kind,
            time=tx.now,
            tenant=caller.tenant,
            public=public,
            personal={
                "user": submission.user,
                "task": submission.task,
                "context_refs": list(provenance.context_refs),
            },
        ),
        request_id=subject,
    )


def _told(answer: Answer) -> dict[str, Json]:
    match answer:
        case Allowed():
            return {"id": answer.id}
        case Denied():
            return {
                "id": answer.id,
                "code": answer.code,
                "rules": list(answer.rules),
                "reasons": list(answer.reasons),
            }
        case Opened():
            return {"id": answer.id}
        case _:
            assert_never(answer)


def _again(
    service: Service, tx: Tx, caller: Caller, submission: Submission, known: tuple[str, str]
) -> Answer:
    """Answer a repeated `Idempotency-Key` as it was answered the first time."""
    body_digest, verdict_id = known
    if body_digest != submission.body_digest:
        raise Invalid(
            "this Idempotency-Key was used for another body",
            code="idempotency_mismatch",
            place="Idempotency-Key",
        )
    verdict = tx.requests.verdict(tenant=caller.tenant, verdict_id=verdict_id)
    if verdict is None:
        raise Conflict("the first submission with this Idempotency-Key did not finish")
    told = orjson.loads(verdict.answer)
    match verdict.outcome:
        case "allow":
            approval = tx.approvals.of(tenant=caller.tenant, txn=verdict_id)
            if approval is None:
                raise Conflict("the approval of this submission is missing")
            return Allowed(told["id"], approval.token)
        case "deny":
            return Denied(
                told["id"], told["code"], tuple(told["rules"]), tuple(told["reasons"])
            )
        case _:
            stored = tx.requests.get(tenant=caller.tenant, request_id=told["id"])
            if stored is None:
                raise Conflict("the request of this submission is missing")
            return Opened(told["id"], status_of(service, tx, stored))

