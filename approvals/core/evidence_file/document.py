"""The evidence file as a document: what the service knows of one call.

Reading is strict, member by member, and believes nothing: `verify` next door checks what was read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.core import b64, canonical, documents, sizes
from approvals.core.approval import REQUEST, VERDICT
from approvals.core.decision.ceremony import Decision, Evidence, Statement, StepUp
from approvals.core.decision.vote import Vote
from approvals.core.requests import RequestDocument

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.canonical import Json

FILE_TYPE = "assent/evidence/2"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """A leaf of the log, what opens it (as far as it is still kept), and its proof of inclusion."""

    index: int
    leaf: bytes
    opening: dict[str, Json]
    proof: tuple[bytes, ...]

    def document(self) -> dict[str, Json]:
        """The JSON form, byte strings as base64url without padding."""
        return {
            "index": self.index,
            "leaf": b64.encode(self.leaf),
            "opening": self.opening,
            "proof": [b64.encode(step) for step in self.proof],
        }

    @classmethod
    def from_document(cls, document: object, place: str) -> LoggedEvent:
        """Read an event strictly."""
        it = documents.read(document, _EVENT, place)
        return cls(
            index=it["index"],
            leaf=documents.octets(it["leaf"], f"{place}.leaf"),
            opening=it["opening"],
            proof=tuple(
                documents.octets(step, f"{place}.proof[{index}]")
                for index, step in enumerate(documents.strings(it["proof"], f"{place}.proof"))
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the enforcer reported of the call that it ran."""

    status: str
    output_hash: str | None
    reported: int

    def document(self) -> dict[str, Json]:
        """The JSON form."""
        return {
            "status": self.status,
            "output_hash": self.output_hash,
            "reported": self.reported,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceFile:
    """What the service knows of one call. `subject` is the request's or the verdict's id.

    `call` is the canonical text of the call, as it was stored; `approval`, `receipt`, `complete`
    and `directory` are tokens.
    """

    subject: str
    call: str
    request: RequestDocument | None
    display: dict[str, Json] | None
    votes: tuple[Vote, ...]
    approval: str | None
    receipt: str | None
    outcome: Outcome | None
    events: tuple[LoggedEvent, ...]
    checkpoint: str
    complete: str
    directory: str | None

    def document(self) -> dict[str, Json]:
        """The JSON object that is the file."""
        return {
            "typ": FILE_TYPE,
            "subject": self.subject,
            "call": self.call,
            "request": None if self.request is None else self.request.document(),
            "display": self.display,
            "votes": [_vote_document(vote) for vote in self.votes],
            "approval": self.approval,
            "receipt": self.receipt,
            "outcome": None if self.outcome is None else self.outcome.document(),
            "events": [event.document() for event in self.events],
            "checkpoint": self.checkpoint,
            "complete": self.complete,
            "directory": self.directory,
        }

    def content_digest(self) -> str:
        """The digest of all that the file says, but for what opens events: that may be erased."""
        document = self.document()
        del document["complete"]
        document["events"] = [
            {name: value for name, value in event.document().items() if name != "opening"}
            for event in self.events
        ]
        return canonical.digest(document)

    @classmethod
    def from_document(cls, document: object) -> EvidenceFile:
        """Read a file strictly; `Invalid` names the member that is wrong."""
        it = documents.read(document, _FILE, "file")
        if it["typ"] != FILE_TYPE:
            documents.refuse("file.typ", f"not {FILE_TYPE}")
        if not it["subject"].startswith((REQUEST, VERDICT)):
            documents.refuse("file.subject", "neither a request nor a verdict")
        if len(it["votes"]) > sizes.VOTES:
            documents.refuse("file.votes", f"more than {sizes.VOTES}, which no request has")
        request, outcome = it["request"], it["outcome"]
        return cls(
            subject=it["subject"],
            call=it["call"],
            request=None if request is None else RequestDocument.from_document(request),
            display=it["display"],
            votes=tuple(_vote(item, f"votes[{index}]") for index, item in enumerate(it["votes"])),
            approval=it["approval"],
            receipt=it["receipt"],
            outcome=None
            if outcome is None
            else Outcome(**documents.read(outcome, _OUTCOME, "outcome")),
            events=tuple(
                LoggedEvent.from_document(item, f"events[{index}]")
                for index, item in enumerate(it["events"])
            ),
            checkpoint=it["checkpoint"],
            complete=it["complete"],
            directory=it["directory"],
        )


_FILE: Mapping[str, tuple[type, ...]] = {
    "typ": (str,),
    "subject": (str,),
    "call": (str,),
    "request": (dict, documents.NULL),
    "display": (dict, documents.NULL),
    "votes": (list,),
    "approval": (str, documents.NULL),
    "receipt": (str, documents.NULL),
    "outcome": (dict, documents.NULL),
    "events": (list,),
    "checkpoint": (str,),
    "complete": (str,),
    "directory": (str, documents.NULL),
}
_EVENT: Mapping[str, tuple[type, ...]] = {
    "index": (int,),
    "leaf": (str,),
    "opening": (dict,),
    "proof": (list,),
}
_OUTCOME: Mapping[str, tuple[type, ...]] = {
    "status": (str,),
    "output_hash": (str, documents.NULL),
    "reported": (int,),
}
_VOTE: Mapping[str, tuple[type, ...]] = {
    "approver": (str,),
    "decision": (str,),
    "step_up": (str,),
    "time": (int,),
    "reason": (str, documents.NULL),
    "channel": (str,),
    "statement": (dict, documents.NULL),
    "evidence": (dict, documents.NULL),
}


def _vote_document(vote: Vote) -> dict[str, Json]:
    return {
        "approver": vote.approver,
        "decision": vote.decision.value,
        "step_up": vote.step_up.value,
        "time": vote.time,
        "reason": vote.reason,
        "channel": vote.channel,
        "statement": None if vote.statement is None else vote.statement.document(),
        "evidence": None if vote.evidence is None else vote.evidence.document(),
    }


def _vote(document: object, place: str) -> Vote:
    it = documents.read(document, _VOTE, place)
    if it["decision"] not in set(Decision) or it["step_up"] not in set(StepUp):
        documents.refuse(place, "neither a decision nor a step-up that is known")
    statement, evidence = it["statement"], it["evidence"]
    return Vote(
        approver=it["approver"],
        decision=Decision(it["decision"]),
        step_up=StepUp(it["step_up"]),
        time=documents.moment(it["time"], f"{place}.time"),
        reason=it["reason"],
        channel=it["channel"],
        statement=None
        if statement is None
        else Statement.from_document(statement, f"{place}.statement"),
        evidence=None
        if evidence is None
        else Evidence.from_document(evidence, f"{place}.evidence"),
    )
