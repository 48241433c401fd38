"""Evidence files of the small company, as its service would write them, and the log they are in."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from approvals.core import canonical, display, merkle
from approvals.core import directory as directories
from approvals.core import receipt as receipts
from approvals.core.calls import call_hash
from approvals.core.decision.ceremony import Decision, StepUp
from approvals.core.evidence_file import (
    Completeness,
    EvidenceFile,
    Finding,
    LoggedEvent,
    Outcome,
    completeness,
    verify,
)
from approvals.core.history.events import (
    ApprovalConsumed,
    ApprovalRefused,
    CallAllowed,
    CallRefused,
    Event,
    OutcomeReported,
    RequestApproved,
    RequestDenied,
    RequestOpened,
    RequestRepeated,
    VoteApprove,
    VoteDeny,
)
from approvals.core.history.leaves import Chain, seal
from approvals.core.tlog import checkpoint
from approvals.core.tlog.published import FetchedLog
from tests.company import (
    CALL,
    ISSUER,
    NOW,
    OCCASION,
    TWO_FROM_FINANCE,
    Company,
    digest_of,
)
from tests.vectors.make_receipt_vectors import receipt_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.core.decision.requirement import Requirement
    from approvals.core.decision.vote import Vote

ORIGIN = "approve.example/log"
LOG_KEY = Ed25519PrivateKey.generate()
VKEY = checkpoint.vkey(ORIGIN, LOG_KEY.public_key())
COMPANY = Company()
DIRECTORY = directories.sign(COMPANY.directory, key=COMPANY.key)
SHOWN = display.shown(None, CALL).document()
REQUEST = f"req_{OCCASION}"
JTI = f"apr_{OCCASION}"
SUBMITTED: dict[str, Any] = {
    "enforcer": "payments-gateway",
    "agent": "billing-agent",
    "target": CALL.target,
    "tool": CALL.tool,
    "call_hash": call_hash(CALL),
    "bundle": digest_of("bundle"),
    "rules": ("large-transfers",),
    "record": digest_of("record"),
    "user": "uma",
    "task": "task-1",
    "model": "a-model",
    "prompt_hash": None,
    "context_refs": (),
    "idempotency": None,
    "answer": digest_of("answer"),
}


def event(
    kind: type[Event], time: int, public: dict[str, Any], *, subject: str = REQUEST, **secret: Any
) -> Event:
    return kind(time=time, tenant="default", subject=subject, **public, **secret)


LEAVES: dict[str, list[bytes]] = {}
"""All leaves of each log that was made, by its checkpoint."""


def whole_log(file: EvidenceFile) -> FetchedLog:
    """The log that a file is of, as whoever fetched it has it."""
    return FetchedLog(checkpoint=file.checkpoint, leaves=LEAVES[file.checkpoint])


def logged(events: Sequence[Event]) -> tuple[tuple[LoggedEvent, ...], str]:
    """The events in a log among others', with proofs, and the log's checkpoint."""
    chain = Chain()
    sealed = []
    for number, told in enumerate(events):
        sealed.append(seal(told, link=chain.next(), salt=bytes([number]) * 32))
        chain.add(sealed[-1].leaf)
    leaves = [b"other"] * 3
    places = []
    for one in sealed:
        places.append(len(leaves))
        leaves += [one.leaf, b"between"]
    hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
    tree = checkpoint.Checkpoint(ORIGIN, len(leaves), merkle.root(hashes))
    found = tuple(
        LoggedEvent(
            index=index,
            leaf=one.leaf,
            opening=one.opening,
            proof=tuple(
                merkle.inclusion_proof(
                    index, len(leaves), lambda start, end: merkle.root(hashes[start:end])
                )
            ),
        )
        for index, one in zip(places, sealed, strict=True)
    )
    note = checkpoint.sign_checkpoint(tree, name=ORIGIN, key=LOG_KEY)
    LEAVES[note] = leaves
    return found, note


def stated(file: EvidenceFile, **changes: Any) -> str:
    """The service's word that these are all events of the subject, and that it made this file."""
    tree = checkpoint.parse_checkpoint(file.checkpoint, vkeys=[VKEY])
    statement = Completeness(
        issuer=ISSUER,
        tenant="default",
        subject=file.subject,
        events=len(file.events),
        head=merkle.leaf_hash(file.events[-1].leaf) if file.events else bytes(32),
        size=tree.size,
        root=tree.root,
        time=NOW + 60,
        content=file.content_digest(),
    )
    return completeness.sign(replace(statement, **changes), key=COMPANY.key)


def completed(file: EvidenceFile, **changes: Any) -> EvidenceFile:
    """The file with such a statement."""
    return replace(file, complete=stated(file, **changes))


