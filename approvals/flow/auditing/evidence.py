"""The evidence file of one call: all that an auditor needs, in one document, checkable offline."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import orjson

from approvals import log
from approvals.core.approval import APPROVAL, REQUEST, VERDICT
from approvals.core.errors import Conflict, Invalid, NotFound, ProofError
from approvals.core.evidence_file import EvidenceFile, LoggedEvent, Outcome, completeness
from approvals.flow.acting import access
from approvals.flow.integrity.rounds import sequence
from approvals.flow.knowing.logged import verify_request, verify_use
from approvals.flow.people.directory import directory_of
from approvals.policy import recorded_facts

if TYPE_CHECKING:
    from collections.abc import Callable

    from approvals.core.canonical import Json
    from approvals.flow.acting.caller import Caller
    from approvals.flow.service import Service
    from approvals.store import Tx


def evidence(service: Service, caller: Caller, subject: str) -> dict[str, Json]:
    """The evidence of the caller's request (`req_…`) or of a verdict that asked nobody (`vrd_…`).

    Raises:
        Unauthenticated: the caller is not a registered enforcer any more.
        NotFound: no such occasion of this caller, or its target or agent is another's now.
        AssentError: as `evidence_of`.
    """

    def owned(tx: Tx) -> Callable[[_Occasion], bool]:
        enforcer = access.enforcer_of(service, tx, caller)
        return lambda found: (
            found.enforcer == enforcer.id
            and enforcer.serves(target=found.target, agent=found.agent)
        )

    return _evidence(service, caller.tenant, subject, owned)


def evidence_of(
    service: Service, *, tenant: str, subject: str, enforcer: str | None = None
) -> dict[str, Json]:
    """The evidence of any occasion, or of any of one enforcer: for the operator's shell.

    Raises:
        NotFound: no such occasion.
        AssentError: as `_evidence`.
    """

    def owned(_: Tx) -> Callable[[_Occasion], bool]:
        return lambda found: enforcer in {None, found.enforcer}

    return _evidence(service, tenant, subject, owned)


def _evidence(
    service: Service,
    tenant: str,
    subject: str,
    owned: Callable[[Tx], Callable[[_Occasion], bool]],
) -> dict[str, Json]:
    """Whatever is still in line for the log is given its place first, so that nothing is left out.

    Raises:
        NotFound: no such occasion, or not one that is `owned`.
        Conflict: the events are not in the log yet (`not_logged`); ask again in a second. Or it is
            of a long call that was refused, of which only the hash was kept (`call_not_kept`).
        ProofError: the stored events are not those that were logged (`log_altered`).
    """
    sequence(service)
    with service.store.read() as tx:
        checkpoint = tx.log.latest_checkpoint()
        events = tx.log.about(tenant=tenant, subject=subject)
        file = _known(service, tx, tenant, subject, owned(tx))
        chain = tx.chains.chain(tenant=tenant, subject=subject)
        # What happened meanwhile is in the file but would be missing from its events.
        behind = len(events) < chain.count
        if checkpoint is None or not events or behind or events[-1].index >= checkpoint.size:
            raise Conflict("the events are not in the log yet", code="not_logged")
        head = events[-1].hash
        if (len(events), head) != (chain.count, chain.head):
            # The service does not give its word on what it has not written.
            raise ProofError("the events are not those that were logged", code="log_altered")
        logged = tuple(
            LoggedEvent(
                index=leaf.index,
                leaf=leaf.leaf,
                opening=orjson.loads(leaf.opening),
                proof=tuple(log.inclusion(tx, leaf.index, checkpoint.size)),
            )
            for leaf in events
        )
        whole = replace(file, events=logged, checkpoint=checkpoint.note)
        complete = completeness.sign(
            completeness.Completeness(
                issuer=service.settings.url,
                tenant=tenant,
                subject=subject,
                events=chain.count,
                head=head,
                size=checkpoint.size,
                root=checkpoint.root,
                time=tx.now,
                content=whole.content_digest(),
            ),
            key=service.keys.signer(tx.now),
        )
    return replace(whole, complete=complete).document()


def _kept_call(record: Json) -> str:
    try:
        return recorded_facts(record).call.canonical().decode()
    except Invalid as error:
        if error.code != "call_not_kept":
            raise
        raise Conflict(
            "of this refused call only its hash was kept, so there is no evidence file of it",
            code="call_not_kept",
        ) from error


@dataclass(frozen=True, slots=True)
class _Occasion:
    """Whose an occasion is."""

    enforcer: str
    target: str
    agent: str


def _known(
    service: Service,
    tx: Tx,
    tenant: str,
    subject: str,
    owned: Callable[[_Occasion], bool],
) -> EvidenceFile:
    """Everything but the log's part."""
    if subject.startswith(REQUEST):
        stored = tx.requests.get(tenant=tenant, request_id=subject)
        if stored is None or not owned(
            _Occasion(stored.enforcer, stored.target, stored.request.document.agent)
        ):
            raise NotFound("no such request", place=subject)
        verify_request(tx, stored)
        call, display = stored.call_text, stored.shown.document()
        request, votes = stored.request.document, stored.request.votes
        jti = APPROVAL + subject.removeprefix(REQUEST)
    else:
        verdict = tx.verdicts.get(tenant=tenant, verdict_id=subject)
        if (
            verdict is None
            or verdict.outcome == "escalate"
            or not owned(_Occasion(verdict.enforcer, verdict.target, verdict.agent))
        ):
            raise NotFound("no such request or verdict", place=subject)
        call = _kept_call(orjson.loads(verdict.record))
        request, votes, display = None, (), None
        jti = APPROVAL + subject.removeprefix(VERDICT)
    approval = tx.approvals.get(tenant=tenant, jti=jti)
    spent = tx.approvals.spent(tenant=tenant, jti=jti)
    if approval is not None:
        verify_use(tx, approval, spent)
    outcome = tx.approvals.outcome(tenant=tenant, jti=jti)
    return EvidenceFile(
        subject=subject,
        call=call,
        request=request,
        display=display,
        votes=votes,
        approval=None if approval is None else approval.token,
        receipt=None if spent is None else spent.receipt,
        outcome=None
        if outcome is None
        else Outcome(
            status=outcome.status, output_hash=outcome.output_hash, reported=outcome.created
        ),
        events=(),
        checkpoint="",
        complete="",
        directory=directory_of(service, tx, tenant),
    )
