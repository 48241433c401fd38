"""What is kept of a call that was answered: its verdict, its event in the log, its counts.

All of it is written in the transaction that answers the call.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, assert_never

from approvals import log
from approvals.core import b64, canonical
from approvals.core.approval import APPROVAL
from approvals.core.history.events import Event, EventType
from approvals.flow.asking import answers
from approvals.flow.asking.answers import Allowed, Answer, Denied, Opened
from approvals.store.counters import buckets_of_call, buckets_of_denial
from approvals.store.verdicts import VerdictRecord

if TYPE_CHECKING:
    from approvals.core.canonical import Json
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
                "bundle": version,
                "rules": list(it.weighed.verdict.rules),
                "record": b64.encode(sha256(record.encode()).digest()),
                "model": provenance.model,
                "prompt_hash": provenance.prompt_hash,
                "context_refs": list(provenance.context_refs),
                "idempotency": None if key is None else [key, submission.body_digest],
                "answer": canonical.digest(told),
                **more,
            },
        ),
    )


def _event(it: Submitted, answer: Answer) -> tuple[EventType, dict[str, Json], dict[str, Json]]:
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
            asked: dict[str, Json] = {"request_digest": answer.status.digest}
            if not fresh:
                return EventType.REQUEST_REPEATED, asked, {}
            return EventType.REQUEST_OPENED, asked, {"explanation": it.submission.explanation}
        case _:
            assert_never(answer)
