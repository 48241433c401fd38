"""What is kept of a call that was answered: its verdict, its event in the log, its counts.

All of it is written in the transaction that answers the call.
"""

from __future__ import annotations

from dataclasses import asdict
from hashlib import sha256
from typing import TYPE_CHECKING, assert_never

from approvals import log
from approvals.core import b64, canonical
from approvals.core.approval import APPROVAL, REQUEST
from approvals.core.history.events import (
    CallAllowed,
    CallRefused,
    OfCall,
    RequestOpened,
    RequestRepeated,
)
from approvals.flow.asking import answers
from approvals.flow.asking.answers import Allowed, Answer, Denied, Opened
from approvals.store.counters import buckets_of_call, buckets_of_denial
from approvals.store.verdicts import VerdictRecord

if TYPE_CHECKING:
    from approvals.flow.asking.submitted import Submitted


def release(it: Submitted) -> None:
    """Keep nothing of this call, its `Idempotency-Key` neither."""
    if it.submission.idempotency_key is not None:
        it.tx.verdicts.release_key(
            tenant=it.caller.tenant,
            enforcer=it.caller.enforcer,
            key=it.submission.idempotency_key,
        )


def count(it: Submitted, answer: Answer) -> None:
    """Count the call, last of all: until the transaction ends others wait for these rows."""
    buckets = []
    if it.weighed.counts():
        buckets += buckets_of_call(
            tenant=it.caller.tenant,
            agent=it.submission.agent,
            tool=it.submission.call.tool,
            now=it.tx.now,
        )
    if isinstance(answer, Denied):
        buckets += buckets_of_denial(
            tenant=it.caller.tenant,
            enforcer=it.caller.enforcer,
            agent=it.weighed.registered(),
            now=it.tx.now,
        )
    it.tx.counters.add(buckets)


def remember(it: Submitted, answer: Answer) -> None:
    """Store the verdict with what replays it, and log it."""
    submission, provenance = it.submission, it.submission.provenance
    hashed = it.weighed.written.call_hash
    version = it.weighed.current.bundle.version
    record = it.weighed.record(refused=isinstance(answer, Denied))
    told = answers.written(answer, now=it.tx.now)
    key = submission.idempotency_key
    it.tx.verdicts.add_verdict(
        VerdictRecord(
            id=it.verdict,
            tenant=it.caller.tenant,
            enforcer=it.caller.enforcer,
            agent=submission.agent,
            person=submission.user,
            target=submission.call.target,
            tool=submission.call.tool,
            call_hash=hashed,
            bundle=version,
            outcome=answers.OUTCOMES[type(answer)],
            answer=told,
            record=record,
            created=it.tx.now,
        )
    )
    call = OfCall(
        time=it.tx.now,
        tenant=it.caller.tenant,
        subject=answer.id,
        verdict=it.verdict,
        enforcer=it.caller.enforcer,
        agent=submission.agent,
        user=submission.user,
        task=submission.task,
        target=submission.call.target,
        tool=submission.call.tool,
        call_hash=hashed,
        bundle=version,
        rules=it.weighed.verdict.rules,
        record=b64.encode(sha256(record.encode()).digest()),
        model=provenance.model,
        prompt_hash=provenance.prompt_hash,
        context_refs=provenance.context_refs,
        idempotency=None if key is None else (key, submission.body_digest),
        answer=canonical.digest(told),
    )
    log.append(it.tx, _event(it, answer, call))


def _event(it: Submitted, answer: Answer, call: OfCall) -> OfCall:
    """The event of an answer: `call`, with the members that only this kind of answer has."""
    common = asdict(call)
    match answer:
        case Allowed():
            token = canonical.digest(answer.approval)
            return CallAllowed(**common, approval=APPROVAL + it.occasion, token=token)
        case Denied():
            return CallRefused(**common, code=answer.code)
        case Opened():
            digest = answer.status.digest
            if answer.id == REQUEST + it.occasion:
                explanation = it.submission.explanation
                return RequestOpened(**common, request_digest=digest, explanation=explanation)
            return RequestRepeated(**common, request_digest=digest)
        case _:
            assert_never(answer)
