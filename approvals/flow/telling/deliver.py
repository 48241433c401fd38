"""Delivering what is in the outbox, at least once, on each channel by itself.

1. Claim: due rows are leased to one worker, in a transaction of its own.
2. Send: outside of any transaction, from the state as it is now.
3. Settle: sent, put off or given up, in a transaction of its own, if the lease holds yet.

A worker that dies between 2 and 3 leaves a row that another sends again once the lease is over: the
message's id is the same, so a receiver can drop the second copy. A channel that is away delays only
its own rows.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from approvals import log
from approvals.core import display
from approvals.core.errors import AssentError
from approvals.core.history.events import NoticeGivenUp
from approvals.core.requests import State
from approvals.flow.service import new_occasion
from approvals.flow.status import effective_state
from approvals.flow.telling.brief import brief
from approvals.flow.telling.outbox import NoticeKind

if TYPE_CHECKING:
    from approvals.flow.service import Service
    from approvals.flow.telling.brief import Brief
    from approvals.store import Tx
    from approvals.store.notices import Notice

LEASE_SECONDS = 120
SEND_SECONDS = 30
"""The longest that a channel may take to send one message."""
FIRST_DELAY, LONGEST_DELAY = 2.0, 900.0
_MOST_DOUBLINGS = 16
PATIENCE = 86_400
"""Seconds after which a notice that cannot be delivered is given up, for all to see."""


class TryAgain(AssentError):  # noqa: N818 - an outcome of sending
    """It could not be sent now. `after` is in how many seconds the channel asks to be tried."""

    default_code = "channel_away"

    def __init__(self, code: str, *, after: int | None = None) -> None:
        super().__init__("this could not be sent now", code=code)
        self.after = after


class GiveUp(AssentError):  # noqa: N818 - an outcome of sending
    """It can never be sent to this person on this channel."""

    default_code = "undeliverable"

    def __init__(self, code: str) -> None:
        super().__init__("this cannot be sent", code=code)


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who is told: `address` and `slack` as in people.yaml, `account` (team, id) if linked."""

    id: str
    name: str
    address: str | None
    slack: str | None
    account: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Message:
    """One thing to send. `id` is the same at every attempt; `revision` tells updates apart."""

    id: str
    kind: NoticeKind
    tenant: str
    channel: str
    recipient: Recipient
    revision: int
    url: str
    brief: Brief | None
    lines: tuple[str, ...]


class Channel(Protocol):
    """A way to people: Slack, mail, a webhook."""

    @property
    def name(self) -> str:
        """Its name in people.yaml, before any colon."""

    def send(self, message: Message, reference: str | None) -> str | None:
        """Send, or change what was sent; gives what is needed to change it later (None: as before).

        Takes at most `SEND_SECONDS`. Raises `TryAgain` or `GiveUp`, and nothing else for anything
        that a peer can do.
        """


def deliver(service: Service, channel: Channel, *, worker: str, limit: int = 20) -> int:
    """Deliver what is due on a channel; gives how many rows were taken.

    What one notice breaks in a channel holds up no other: it is put off like one that could not be
    sent, and raised once the rest is done.
    """
    lease = f"{worker}:{new_occasion()}"
    begun = time.monotonic()
    with service.store.begin() as tx:
        taken = tx.notices.claim(
            channel=channel.name, lease=lease, now=tx.now, until=tx.now + LEASE_SECONDS, limit=limit
        )
    broken: Exception | None = None
    for notice in taken:
        if time.monotonic() - begun > LEASE_SECONDS - SEND_SECONDS:
            # The rest could still be under way when another may take it: leave it to the next.
            _put_off(service, notice, lease, code="busy", after=None, counts=False)
            continue
        try:
            message = compose(service, notice)
            reference = None if message is None else channel.send(message, notice.reference)
        except TryAgain as error:
            _put_off(service, notice, lease, code=error.code, after=error.after)
        except GiveUp as error:
            _give_up(service, notice, lease, code=error.code)
        except Exception as error:  # noqa: BLE001 - raised below; who waits behind it would starve
            code = error.code if isinstance(error, AssentError) else "broken"
            _put_off(service, notice, lease, code=code, after=None)
            broken = error
        else:
            with service.store.begin() as tx:
                tx.notices.settle(notice.id, lease=lease, sent=notice.revision, reference=reference)
    if broken is not None:
        raise broken
    return len(taken)


