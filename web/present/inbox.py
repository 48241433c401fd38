"""The inbox in words: what waits for me, what waits for others, what was decided."""

from collections.abc import Iterable
from dataclasses import dataclass

from approvals.core.requests import State
from approvals.flow.deciding.look import RequestCard

RECENT = 20

_STATES = {
    State.PENDING: ("Waiting for others", ""),
    State.APPROVED: ("Approved", "good"),
    State.DENIED: ("Denied", "bad"),
    State.EXPIRED: ("Expired", "quiet"),
    State.CANCELLED: ("Withdrawn", "quiet"),
    State.REVOKED: ("Revoked", "bad"),
}


@dataclass(frozen=True, slots=True)
class Card:
    """One request in a list."""

    id: str
    title: str
    gist: str
    agent: str
    user: str
    target: str
    fingerprint: str
    pending: bool
    headline: str
    tone: str
    created: int
    expires: int


@dataclass(frozen=True, slots=True)
class InboxPage:
    """What the inbox's template lays out; `waiting` with the nearest deadline first."""

    waiting: tuple[Card, ...]
    watching: tuple[Card, ...]
    recent: tuple[Card, ...]
    recent_cut: str


def inbox_page(cards: Iterable[RequestCard]) -> InboxPage:
    """The person's requests as their inbox says them."""
    given = tuple(cards)
    waiting = sorted((card for card in given if card.waits), key=lambda card: card.expires)
    others = [card for card in given if not card.waits]
    recent = [card for card in others if card.state is not State.PENDING]
    return InboxPage(
        waiting=tuple(map(_card, waiting)),
        watching=tuple(_card(card) for card in others if card.state is State.PENDING),
        recent=tuple(map(_card, recent[:RECENT])),
        recent_cut="" if len(recent) <= RECENT else f"Shown {RECENT} of the {len(recent):,} latest",
    )


def _gist(fields: tuple[str, ...]) -> str:
    """The first of what will run, on one line. The page of the request has it whole."""
    return " · ".join(fields)


def _card(card: RequestCard) -> Card:
    headline, tone = _STATES[card.state]
    return Card(
        id=card.id,
        title=card.title,
        gist=_gist(card.gist),
        agent=card.agent,
        user=card.user,
        target=card.target,
        fingerprint=card.fingerprint,
        pending=card.state is State.PENDING,
        headline=headline,
        tone=tone,
        created=card.created,
        expires=card.expires,
    )
