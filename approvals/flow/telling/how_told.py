"""How a person is told of what waits for them, as it is now: read from the bundle and the settings.

A person can look at it and change nothing: how somebody is told stands in `people.yaml`, under the
same review as what they may approve. What holds: nobody sees anybody else's; a mail address is
masked, and of a webhook only its name is told, since both may be a secret to who holds a session.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from approvals.core import display
from approvals.flow.acting.session import verify_present
from approvals.flow.telling.follow import DIGEST_HOUR
from approvals.flow.telling.outbox import Caps

if TYPE_CHECKING:
    from approvals.core.registry import Person
    from approvals.flow.acting.session import Session
    from approvals.flow.service import Service
    from approvals.policy.bundle import Bundle
    from approvals.store.accounts import Account

EMAIL, SLACK, WEBHOOK = "email", "slack", "webhook"


class Reach(Enum):
    """Whether notices on a channel can reach the person."""

    YES = "yes"
    LISTENS_ONLY = "listens only"
    """Slack: an account that is named and not linked is told things and decides none."""
    NO_ADDRESS = "no address"
    NOT_SET_UP = "not set up"


@dataclass(frozen=True, slots=True)
class Way:
    """One channel: its kind (`email`, `slack`, `webhook`), where it leads, and whether it does."""

    kind: str
    where: str
    reach: Reach


@dataclass(frozen=True, slots=True)
class Away:
    """A time in which somebody else fills the person's place: before `end`, Unix seconds."""

    start: int
    end: int
    stand_in: str


@dataclass(frozen=True, slots=True)
class HowTold:
    """All that decides how a person is told; `ways` in the order of people.yaml."""

    ways: tuple[Way, ...]
    stand_ins: tuple[str, ...]
    away: tuple[Away, ...]
    stands_in_for: tuple[str, ...]
    caps: Caps
    digest_hour: int
    bundle: str


def how_told(service: Service, session: Session) -> HowTold:
    """How this person is told.

    Raises:
        Unauthenticated: they are signed out (`signed_out`).
    """
    with service.store.read() as tx:
        who = verify_present(service, tx, session)
        bundle = who.bundle
        person = bundle.people[who.person]
        linked = tx.accounts.of(tenant=who.tenant, channel=SLACK, person=who.person)
        return HowTold(
            ways=tuple(_way(service, bundle, person, each, linked) for each in person.channels),
            stand_ins=_names(bundle, person.stand_ins),
            away=tuple(
                Away(it.start, it.end, _name(bundle, it.stand_in))
                for it in person.absences
                if it.end > tx.now
            ),
            stands_in_for=_names(
                bundle,
                tuple(sorted(it.id for it in bundle.people.values() if person.id in it.stand_ins)),
            ),
            caps=Caps.of(service.settings),
            digest_hour=DIGEST_HOUR,
            bundle=bundle.version,
        )


def masked(address: str) -> str:
    """A mail address that its owner recognises and nobody else learns."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1] if len(local) > 2 else ''}…@{domain}"  # noqa: PLR2004 - too short to part


def _way(
    service: Service, bundle: Bundle, person: Person, channel: str, linked: Account | None
) -> Way:
    kind, _, name = channel.partition(":")
    if kind == EMAIL:
        if person.email is None:
            return Way(EMAIL, "", Reach.NO_ADDRESS)
        set_up = service.settings.smtp_host is not None
        return Way(EMAIL, masked(person.email), Reach.YES if set_up else Reach.NOT_SET_UP)
    if kind == SLACK:
        account = person.slack if linked is None else linked.account
        if account is None:
            return Way(SLACK, "", Reach.NO_ADDRESS)
        if service.settings.slack_bot_token is None:
            return Way(SLACK, account, Reach.NOT_SET_UP)
        return Way(SLACK, account, Reach.LISTENS_ONLY if linked is None else Reach.YES)
    return Way(WEBHOOK, name, Reach.YES if name in bundle.hooks else Reach.NO_ADDRESS)


def _names(bundle: Bundle, people: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_name(bundle, each) for each in people)


def _name(bundle: Bundle, person: str) -> str:
    known = bundle.people.get(person)
    return display.name(person if known is None else known.name)
