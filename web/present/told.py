"""How a person is told, in words."""

from dataclasses import dataclass
from datetime import UTC, datetime

from approvals.flow.telling.how_told import EMAIL, SLACK, HowTold, Reach, Way

_KINDS = {EMAIL: "Mail", SLACK: "Slack"}
_WHERE = {EMAIL: "to", SLACK: "to your account"}
_LAST_SECOND = 1


@dataclass(frozen=True, slots=True)
class WayLine:
    """One channel: `where` may be somebody's text, the rest is ours."""

    kind: str
    to: str
    where: str
    note: str


@dataclass(frozen=True, slots=True)
class ToldPage:
    """What the section about being told lays out."""

    ways: tuple[WayLine, ...]
    away: tuple[tuple[str, str], ...]
    stand_ins: tuple[str, ...]
    stands_in_for: tuple[str, ...]
    caps: str
    digest: str
    bundle: str


def told_page(told: HowTold) -> ToldPage:
    """How somebody is told, as their page says it."""
    caps = told.caps
    return ToldPage(
        ways=tuple(map(_line, told.ways)),
        away=tuple(
            (f"{_day(it.start)} to {_day(it.end - _LAST_SECOND)}", it.stand_in) for it in told.away
        ),
        stand_ins=told.stand_ins,
        stands_in_for=told.stands_in_for,
        caps=(
            f"{_notices(caps.hour)} of requests in an hour, {caps.enforcer_hour:,} of them because "
            f"of one enforcer and {caps.agent_hour:,} because of one agent. What is beyond waits "
            "in your inbox."
        ),
        digest=(
            f"From {told.digest_hour:02d}:00 UTC, on days on which something waits for you or "
            "others have decided."
        ),
        bundle=told.bundle,
    )


def _line(way: Way) -> WayLine:
    kind = _KINDS.get(way.kind, "Webhook")
    to = _WHERE.get(way.kind, "named") if way.where else ""
    return WayLine(kind, to, way.where, _note(way))


def _note(way: Way) -> str:
    match way.reach, way.kind:
        case Reach.LISTENS_ONLY, _:
            return "You are told there. To decide there, link the account above."
        case Reach.NO_ADDRESS, _ if way.kind == EMAIL:
            return "Nothing is sent: people.yaml has no address for you."
        case Reach.NO_ADDRESS, _ if way.kind == SLACK:
            return "Nothing is sent: people.yaml has no account for you and none is linked."
        case Reach.NO_ADDRESS, _:
            return "Nothing is sent: there is no such webhook any more."
        case Reach.NOT_SET_UP, _:
            return "Nothing is sent: this service is not connected to it."
        case _:
            return ""


def _day(seconds: int) -> str:
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{at.day} {at:%b %Y}"


def _notices(number: int) -> str:
    return "1 notice" if number == 1 else f"{number:,} notices"
