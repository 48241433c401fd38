"""Verdicts, requests, votes and who is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson
from sqlalchemy import bindparam, delete, literal_column, or_, union_all, update
from sqlalchemy import select as select_columns
from sqlmodel import col, select

from approvals.core.decision.ceremony import Decision, Evidence, Statement, StepUp
from approvals.core.decision.vote import Vote
from approvals.core.requests import Request, RequestDocument, State
from approvals.store.rows.calls import (
    ApprovalRow,
    IdempotencyRow,
    RequestRow,
    RequestTextRow,
    SeatRow,
    VerdictRow,
    VoteRow,
)
from approvals.store.rows.log import ChainRow
from approvals.store.seals import add, add_all, add_new, altered, change, sound

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy import CompoundSelect
    from sqlmodel import Session

LOOKED_BACK: Final = 200
"""Approved requests among which one like another is looked for."""


@dataclass(frozen=True, slots=True)
class VerdictRecord:
    """One answer of policy: `answer` is what the caller was told, `record` what replays it."""

    id: str
    tenant: str
    enforcer: str
    agent: str
    person: str
    target: str
    tool: str
    call_hash: str
    bundle: str
    outcome: str
    answer: str
    record: str
    created: int


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A request with what was pinned beside it when it was opened.

    `call` is the canonical text of the call, `display` the canonical text of the shown document.
    """

    request: Request
    enforcer: str
    target: str
    call: str
    display: str
    explanation: str | None
    repeats: int
    decided: int | None

    @property
    def id(self) -> str:
        """The request's id."""
        return self.request.id


@dataclass(frozen=True, slots=True)
class RequestLine:
    """One line of a list of requests."""

    id: str
    agent: str
    person: str
    target: str
    tool: str
    call_hash: str
    gist: tuple[str, ...]
    state: State
    created: int
    expires: int


@dataclass(frozen=True, slots=True)
class Seat:
    """A person who is asked, and the rules for which."""

    person: str
    rules: tuple[str, ...]


