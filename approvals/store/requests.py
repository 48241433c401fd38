"""Requests, their votes and who is asked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import orjson
from sqlalchemy import or_, update
from sqlmodel import col, select

from approvals.core.calls import ToolCall
from approvals.core.decision.ceremony import Decision, Evidence, Statement, StepUp
from approvals.core.decision.vote import Vote
from approvals.core.display import Shown
from approvals.core.requests import Request, RequestDocument, State
from approvals.store.rows.calls import RequestRow, RequestTextRow, SeatRow, VoteRow
from approvals.store.seals import add, add_all, add_new, altered, change

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlmodel import Session

LOOKED_BACK: Final = 200
"""Approved requests among which one like another is looked for."""


@dataclass(frozen=True)
class StoredRequest:
    """A request with what was pinned beside it when it was opened: its call, and what is shown.

    Both are read from their canonical texts when they are first asked for: an agent chooses how
    long they are, and most transactions need neither.
    """

    request: Request
    enforcer: str
    target: str
    call_text: str
    shown_text: str
    explanation: str | None
    repeats: int
    decided: int | None

    @property
    def id(self) -> str:
        """The request's id."""
        return self.request.id

    @cached_property
    def call(self) -> ToolCall:
        """The call that people are asked about."""
        call = orjson.loads(self.call_text)
        return ToolCall(call["target"], call["tool"], call["args"])

    @cached_property
    def shown(self) -> Shown:
        """What people are shown of it."""
        return Shown.from_document(orjson.loads(self.shown_text))


@dataclass(frozen=True, slots=True)
class Seat:
    """A person who is asked, and the rules for which."""

    person: str
    rules: tuple[str, ...]


class Requests:
    """The requests of a transaction. Every method is bound to a tenant by argument."""

    def __init__(self, session: Session) -> None:
        self._session = session

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
            "call": stored.call_text,
            "display": stored.shown_text,
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
            call_text=texts.call,
            shown_text=texts.display,
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


def _text(document: object) -> str:
    return orjson.dumps(document).decode()
