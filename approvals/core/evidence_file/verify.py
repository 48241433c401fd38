"""Checking an evidence file offline.

Nothing in the file is believed for being in it: signatures are checked with the keys that the
auditor pins, digests are computed again, and the file must tell what the log tells. Where a value
has no signature, proof or opening over it, it is named as not shown. No network, clock or database
is used. A step that fails does not end the check: an auditor wants to know all that is wrong, and
where.

Follows docs/protocol.md, "Evidence file".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from approvals.core import authority, canonical, display, documents, jws, sizes
from approvals.core import directory as directories
from approvals.core import receipt as receipts
from approvals.core.approval import MAX_LIFE, MAX_SKEW, REQUEST, TOKEN_TYPE, Approval, Basis, fits
from approvals.core.calls import ACTION_TYPE, ToolCall, call_hash
from approvals.core.decision.ceremony import StepUp
from approvals.core.errors import ApprovalRejected, AssentError, EvidenceError, JwsError, ProofError
from approvals.core.evidence_file import completeness
from approvals.core.evidence_file.document import EvidenceFile
from approvals.core.evidence_file.finding import Finding, Held
from approvals.core.evidence_file.logged import verify_events
from approvals.core.evidence_file.story import ToldEvent, verify_story
from approvals.core.tlog import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from approvals.core.canonical import Json
    from approvals.core.directory import Directory
    from approvals.core.history.leaves import Chain
    from approvals.core.receipt import Receipt
    from approvals.core.requests import RequestDocument
    from approvals.core.tlog.published import FetchedLog

_MAX_DEPTH = 64
_CALL: Mapping[str, tuple[type, ...]] = {
    "action_type": (str,),
    "target": (str,),
    "tool": (str,),
    "args": (dict,),
}
_Known = TypeVar("_Known")


def verify(
    raw: bytes,
    *,
    jwks: Mapping[str, Json],
    vkeys: Sequence[str],
    directory: Directory | Mapping[str, Json] | str | None = None,
    issuer: str | None = None,
    log: FetchedLog | None = None,
) -> list[Finding]:
    """Check an evidence file against pinned keys: a finding for every step, all ok if it holds.

    `jwks` and `vkeys` are the service's and the log's pinned keys, retired ones among them;
    `directory` is the pinned directory of approvers' keys: parsed, as JSON text, or as the token
    that was published. What was signed is judged by the keys, people and groups of its time.
    Without a pinned directory the one in the file is used, which shows only what the service said
    about whose keys these are; with one, that in the file is not looked at. With all leaves of the
    `log` it is checked whether the file leaves any out; without them that it does not is the
    service's word.

     1. form: the file is read strictly, every member.
     2. directory: pinned, or signed by the service.
     3. call: its text is its canonical form; this gives the call hash.
     4. request: it is about this call.
     5. display: what was shown is what the request names, and has this call in it whole.
     6. votes: each is stated, and signed by that person's passkey.
     7. approval: signed by the service, about all of the above, and every place is filled.
     8. receipt: signed by the service, about this approval, in its time.
     9. checkpoint: signed by the log.
    10. events: each is in the log under that checkpoint, says what its opening says, and follows
        the one before it.
    11. story: the log tells what the file tells, no more and no less.
    12. complete: these are all events of the subject, as the service says.
    13. log: these are all events of the subject, as the log itself shows.
    """
    # 1. form
    try:
        file = EvidenceFile.from_document(
            canonical.parse(raw, max_bytes=sizes.EVIDENCE, max_depth=_MAX_DEPTH)
        )
    except AssentError as error:
        return [Finding(step="form", ok=False, detail=error.message, place=error.place or "")]
    keys = jws.KeySet.from_jwks(jwks)
    audit = _Audit(file, keys=keys, vkeys=vkeys, directory=directory, issuer=issuer, log=log)
    findings = [Finding(step="form", ok=True, detail=f"{len(raw)} bytes about {file.subject}")]
    for step, act in audit.steps():
        try:
            held = act()
            held = held if isinstance(held, Held) else Held(held)
            findings.append(Finding(step=step, ok=True, detail=held.detail, unshown=held.unshown))
        except AssentError as error:
            place = _place(step, error)
            findings.append(Finding(step=step, ok=False, detail=error.message, place=place))
    return findings


def _place(step: str, error: AssentError) -> str:
    """Where in the file; what was found inside a token is placed behind the token's name."""
    if error.place is None:
        return step
    inside = isinstance(error, (JwsError, ApprovalRejected))
    return f"{step}.{error.place}" if inside else error.place


