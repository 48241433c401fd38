"""A call is submitted: policy allows it, refuses it, or people are asked.

What a call costs is worked out before the transaction: see `flow.asking.weigh`.

What holds:
1. The verdict, its record, the log event, the approval or the request with its notices commit
   together.
2. An identical call of the same agent for the same user finds the request that is open for it, so
   a caller that could not wait asks again and people are asked once. Of these repetitions only so
   many are kept: the history of a request, which every vote reads, is not the agent's to lengthen.
3. The same `Idempotency-Key` with the same body gets the same answer; with another body, an error.
   This holds for answers that are kept.
4. Where an agent asks too much of people, policy's question is refused instead of put to them.
5. Of calls that are denied only so many are kept: a flood of them fills no disk, and what one
   enforcer sends uses up nothing of another's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from approvals import policy
from approvals.core.approval import Basis
from approvals.core.calls import has_more_values
from approvals.core.errors import AdmissionError, Conflict, Unavailable
from approvals.core.requests import Request
from approvals.flow.acting import access
from approvals.flow.asking import answers, keep, limits, weigh
from approvals.flow.asking.answers import Allowed, Answer, Denied, Opened
from approvals.flow.asking.expire import ended
from approvals.flow.asking.submitted import Submitted
from approvals.flow.granting.issue import issue
from approvals.flow.integrity.gate import require_open
from approvals.flow.service import new_occasion, occasion_of
from approvals.flow.status import status_of
from approvals.flow.telling import follow
from approvals.flow.telling.outbox import Caps, NoticeKind, tell
from approvals.flow.transition import announce, seats
from approvals.policy.verdict import Allow, Deny, Escalate
from approvals.store.requests import StoredRequest
from approvals.store.seals import altered

if TYPE_CHECKING:
    from approvals.core.registry import Enforcer
    from approvals.flow.acting.caller import Caller, Submission
    from approvals.flow.asking.weigh import Weighed
    from approvals.flow.service import Service
    from approvals.store import Tx

TRIES: Final = 3
"""How often a call is weighed before the transaction, until it is weighed within it."""
KEPT_REPEATS: Final = 100
"""Identical calls that are kept and logged with a request. Later ones find it all the same."""


def submit(service: Service, caller: Caller, submission: Submission) -> Answer:
    """Decide a call.

    Raises:
        AdmissionError: the call holds too many values (`too_many_values`).
        Unauthenticated: the caller is not a registered enforcer any more.
        Forbidden: the enforcer does not guard the call's target (`target_not_guarded`) or may not
            speak for the agent (`agent_not_served`). Nothing is kept or counted.
        Invalid: the `Idempotency-Key` was used for another body (`idempotency_mismatch`).
        Unavailable: no bundle, no database, or no log that could tell of it (`closed`); or the
            `Idempotency-Key` was answered before, and its row is gone (`row_altered`).
    """
    if has_more_values(submission.call.args, service.settings.max_values):
        raise AdmissionError(
            f"more than {service.settings.max_values} values in one call; split it into several",
            code="too_many_values",
            place="/call/args",
        )
    occasion = _occasion(service, caller, submission)
    written = weigh.write(caller, submission)
    for tried in range(TRIES):
        sight = weigh.look(service, caller, submission, again=tried > 0)
        _must_be_asked_by(access.registered(sight.current.bundle, caller), submission)
        weighed = weigh.weigh(submission, written, sight)
        if isinstance(weighed.verdict, Deny):
            # A flood of denied calls takes no turn of those who write.
            with service.store.read() as tx:
                _must_be_asked_by(access.enforcer_of(service, tx, caller), submission)
                quota = limits.denials(tx, service.settings, caller, weighed.registered())
                known = answers.known(tx, caller, submission)
            if quota.full and known is None:
                return _unkept(occasion, quota)
        with service.store.begin() as tx:
            answer = _decide(service, tx, caller, submission, weighed, occasion=occasion)
            if answer is not None:
                return answer
    with service.store.begin() as tx:
        tx.attention.hold(tenant=caller.tenant, agent=submission.agent)
        sight = weigh.look_within(service, tx, caller, submission)
        weighed = weigh.weigh(submission, written, sight)
        answer = _decide(service, tx, caller, submission, weighed, occasion=occasion)
    if answer is None:
        raise Unavailable("what the answer depends on keeps changing; submit again")
    return answer


def _decide(
    service: Service,
    tx: Tx,
    caller: Caller,
    submission: Submission,
    weighed: Weighed,
    *,
    occasion: str,
) -> Answer | None:
    """Answer the call, unless what its verdict was weighed on does not hold any more."""
    require_open(service, tx)
    allows = isinstance(weighed.verdict, Allow)
    if not allows or policy.needs_usage(weighed.current.bundle):
        tx.attention.hold(tenant=caller.tenant, agent=submission.agent)
    # Also for who repeats an Idempotency-Key: what was answered may be an approval.
    _must_be_asked_by(access.enforcer_of(service, tx, caller), submission)
    known = answers.known(tx, caller, submission)
    if known is not None:
        return answers.again(service, tx, caller, submission, known)
    confirmed = weigh.confirm(service, tx, caller, submission, weighed)
    if confirmed is None:
        return None
    _must_be_asked_by(access.registered(confirmed.current.bundle, caller), submission)
    it = Submitted(service, tx, caller, submission, confirmed, occasion)
    if submission.idempotency_key is not None:
        known = tx.verdicts.claim_key(
            tenant=caller.tenant,
            enforcer=caller.enforcer,
            key=submission.idempotency_key,
            body_digest=submission.body_digest,
            verdict=it.verdict,
            now=tx.now,
        )
        if known is not None:  # by a submission at the same moment
            return answers.again(service, tx, caller, submission, known)
        if tx.verdicts.begun(tenant=caller.tenant, occasion=occasion):
            raise altered("idempotency", caller.tenant, caller.enforcer, it.verdict)
    return _answer(it)


def _occasion(service: Service, caller: Caller, submission: Submission) -> str:
    key = submission.idempotency_key
    if key is None:
        return new_occasion()
    return occasion_of(service, tenant=caller.tenant, enforcer=caller.enforcer, key=key)


def _answer(it: Submitted) -> Answer:
    verdict = it.weighed.verdict
    match verdict:
        case Allow():
            answer: Answer = _allow(it, verdict)
        case Deny():
            answer = Denied(it.verdict, verdict.code.value, verdict.rules, verdict.reasons)
        case Escalate():
            answer = _ask(it, verdict)
        case _:
            assert_never(verdict)
    if isinstance(answer, Denied):
        quota = limits.denials(it.tx, it.service.settings, it.caller, it.weighed.registered())
        if quota.full:
            keep.release(it)
            return _unkept(it.occasion, quota)
    if isinstance(answer, Opened) and not answer.kept:
        keep.release(it)
        return answer
    keep.remember(it, answer)
    keep.count(it, answer)
    return answer


def _unkept(occasion: str, quota: limits.Denials) -> Denied:
    return Denied(f"vrd_{occasion}", limits.TOO_MANY_DENIED, (), (quota.reason,), quota.retry_after)


def _must_be_asked_by(enforcer: Enforcer, submission: Submission) -> None:
    access.must_serve(enforcer, target=submission.call.target, agent=submission.agent)


def _allow(it: Submitted, verdict: Allow) -> Allowed:
    token = issue(
        it.service,
        it.tx,
        call=it.submission.call,
        hashed=it.weighed.written.call_hash,
        document=it.document(life=it.service.settings.approval_life),
        txn=it.verdict,
        basis=Basis.POLICY,
        rules=verdict.rules,
        votes=(),
    )
    return Allowed(it.verdict, token)


def _ask(it: Submitted, verdict: Escalate) -> Opened | Denied:
    written = it.weighed.written
    found = it.tx.requests.open_with(tenant=it.caller.tenant, open_key=written.open_key)
    # A request found here that can no longer lead anywhere is closed on the way.
    if found is not None and not ended(it.tx, found):
        kept = found.repeats < KEPT_REPEATS
        if kept:
            it.tx.requests.repeated(found.id)
        return Opened(found.id, status_of(it.service, it.tx, found), kept)
    refused = limits.refusal(
        it.tx,
        it.service.settings,
        it.caller,
        agent=it.submission.agent,
        person=it.submission.user,
        call=it.submission.call,
        call_hash=written.call_hash,
    )
    if refused is not None:
        return Denied(
            it.verdict,
            refused.code,
            (),
            (refused.reason,),
            refused.retry_at - it.tx.now,
            answers.status_in(it.service, it.tx, it.caller, refused.request),
        )
    return _open(it, verdict)


def _open(it: Submitted, verdict: Escalate) -> Opened:
    weighed = it.weighed
    drawn = weighed.drawn
    if drawn is None:
        raise ValueError("a verdict that asks people comes with what they are shown")
    document = it.document(
        life=verdict.ttl,
        requirements=verdict.requirements,
        display_digest=drawn.digest,
    )
    stored = StoredRequest(
        request=Request(id=f"req_{it.occasion}", document=document),
        enforcer=it.caller.enforcer,
        target=it.submission.call.target,
        call_text=weighed.written.call,
        shown_text=drawn.text,
        explanation=it.submission.explanation,
        repeats=0,
        decided=None,
    )
    request, bundle = stored.request, weighed.current.bundle
    if not it.tx.requests.open(
        stored,
        tool=it.submission.call.tool,
        open_key=weighed.written.open_key,
        gist=drawn.gist,
        seats=seats(request),
        follow_at=follow.begins(request),
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
        enforcer=it.caller.enforcer,
        caps=Caps.of(it.service.settings),
    )
    announce(it.tx, request)
    return Opened(stored.id, status_of(it.service, it.tx, stored))