def vote_event(vote: Vote, about: dict[str, Any]) -> Event:
    kind = VoteDeny if vote.decision is Decision.DENY else VoteApprove
    statement = None if vote.statement is None else canonical.digest(vote.statement.document())
    evidence = None if vote.evidence is None else canonical.digest(vote.evidence.document())
    return event(
        kind,
        vote.time,
        {**about, "statement": statement, "evidence": evidence},
        approver=vote.approver,
        reason=vote.reason,
        step_up=vote.step_up.value,
        channel=vote.channel,
    )


def evidence(
    *,
    asked: Requirement = TWO_FROM_FINANCE,
    second: str = "ben",
    denied: bool = False,
    clicked: bool = False,
    spent: bool = True,
) -> EvidenceFile:
    """The file of a call that two people approved, which then ran; or of one that was denied."""
    document = COMPANY.request(asked, display_digest=canonical.digest(SHOWN), task="task-1")
    about = {"request_digest": document.digest()}
    votes = [COMPANY.vote("ada", document)]
    if denied:
        ben = COMPANY.vote("ben", document, decision=Decision.DENY)
        votes.append(replace(ben, reason="not this vendor"))
    else:
        votes.append(COMPANY.vote(second, document))
    if clicked:
        votes[0] = replace(votes[0], step_up=StepUp.SESSION, statement=None, evidence=None)
    events: list[Event] = [
        event(
            RequestOpened,
            document.created,
            {**about, "verdict": f"vrd_{OCCASION}"},
            explanation=None,
            **SUBMITTED,
        ),
        event(
            RequestRepeated,
            document.created + 5,
            {**about, "verdict": "vrd_" + "b" * 26},
            **SUBMITTED,
        ),
        *(vote_event(vote, about) for vote in votes),
    ]
    token = None
    receipt = outcome = None
    if denied:
        events.append(event(RequestDenied, NOW - 15, about))
    else:
        approval = COMPANY.approval(document, votes)
        token = COMPANY.token(approval)
        public = {**about, "approval": JTI, "token": canonical.digest(token)}
        events.append(event(RequestApproved, approval.issued, public))
    if token is not None and spent:
        used = {"approval": JTI}
        receipt = receipts.sign(
            receipt_for(COMPANY, call_hash=call_hash(CALL), consumed=NOW + 3), key=COMPANY.key
        )
        outcome = Outcome(status="ok", output_hash=digest_of("output"), reported=NOW + 4)
        spent_by = {**used, "receipt": canonical.digest(receipt)}
        events.append(event(ApprovalConsumed, NOW + 3, spent_by, use_id="use-1"))
        events.append(event(ApprovalRefused, NOW + 3, used, code="consumed"))
        report = {"status": "ok", "output_hash": digest_of("output")}
        events.append(event(OutcomeReported, NOW + 4, used, **report))
    found, note = logged(events)
    whole = EvidenceFile(
        subject=REQUEST,
        call=CALL.canonical().decode(),
        request=document,
        display=SHOWN,
        votes=tuple(votes),
        approval=token,
        receipt=receipt,
        outcome=outcome,
        events=found,
        checkpoint=note,
        complete="",
        directory=DIRECTORY,
    )
    return completed(whole)


def allowed() -> EvidenceFile:
    """The file of a call that policy allowed."""
    approval = COMPANY.allowed(rules=("large-transfers",))
    verdict = f"vrd_{OCCASION}"
    token = COMPANY.token(approval)
    public = {"verdict": verdict, "approval": approval.jti, "token": canonical.digest(token)}
    found, note = logged(
        [event(CallAllowed, approval.issued, public, subject=verdict, **SUBMITTED)]
    )
    whole = replace(
        evidence(),
        subject=f"vrd_{OCCASION}",
        request=None,
        display=None,
        votes=(),
        approval=token,
        receipt=None,
        outcome=None,
        events=found,
        checkpoint=note,
    )
    return completed(whole)


def refused() -> EvidenceFile:
    """The file of a call that policy refused."""
    verdict = f"vrd_{OCCASION}"
    found, note = logged(
        [
            event(
                CallRefused,
                NOW,
                {"verdict": verdict},
                subject=verdict,
                code="forbidden",
                **SUBMITTED,
            )
        ]
    )
    return completed(replace(allowed(), approval=None, events=found, checkpoint=note))


def written(file: EvidenceFile | dict[str, Any]) -> bytes:
    return json.dumps(file if isinstance(file, dict) else file.document()).encode()


def check(file: EvidenceFile | dict[str, Any] | bytes, **changes: Any) -> list[Finding]:
    known: dict[str, Any] = {
        "jwks": COMPANY.jwks,
        "vkeys": [VKEY],
        "directory": COMPANY.directory,
        "issuer": ISSUER,
    }
    raw = file if isinstance(file, bytes) else written(file)
    return verify(raw, **{**known, **changes})


def failures(file: EvidenceFile | dict[str, Any] | bytes, **changes: Any) -> dict[str, str]:
    """The steps that do not hold, and where."""
    return {found.step: found.place for found in check(file, **changes) if not found.ok}