def compose(service: Service, notice: Notice) -> Message | None:
    """What there is to send, from the state as it is now; None where it has become pointless."""
    with service.store.read() as tx:
        bundle = service.current_bundle(tx, notice.tenant).bundle
        person = bundle.people.get(notice.person)
        if person is None:
            raise GiveUp("person_gone")
        told: Brief | None = None
        kind = NoticeKind(notice.kind)
        url, lines = service.url("/"), tuple[str, ...]()
        if kind in {NoticeKind.REQUEST, NoticeKind.REMINDER}:
            request_id = notice.subject.partition(":")[0]
            stored = tx.requests.get(tenant=notice.tenant, request_id=request_id)
            if stored is None:
                raise GiveUp("request_gone")
            if (
                kind is NoticeKind.REMINDER
                and effective_state(stored.request, now=tx.now) is not State.PENDING
            ):
                return None
            told = brief(service, tx, stored)
            url = told.url
        elif kind is NoticeKind.DIGEST:
            lines = _digest(tx, notice)
        else:
            url = service.url("/me")
        account = tx.accounts.of(tenant=notice.tenant, channel=notice.channel, person=notice.person)
        return Message(
            id=notice.id,
            kind=kind,
            tenant=notice.tenant,
            channel=notice.channel,
            recipient=Recipient(
                id=notice.person,
                name=display.name(person.name),
                address=person.email,
                slack=person.slack,
                account=None if account is None else (account.team, account.account),
            ),
            revision=notice.revision,
            url=url,
            brief=told,
            lines=lines,
        )


def _digest(tx: Tx, notice: Notice) -> tuple[str, ...]:
    asked = tx.lists.asked(tenant=notice.tenant, person=notice.person, limit=200)
    voted = tx.lists.voted_on([line.id for line in asked], person=notice.person)
    waiting = sum(
        line.state is State.PENDING and line.expires > tx.now and line.id not in voted
        for line in asked
    )
    recent = [line for line in asked if line.created > tx.now - PATIENCE]
    decided = sum(line.state in {State.APPROVED, State.DENIED} for line in recent)
    expired = sum(line.state is State.EXPIRED for line in recent)
    return (
        f"{waiting} waiting for an answer",
        f"{len(recent)} asked within the last day",
        f"{decided} decided, {expired} ran out of time",
    )


def pause(attempts: int, *, after: int | None, spread: float) -> int:
    """Seconds until a notice is tried again that could not be sent `attempts` times.

    Twice as long after each attempt, up to `LONGEST_DELAY`, times `spread`, so that what failed
    together is not tried together. `after` is how long the channel asks to wait: it can make the
    pause longer, never shorter, so that a peer that says 0 is not asked without end.
    """
    # The exponent is bounded before the power is taken: a float ends at 2**1023.
    grown = FIRST_DELAY * 2 ** min(max(attempts, 1), _MOST_DOUBLINGS)
    own = min(LONGEST_DELAY, grown) * spread
    return max(1, int(max(own, min(after or 0, LONGEST_DELAY))))


def _put_off(
    service: Service,
    notice: Notice,
    lease: str,
    *,
    code: str,
    after: int | None,
    counts: bool = True,
) -> None:
    attempts = notice.attempts + counts
    with service.store.begin() as tx:
        if tx.now - notice.due > PATIENCE and counts:
            _log_given_up(
                tx, notice, code, done=tx.notices.give_up(notice.id, lease=lease, error=code)
            )
            return
        delay = (
            pause(attempts, after=after, spread=random.uniform(0.5, 1.5))  # noqa: S311
            if counts
            else 0
        )
        tx.notices.put_off(
            notice.id, lease=lease, error=code, attempts=attempts, next_try=tx.now + delay
        )


def _give_up(service: Service, notice: Notice, lease: str, *, code: str) -> None:
    with service.store.begin() as tx:
        _log_given_up(tx, notice, code, done=tx.notices.give_up(notice.id, lease=lease, error=code))


def _log_given_up(tx: Tx, notice: Notice, code: str, *, done: bool) -> None:
    if not done:
        return
    log.append(
        tx,
        NoticeGivenUp(
            time=tx.now,
            tenant=notice.tenant,
            subject=notice.id,
            person=notice.person,
            channel=notice.channel,
            kind=notice.kind,
            error=code,
        ),
    )