class _Audit:
    """One file being checked: what a step has found to hold is what later steps may lean on."""

    def __init__(
        self,
        file: EvidenceFile,
        *,
        keys: jws.KeySet,
        vkeys: Sequence[str],
        directory: Directory | Mapping[str, Json] | str | None,
        issuer: str | None,
        log: FetchedLog | None,
    ) -> None:
        self._file = file
        self._keys = keys
        self._vkeys = vkeys
        self._pinned = directory
        self._issuer = issuer
        self._log = log
        self._people: Directory | None = None
        self._call: ToolCall | None = None
        self._request: RequestDocument | None = None
        self._request_digest = ""
        self._approval: Approval | None = None
        self._receipt: Receipt | None = None
        self._tree: checkpoint.Checkpoint | None = None
        self._told: tuple[ToldEvent, ...] | None = None
        self._chain: Chain | None = None

    def steps(self) -> Iterator[tuple[str, Callable[[], str | Held]]]:
        """The steps after the form, each giving its detail or raising, in order."""
        yield "directory", self._check_directory
        yield "call", self._check_call
        yield "request", self._check_request
        yield "display", self._check_display
        for index in range(len(self._file.votes)):
            yield f"votes[{index}]", lambda at=index: self._check_vote(at)  # type: ignore[misc]
        yield "approval", self._check_approval
        yield "receipt", self._check_receipt
        yield "checkpoint", self._check_checkpoint
        yield "events", self._check_events
        yield "story", self._check_story
        yield "complete", self._check_complete
        if self._log is not None:
            yield "log", self._check_log

    def _check_directory(self) -> str:
        # 2. What is enclosed says nothing where something is pinned: it is not even read.
        people = None
        if self._pinned is not None:
            people = directories.read_pinned(self._pinned, keys=self._keys)
        elif self._file.directory is not None:
            people = directories.verify(self._file.directory, keys=self._keys)
        if people is None:
            if any(vote.evidence is not None for vote in self._file.votes):
                raise EvidenceError("nothing says whose passkeys these are", place="directory")
            return "none, and none is needed"
        if self._issuer is not None and people.issuer != self._issuer:
            raise EvidenceError("a directory of another service", place="directory")
        self._people = people
        whose = "pinned" if self._pinned is not None else "the service's word, not pinned"
        return f"{len(people.people)} people, number {people.number}: {whose}"

    def _check_call(self) -> str:
        # 3. The text itself is checked, so that a changed byte shows even where it changes nothing.
        raw = self._file.call.encode()
        it = documents.read(canonical.parse_object(raw, max_bytes=sizes.EVIDENCE), _CALL, "call")
        if it["action_type"] != ACTION_TYPE:
            raise EvidenceError("not a tool call", place="call.action_type")
        call = ToolCall(it["target"], it["tool"], it["args"])
        if call.canonical() != raw:
            raise EvidenceError("not the canonical text of the call", place="call")
        self._call = call
        return f"{call.tool} at {call.target}, {call_hash(call)}"

    def _check_request(self) -> str:
        # 4.
        hashed = call_hash(_known(self._call))
        request = self._file.request
        if (request is not None) is not self._file.subject.startswith(REQUEST):
            raise EvidenceError(
                "a request is there exactly where people were asked", place="request"
            )
        if request is None:
            return "nobody was asked"
        if request.call_hash != hashed:
            raise EvidenceError("about another call", place="request.call_hash")
        if not fits(request.requirements):  # the service would have denied the call
            raise EvidenceError(
                "asks more people than an approval can hold", place="request.requirements"
            )
        self._request, self._request_digest = request, request.digest()
        count = len(request.requirements)
        asked = f"{count} requirement" + ("" if count == 1 else "s")
        return f"{request.agent} for {request.user}, {asked}"

    def _check_display(self) -> str:
        # 5. The tool's registered display is the bundle's; that the whole payload was there is not.
        shown = self._file.display
        if self._file.request is None and shown is None:
            return "nothing was shown"
        if shown is None or canonical.digest(shown) != _known(self._request).display_digest:
            raise EvidenceError("not what the request says was shown", place="display")
        call = _known(self._call)
        payload = shown.get("payload")
        # Undone, not drawn again: another Python's Unicode tables may draw other characters.
        if (
            not isinstance(payload, str)
            or display.original(payload) != call.canonical().decode()
            or shown.get("payload_length") != len(payload)
        ):
            raise EvidenceError("another payload was shown", place="display.payload")
        return f"{len(payload)} characters, whole"

    def _check_vote(self, index: int) -> str:
        # 6.
        vote, place = self._file.votes[index], f"votes[{index}]"
        request = _known(self._request)
        said = f"{vote.decision.value} by {vote.approver}"
        if vote.approver == request.user:
            raise EvidenceError("made for this very person", place=f"{place}.approver")
        if not any(requirement.asks(vote.approver) for requirement in request.requirements):
            raise EvidenceError("this person was not asked", place=f"{place}.approver")
        if vote.step_up is StepUp.SESSION and vote.statement is None and vote.evidence is None:
            return f"{said}: a click, for which there is only the service's word"
        authority.verify_statement(
            vote,
            request,
            request_id=self._file.subject,
            request_digest=self._request_digest,
            place=place,
        )
        authority.verify_passkey(vote, _known(self._people), place=place, past=True)
        return f"{said}: signed with their {vote.step_up.value}"

    def _check_approval(self) -> str:
        # 7.
        if self._file.approval is None:
            return "none was issued"
        _, claims = jws.verify(
            self._file.approval, keys=self._keys, typ=TOKEN_TYPE, signed_at="iat"
        )
        approval = Approval.from_claims(claims)
        call = _known(self._call)
        for place, claimed, wanted in (
            ("iss", approval.issuer, self._issuer or approval.issuer),
            ("txn", approval.txn, self._file.subject),
            ("call_hash", approval.call_hash, call_hash(call)),
            ("target", approval.target, call.target),
            ("tool", approval.tool, call.tool),
            ("request", approval.request, self._file.request),
        ):
            if claimed != wanted:
                raise EvidenceError("the approval is of something else", place=f"approval.{place}")
        if (
            not approval.issued
            <= approval.not_before
            < approval.expires
            <= approval.issued + MAX_LIFE
        ):
            raise EvidenceError("not the life of an approval", place="approval.exp")
        if approval.basis is Basis.HUMAN:
            self._check_authority(approval)
        self._approval = approval
        return f"{approval.jti}, on the basis of {approval.basis.value}, for {approval.audience}"

    def _check_authority(self, approval: Approval) -> None:
        # Clicks count on the service's word alone, and not where the auditor pinned the people.
        clicks = any(counted.evidence is None for counted in approval.approvals)
        people = self._people if self._pinned is not None or not clicks else None
        if people is not None and (people.issuer, people.tenant) != (
            approval.issuer,
            approval.tenant,
        ):
            raise EvidenceError("a directory of another service or tenant", place="directory")
        request = authority.verify_request(approval)
        authority.verify_votes(approval, request, people, skew=MAX_SKEW, past=True)
        authority.verify_quorum(approval, request, self._people, past=True)
        cast = {
            (vote.approver, vote.time, vote.statement, vote.evidence) for vote in self._file.votes
        }
        for index, it in enumerate(approval.approvals):
            if (it.approver, it.time, it.statement, it.evidence) not in cast:
                place = f"approval.approvals[{index}]"
                raise EvidenceError("a vote that is not among the votes", place=place)

    def _check_receipt(self) -> str:
        # 8.
        if self._file.receipt is None:
            return "it was not spent"
        if self._file.approval is None:
            raise EvidenceError("a receipt without an approval", place="receipt")
        receipt = receipts.read(self._file.receipt, keys=self._keys)
        receipts.verify_spending(receipt, _known(self._approval))
        self._receipt = receipt
        return f"spent for the use {receipt.use_id}"

    def _check_checkpoint(self) -> str:
        # 9.
        try:
            self._tree = checkpoint.parse_checkpoint(self._file.checkpoint, vkeys=self._vkeys)
        except ProofError as error:
            raise ProofError(error.message, code=error.code, place="checkpoint") from error
        return f"{self._tree.origin}, {self._tree.size} leaves"

    def _check_events(self) -> Held:
        # 10.
        logged = verify_events(self._file.events, _known(self._tree))
        self._told = logged.told
        self._chain = logged.chain
        return Held(f"{len(logged.told)} in the log, none missing between them", logged.unshown)

    def _check_story(self) -> Held:
        # 11.
        if self._file.approval is not None:
            _known(self._approval)
        if self._file.receipt is not None:
            _known(self._receipt)
        story = verify_story(
            self._file,
            _known(self._told),
            call=_known(self._call),
            approval=self._approval,
            receipt=self._receipt,
        )
        return Held(story.told, story.unshown)

    def _check_complete(self) -> str:
        # 12. Only the service knows what it has not told; that is why its word is asked for.
        said = completeness.verify_statement(
            self._file,
            keys=self._keys,
            issuer=self._issuer,
            tenant=self._tenant(),
            chain=_known(self._chain),
            tree=_known(self._tree),
        )
        whose = "on the word of the service" if self._log is None else "as the service said"
        return f"all {said.events} events as of checkpoint {said.size}, {whose}"

    def _check_log(self) -> Held:
        # 13.
        found = completeness.verify_in_log(
            self._file,
            _known(self._log),
            vkeys=self._vkeys,
            tenant=self._tenant(),
            tree=_known(self._tree),
        )
        later = tuple(f"leaf {index} ({event.TYPE})" for index, event in found.later)
        return Held(
            f"the log's own {found.size} leaves have these events and "
            f"{len(later) or 'no'} later ones",
            later,
        )

    def _tenant(self) -> str:
        """Whose tenant the events are of; `story` checks that it is one."""
        told = _known(self._told)
        return told[0].event.tenant if told else ""


def _known(value: _Known | None) -> _Known:
    """What an earlier step found to hold; a step that leans on one that failed fails too."""
    if value is None:
        raise EvidenceError("not checked: it rests on a step that failed", code="unchecked")
    return value