class Requests:
    """The requests of a transaction. Every method is bound to a tenant by argument."""

    def __init__(self, session: Session) -> None:
        self._session = session

    # -- verdicts ---------------------------------------------------------------------------

    def known_key(self, *, tenant: str, enforcer: str, key: str) -> tuple[str, str] | None:
        """The first (body digest, verdict id) of an `Idempotency-Key` that was claimed before."""
        row = self._session.get(IdempotencyRow, (tenant, enforcer, key))
        return None if row is None else (row.body_digest, row.verdict)

    def claim_key(
        self, *, tenant: str, enforcer: str, key: str, body_digest: str, verdict: str, now: int
    ) -> tuple[str, str] | None:
        """Claim an `Idempotency-Key`: None if it is new, else its first (body digest, verdict id).

        A concurrent claim of the same key waits for this transaction, so one of them is the first.
        """
        values = {
            "tenant": tenant,
            "enforcer": enforcer,
            "key": key,
            "body_digest": body_digest,
            "verdict": verdict,
            "created": now,
        }
        if add_new(self._session, IdempotencyRow, values):
            return None
        row = self._session.get_one(IdempotencyRow, (tenant, enforcer, key))
        return row.body_digest, row.verdict

    def begun(self, *, tenant: str, occasion: str) -> bool:
        """Whether anything is stored of an occasion: verdict, request, approval or event."""
        values = {"verdict": f"vrd_{occasion}", "request": f"req_{occasion}"}
        found = self._session.connection().execute(
            _BEGUN, {**values, "approval": f"apr_{occasion}", "tenant": tenant}
        )
        return found.first() is not None

    def release_key(self, *, tenant: str, enforcer: str, key: str) -> None:
        """Give back what this transaction claimed: nothing is kept of the call."""
        self._session.execute(
            delete(IdempotencyRow).where(
                col(IdempotencyRow.tenant) == tenant,
                col(IdempotencyRow.enforcer) == enforcer,
                col(IdempotencyRow.key) == key,
            )
        )

    def add_verdict(self, verdict: VerdictRecord) -> None:
        """Store a verdict."""
        values = {name: getattr(verdict, name) for name in VerdictRecord.__slots__}
        add(self._session, VerdictRow, values)

    def verdict(self, *, tenant: str, verdict_id: str) -> VerdictRecord | None:
        """The verdict with this id."""
        row = self._session.get(VerdictRow, verdict_id)
        if row is None or row.tenant != tenant:
            return None
        return VerdictRecord(**{name: getattr(row, name) for name in VerdictRecord.__slots__})

    # -- requests ---------------------------------------------------------------------------

    def open(
        self,
        stored: StoredRequest,
        *,
        tool: str,
        gist: Iterable[str],
        open_key: str,
        seats: Iterable[Seat],
        follow_at: int | None = None,
    ) -> bool:
        """Open a request unless one with its `open_key` is open. True if this one now is.

        `follow_at` is when somebody is to be told next if nothing happens.
        """
        request = stored.request
        document = request.document
        values = {
            "id": request.id,
            "tenant": document.tenant,
            "enforcer": stored.enforcer,
            "agent": document.agent,
            "person": document.user,
            "target": stored.target,
            "tool": tool,
            "call_hash": document.call_hash,
            "state": request.state.value,
            "open_key": open_key,
            "repeats": 0,
            "digest": document.digest(),
            "gist": _text([*gist]),
            "created": document.created,
            "expires": document.expires,
            "decided": None,
            "follow_at": follow_at,
        }
        if not add_new(self._session, RequestRow, values):
            return False
        texts = {
            "request": request.id,
            "tenant": document.tenant,
            "document": _text(document.document()),
            "call": stored.call,
            "display": stored.display,
            "explanation": stored.explanation,
        }
        add(self._session, RequestTextRow, texts)
        add_all(
            self._session,
            SeatRow,
            [
                {
                    "request": request.id,
                    "person": seat.person,
                    "tenant": document.tenant,
                    "rules": _text(seat.rules),
                    "created": document.created,
                }
                for seat in seats
            ],
        )
        return True

    def open_with(self, *, tenant: str, open_key: str) -> StoredRequest | None:
        """The request that holds this `open_key`, locked.

        Raises:
            Unavailable: the request there asks something else (`row_altered`).
        """
        row = self._session.exec(
            select(RequestRow)
            .where(RequestRow.tenant == tenant, RequestRow.open_key == open_key)
            .with_for_update()
            .execution_options(populate_existing=True)
        ).first()
        if row is None:
            return None
        stored = self._stored(row)
        # The column says where to look. What is found there must be the same question, or a call
        # could be given the request, and so the answer, of another.
        if stored.request.document.open_key() != open_key:
            raise altered("request", row.id)
        return stored

    def repeated(self, request_id: str) -> None:
        """Count one more identical call on the request."""
        self._session.execute(
            update(RequestRow)
            .where(col(RequestRow.id) == request_id)
            .values(repeats=RequestRow.repeats + 1)
        )

    def get(self, *, tenant: str, request_id: str, lock: bool = False) -> StoredRequest | None:
        """The request. With `lock`, no other transaction can change it until this one ends."""
        query = select(RequestRow).where(RequestRow.tenant == tenant, RequestRow.id == request_id)
        if lock:
            # Read anew: what this transaction read before it had the lock may be old by now.
            query = query.with_for_update().execution_options(populate_existing=True)
        row = self._session.exec(query).first()
        return None if row is None else self._stored(row)

    def hold(self, *, tenant: str, request_id: str) -> None:
        """Lock the request, if there is one: nobody else changes it before this transaction ends.

        Every transaction locks a request before its approval (see `flow.locks`).
        """
        self._session.exec(
            select(RequestRow.id)
            .where(RequestRow.tenant == tenant, RequestRow.id == request_id)
            .with_for_update()
        ).first()

    def hold_free(self, request_ids: Collection[str]) -> frozenset[str]:
        """Lock those of these requests that no other transaction has locked; gives which."""
        if not request_ids:
            return frozenset()
        return frozenset(
            self._session.exec(
                select(RequestRow.id)
                .where(col(RequestRow.id).in_(request_ids))
                .order_by(col(RequestRow.id))
                .with_for_update(skip_locked=True)
            )
        )

    def put_state(self, request: Request, *, now: int, keep_open: bool = False) -> None:
        """Store the new state. Unless `keep_open`, an identical call may be asked anew."""
        values: dict[str, object] = {"state": request.state.value, "decided": now}
        if not keep_open:
            values["open_key"] = None
        change(self._session, self._session.get_one(RequestRow, request.id), **values)

    def close(self, request_id: str) -> None:
        """The request can no longer lead to execution: an identical call may be asked anew."""
        self._session.execute(
            update(RequestRow).where(col(RequestRow.id) == request_id).values(open_key=None)
        )

    def due(self, *, now: int, limit: int) -> list[tuple[str, str]]:
        """(tenant, id) of pending requests whose time has passed."""
        rows = self._session.exec(
            select(RequestRow.tenant, RequestRow.id)
            .where(RequestRow.state == State.PENDING.value, RequestRow.expires <= now)
            .order_by(col(RequestRow.expires))
            .limit(limit)
        )
        return [(tenant, request_id) for tenant, request_id in rows]

    def add_vote(self, request: Request, vote: Vote) -> None:
        """Store a vote. The primary key lets one person have one."""
        statement, evidence = vote.statement, vote.evidence
        values = {
            "request": request.id,
            "person": vote.approver,
            "position": len(request.votes),
            "tenant": request.document.tenant,
            "decision": vote.decision.value,
            "step_up": vote.step_up.value,
            "channel": vote.channel,
            "reason": vote.reason,
            "statement": None if statement is None else _text(statement.document()),
            "evidence": None if evidence is None else _text(evidence.document()),
            "created": vote.time,
        }
        add(self._session, VoteRow, values)

    # -- lists ------------------------------------------------------------------------------

    def asked(self, *, tenant: str, person: str, limit: int) -> list[RequestLine]:
        """The newest requests that the person is asked about."""
        # From the seats, which have an index for it: however many there are, `limit` are read.
        newest = (
            select(SeatRow.request)
            .where(SeatRow.tenant == tenant, SeatRow.person == person)
            .order_by(col(SeatRow.created).desc())
            .limit(limit)
        )
        rows = sound(
            self._session,
            select(RequestRow)
            # Not by the tenant, which SQLite would take for the narrower way: it is checked below.
            .where(col(RequestRow.id).in_(newest))
            .order_by(col(RequestRow.created).desc(), RequestRow.id),
        )
        return [_line(row) for row in rows if row.tenant == tenant]

    def made_for(self, *, tenant: str, person: str, limit: int) -> list[RequestLine]:
        """The newest requests made for the person."""
        rows = sound(
            self._session,
            select(RequestRow)
            .where(RequestRow.tenant == tenant, RequestRow.person == person)
            .order_by(col(RequestRow.created).desc(), RequestRow.id)
            .limit(limit),
        )
        return [_line(row) for row in rows]

    def lately(
        self, *, tenant: str, agent: str, before: int, besides: str, limit: int
    ) -> list[RequestLine]:
        """What the agent asked for up to `before`, newest first, without the request `besides`."""
        rows = sound(
            self._session,
            select(RequestRow)
            .where(
                RequestRow.tenant == tenant,
                RequestRow.agent == agent,
                RequestRow.created <= before,
                RequestRow.id != besides,
            )
            .order_by(col(RequestRow.created).desc(), RequestRow.id)
            .limit(limit),
        )
        return [_line(row) for row in rows]

    def last_approved(
        self, *, tenant: str, target: str, tool: str, agent: str, before: int, person: str
    ) -> StoredRequest | None:
        """The newest approved request of the agent for this tool, decided up to `before`.

        Only one that was made for `person` or that they were asked about, and that is among the
        agent's last `LOOKED_BACK` for the tool: to look further takes longer the older the service.
        """
        newest = (
            select(RequestRow.id)
            .where(
                RequestRow.tenant == tenant,
                RequestRow.tool == tool,
                RequestRow.agent == agent,
                RequestRow.state == State.APPROVED.value,
                col(RequestRow.decided) <= before,
            )
            .order_by(col(RequestRow.decided).desc())
            .limit(LOOKED_BACK)
        )
        seated = (
            select(SeatRow.request)
            .where(col(SeatRow.request) == col(RequestRow.id), SeatRow.person == person)
            .exists()
        )
        row = self._session.exec(
            select(RequestRow)
            .where(
                col(RequestRow.id).in_(newest),
                RequestRow.target == target,
                or_(col(RequestRow.person) == person, seated),
            )
            .order_by(col(RequestRow.decided).desc(), RequestRow.id)
            .limit(1)
        ).first()
        return None if row is None else self._stored(row)

    def voted_on(self, request_ids: Collection[str], *, person: str) -> frozenset[str]:
        """Which of these requests the person has voted on."""
        rows = self._session.exec(
            select(VoteRow.request).where(
                col(VoteRow.request).in_(request_ids), VoteRow.person == person
            )
        )
        return frozenset(rows)

    # -- seats ------------------------------------------------------------------------------

    def has_seat(self, *, request_id: str, person: str) -> bool:
        """Is the person asked about this request?"""
        return self._session.get(SeatRow, (request_id, person)) is not None

    def _stored(self, row: RequestRow) -> StoredRequest:
        votes = self._session.exec(
            select(VoteRow).where(VoteRow.request == row.id).order_by(col(VoteRow.position))
        )
        texts = self._session.get(RequestTextRow, row.id)
        if texts is None or texts.tenant != row.tenant:
            raise altered("request_text", row.id)
        return StoredRequest(
            request=Request(
                id=row.id,
                document=RequestDocument.from_document(orjson.loads(texts.document)),
                state=State(row.state),
                votes=tuple(_vote(vote) for vote in votes),
            ),
            enforcer=row.enforcer,
            target=row.target,
            call=texts.call,
            display=texts.display,
            explanation=texts.explanation,
            repeats=row.repeats,
            decided=row.decided,
        )


