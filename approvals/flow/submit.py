"""A call is submitted: policy allows it, refuses it, or people are asked.

What holds:
1. The verdict, its record, the log event, the approval or the request with its notices commit
   together.
2. An identical call of the same agent for the same user finds the request that is open for it, so
   a caller that could not wait asks again and people are asked once.
3. The same `Idempotency-Key` with the same body gets the same answer; with another body, an error.
4. Where an agent asks too much of people, policy's question is refused instead of put to them.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

import orjson

from approvals import log
from approvals.core import b64, canonical, display, policy
from approvals.core.approval import APPROVAL, Basis
from approvals.core.calls import call_hash, has_more_values
from approvals.core.errors import AdmissionError, Conflict, Forbidden, Invalid
from approvals.core.events import Event, EventType
from approvals.core.requests import Request, RequestDocument, open_key
from approvals.core.verdict import USAGE_COUNTERS, Allow, Deny, Escalate, Facts
from approvals.flow import follow, limits
from approvals.flow.expire import ended
from approvals.flow.gate import require_open
from approvals.flow.issue import issue
from approvals.flow.outbox import Caps, NoticeKind, tell
from approvals.flow.service import new_occasion
from approvals.flow.status import RequestStatus, status_of
from approvals.flow.transition import announce, asked
from approvals.store.requests import StoredRequest, VerdictRecord

if TYPE_CHECKING:
    from approvals.core.canonical import Json
    from approvals.core.registry import Tool
    from approvals.core.requirement import Requirement
    from approvals.core.verdict import Verdict
    from approvals.flow.caller import Caller, Submission
    from approvals.flow.service import CurrentBundle, Service
    from approvals.store import Tx


@dataclass(frozen=True, slots=True)
class Allowed:
    """Policy let the call through by itself: `approval` is the token to verify and spend."""

    id: str
    approval: str


@dataclass(frozen=True, slots=True)
class Denied:
    """Policy refused the call, or people are not asked about it now.

    `retry_after` is in how many seconds asking again may lead to another answer; None: not by time.
    """

    id: str
    code: str
    rules: tuple[str, ...]
    reasons: tuple[str, ...]
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """People are asked."""

    id: str
    status: RequestStatus


Answer = Allowed | Denied | Opened


def submit(service: Service, caller: Caller, submission: Submission) -> Answer:
    """Decide a call.

    Raises:
        AdmissionError: the call holds too many values (`too_many_values`).
        Forbidden: the enforcer does not guard the call's target (`target_not_guarded`).
        Invalid: the `Idempotency-Key` was used for another body (`idempotency_mismatch`).
        Unavailable: no bundle, no database, or no log that could tell of it (`closed`).
    """
    if submission.call.target not in caller.targets:
        raise Forbidden(
            f"{caller.enforcer} does not guard {submission.call.target}",
            code="target_not_guarded",
            place="/call/target",
        )
    if has_more_values(submission.call.args, service.settings.max_values):
        raise AdmissionError(
            f"more than {service.settings.max_values} values in one call; split it into several",
            code="too_many_values",
            place="/call/args",
        )
    occasion = new_occasion()
    with service.store.begin() as tx:
        require_open(service, tx)
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
        it = _Submitted(service, tx, caller, submission, current, occasion)
        facts = Facts(
            call=submission.call,
            agent=submission.agent,
            user=submission.user,
            now=tx.now,
            task=submission.task,
            usage=it.usage(),
            excluded=current.excluded,
        )
        verdict = policy.evaluate(current.bundle, facts)
        match verdict:
            case Allow():
                answer: Answer = _allow(it, verdict)
            case Deny():
                answer = Denied(it.verdict, verdict.code.value, verdict.rules, verdict.reasons)
            case Escalate():
                answer = _ask(it, verdict)
            case _:
                assert_never(verdict)
        _remember(it, facts, verdict, answer)
        return answer


@dataclass(frozen=True, slots=True)
class _Submitted:
    """A submission on its way through one transaction."""

    service: Service
    tx: Tx
    caller: Caller
    submission: Submission
    current: CurrentBundle
    occasion: str

    @property
    def verdict(self) -> str:
        return f"vrd_{self.occasion}"

    def tool(self) -> Tool | None:
        return self.current.bundle.tool(self.submission.call.target, self.submission.call.tool)

    def usage(self) -> dict[str, int]:
        if not policy.needs_usage(self.current.bundle):
            return dict.fromkeys(USAGE_COUNTERS, 0)
        return self.tx.requests.usage(
            tenant=self.caller.tenant,
            agent=self.submission.agent,
            tool=self.submission.call.tool,
            now=self.tx.now,
        )

    def document(
        self,
        *,
        life: int,
        requirements: tuple[Requirement, ...] = (),
        display_digest: str | None = None,
    ) -> RequestDocument:
        tool = self.tool()
        return RequestDocument(
            call_hash=call_hash(self.submission.call),
            tool_definition="" if tool is None else tool.definition_digest,
            tenant=self.caller.tenant,
            user=self.submission.user,
            agent=self.submission.agent,
            task=self.submission.task,
            precondition=self.submission.precondition,
            bundle=self.current.bundle.version,
            requirements=requirements,
            display_digest=display_digest,
            audience=self.caller.enforcer,
            nonce=b64.encode(secrets.token_bytes(32)),
            created=self.tx.now,
            expires=self.tx.now + life,
        )

    def open_key(self) -> str:
        """What makes two submissions the same question."""
        return open_key(
            tenant=self.caller.tenant,
            audience=self.caller.enforcer,
            agent=self.submission.agent,
            user=self.submission.user,
            task=self.submission.task,
            precondition=self.submission.precondition,
            call_hash=call_hash(self.submission.call),
        )


def _allow(it: _Submitted, verdict: Allow) -> Allowed:
    token = issue(
        it.service,
        it.tx,
        call=it.submission.call,
        document=it.document(life=it.service.settings.approval_life),
        txn=it.verdict,
        basis=Basis.POLICY,
        rules=verdict.rules,
        votes=(),
    )
    return Allowed(it.verdict, token)


def _ask(it: _Submitted, verdict: Escalate) -> Opened | Denied:
    open_key = it.open_key()
    it.tx.attention.hold(tenant=it.caller.tenant, agent=it.submission.agent)
    found = it.tx.requests.open_with(tenant=it.caller.tenant, open_key=open_key)
    # A request found here that can no longer lead anywhere is closed on the way.
    if found is not None and not ended(it.tx, found):
        it.tx.requests.repeated(found.id)
        return Opened(found.id, status_of(it.service, it.tx, found))
    refused = limits.refusal(
        it.tx,
        it.service.settings,
        tenant=it.caller.tenant,
        agent=it.submission.agent,
        person=it.submission.user,
        call=it.submission.call,
        call_hash=call_hash(it.submission.call),
    )
    if refused is not None:
        return Denied(it.verdict, refused.code, (), (refused.reason,), refused.retry_at - it.tx.now)
    return _open(it, verdict, open_key)


def _open(it: _Submitted, verdict: Escalate, open_key: str) -> Opened:
    shown = display.document(it.tool(), it.submission.call)
    document = it.document(
        life=verdict.ttl,
        requirements=verdict.requirements,
        display_digest=display.digest(shown),
    )
    stored = StoredRequest(
        request=Request(id=f"req_{it.occasion}", document=document),
        enforcer=it.caller.enforcer,
        call=it.submission.call.canonical().decode(),
        display=canonical.encode(shown).decode(),
        explanation=it.submission.explanation,
        repeats=0,
        decided=None,
    )
    request, bundle = stored.request, it.current.bundle
    if not it.tx.requests.open(
        stored, open_key=open_key, seats=asked(request), follow_at=follow.begins(request)
    ):
        raise Conflict("an identical call was submitted at the same moment; submit again")
    tell(
        it.tx,
        bundle,
        NoticeKind.REQUEST,
        tenant=it.caller.tenant,
        persons=follow.told_first(bundle, request),
        subject=stored.id,
        agent=it.submission.agent,
        caps=Caps.of(it.service.settings),
    )
    announce(it.tx, request)
    return Opened(stored.id, status_of(it.service, it.tx, stored))


def _remember(it: _Submitted, facts: Facts, verdict: Verdict, answer: Answer) -> None:
    """Store the verdict with what replays it, and log it."""
    submission, provenance = it.submission, it.submission.provenance
    hashed = call_hash(submission.call)
    record = policy.record(it.current.bundle, facts, verdict)
    it.tx.requests.add_verdict(
        VerdictRecord(
            id=it.verdict,
            tenant=it.caller.tenant,
            enforcer=it.caller.enforcer,
            agent=submission.agent,
            person=submission.user,
            target=submission.call.target,
            tool=submission.call.tool,
            call_hash=hashed,
            bundle=it.current.bundle.version,
            outcome=_OUTCOMES[type(answer)],
            answer=orjson.dumps(_told(answer, now=it.tx.now)).decode(),
            record=canonical.encode(record).decode(),
            created=it.tx.now,
        )
    )
    kind, public, more = _event(it, answer)
    log.append(
        it.tx,
        Event(
            type=kind,
            time=it.tx.now,
            tenant=it.caller.tenant,
            subject=answer.id,
            public={"verdict": it.verdict, **public},
            secret={
                "enforcer": it.caller.enforcer,
                "agent": submission.agent,
                "user": submission.user,
                "task": submission.task,
                "target": submission.call.target,
                "tool": submission.call.tool,
                "call_hash": hashed,
                "bundle": it.current.bundle.version,
                "rules": list(verdict.rules),
                "record": canonical.digest(record),
                "model": provenance.model,
                "prompt_hash": provenance.prompt_hash,
                "context_refs": list(provenance.context_refs),
                **more,
            },
        ),
    )


# What was answered: where people are not asked, the record beside it says what policy wanted.
_OUTCOMES = {Allowed: "allow", Denied: "deny", Opened: "escalate"}


def _event(it: _Submitted, answer: Answer) -> tuple[EventType, dict[str, Json], dict[str, Json]]:
    """What kind of event an answer is, and what it has besides: in the open, and sealed."""
    match answer:
        case Allowed():
            issued: dict[str, Json] = {
                "approval": APPROVAL + it.occasion,
                "token": canonical.digest(answer.approval),
            }
            return EventType.CALL_ALLOWED, issued, {}
        case Denied():
            return EventType.CALL_REFUSED, {}, {"code": answer.code}
        case Opened():
            fresh = answer.id == f"req_{it.occasion}"
            return (
                EventType.REQUEST_OPENED if fresh else EventType.REQUEST_REPEATED,
                {"request_digest": answer.status.digest},
                {},
            )
        case _:
            assert_never(answer)


def _told(answer: Answer, *, now: int) -> dict[str, Json]:
    match answer:
        case Allowed() | Opened():
            return {"id": answer.id}
        case Denied():
            return {
                "id": answer.id,
                "code": answer.code,
                "rules": list(answer.rules),
                "reasons": list(answer.reasons),
                "retry_at": None if answer.retry_after is None else now + answer.retry_after,
            }
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
            retry_at = told.get("retry_at")
            return Denied(
                told["id"],
                told["code"],
                tuple(told["rules"]),
                tuple(told["reasons"]),
                None if retry_at is None else max(0, retry_at - tx.now),
            )
        case _:
            stored = tx.requests.get(tenant=caller.tenant, request_id=told["id"])
            if stored is None:
                raise Conflict("the request of this submission is missing")
            return Opened(told["id"], status_of(service, tx, stored))