def _vote(row: VoteRow) -> Vote:
    return Vote(
        approver=row.person,
        decision=Decision(row.decision),
        step_up=StepUp(row.step_up),
        time=row.created,
        statement=None
        if row.statement is None
        else Statement.from_document(orjson.loads(row.statement)),
        evidence=None
        if row.evidence is None
        else Evidence.from_document(orjson.loads(row.evidence)),
        reason=row.reason,
        channel=row.channel,
    )


def _line(row: RequestRow) -> RequestLine:
    return RequestLine(
        id=row.id,
        agent=row.agent,
        person=row.person,
        target=row.target,
        tool=row.tool,
        call_hash=row.call_hash,
        gist=tuple(orjson.loads(row.gist)),
        state=State(row.state),
        created=row.created,
        expires=row.expires,
    )


def _text(document: object) -> str:
    return orjson.dumps(document).decode()


_BEGUN: Final[CompoundSelect[tuple[int]]] = union_all(
    select_columns(literal_column("1")).where(col(VerdictRow.id) == bindparam("verdict")),
    select_columns(literal_column("1")).where(col(RequestRow.id) == bindparam("request")),
    select_columns(literal_column("1")).where(col(ApprovalRow.jti) == bindparam("approval")),
    select_columns(literal_column("1")).where(
        col(ChainRow.tenant) == bindparam("tenant"),
        col(ChainRow.subject).in_([bindparam("verdict"), bindparam("request")]),
    ),
)
