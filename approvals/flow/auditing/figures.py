"""How people decide: how much, how often yes, how fast; for operators, to see who is worn down.

What holds: figures cover the votes of the last 30 days, and what was signed with each passkey that
people have. Only operators see them; for everybody else there is no such page.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from approvals.core.errors import NotFound
from approvals.flow.acting.session import verify_present
from approvals.flow.telling.brief import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from approvals.flow.acting.session import Session
    from approvals.flow.service import Service
    from approvals.store.attention import CastVote

DAYS = 30
QUICK_SECONDS = 10
"""A person who answers sooner has hardly read the request."""
MOST_VOTES = 50_000
MOST_PASSKEYS = 200


@dataclass(frozen=True, slots=True)
class Figure:
    """The votes of one approver, or on one rule. `median` is in seconds, opened to vote."""

    name: str
    decided: int
    approved: int
    median: float
    quick: int

    @property
    def approve_rate(self) -> float:
        """The part that were approvals, 0 to 1."""
        return self.approved / self.decided

    @property
    def quick_rate(self) -> float:
        """The part that came within `QUICK_SECONDS`, 0 to 1."""
        return self.quick / self.decided


@dataclass(frozen=True, slots=True)
class Signed:
    """What was signed with one passkey since it was enrolled; `tail` tells a person's apart.

    `unseen` are the signatures that its authenticator counted and that never came here.
    """

    name: str
    tail: str
    step_up: str
    uses: int
    decisions: int
    unseen: int


@dataclass(frozen=True, slots=True)
class Figures:
    """All figures, most decided first. `cut` is true where older votes are left out.

    `passkeys` are at most `MOST_PASSKEYS`, those with most unseen signatures first.
    """

    now: int
    since: int
    approvers: tuple[Figure, ...]
    rules: tuple[Figure, ...]
    passkeys: tuple[Signed, ...]
    cut: bool


def figures(service: Service, session: Session) -> Figures:
    """How people decided lately.

    Raises:
        Unauthenticated: they are signed out (`signed_out`).
        NotFound: the person is not an operator; it looks as if there were no such page.
    """
    with service.store.read() as tx:
        who = verify_present(service, tx, session)
        bundle = who.bundle
        # A person's own id must not make them an operator: only the group counts.
        if who.person not in bundle.groups.get(service.settings.operators_group, ()):
            raise NotFound("no such page")
        since = tx.now - DAYS * 86_400
        votes = tx.attention.votes_since(tenant=who.tenant, since=since, limit=MOST_VOTES + 1)
        cut = len(votes) > MOST_VOTES
        votes = votes[:MOST_VOTES]
        by_person: dict[str, list[CastVote]] = {}
        by_rule: dict[str, list[CastVote]] = {}
        for vote in votes:
            by_person.setdefault(vote.person, []).append(vote)
            for rule in vote.rules:
                by_rule.setdefault(rule, []).append(vote)
        return Figures(
            now=tx.now,
            since=since,
            approvers=_sorted(
                _figure(name_of(bundle, who), them) for who, them in by_person.items()
            ),
            rules=_sorted(_figure(rule, them) for rule, them in by_rule.items()),
            passkeys=tuple(
                Signed(
                    name=name_of(bundle, passkey.person),
                    tail=passkey.credential_id[-6:],
                    step_up=passkey.step_up.value,
                    uses=passkey.uses,
                    decisions=passkey.decisions,
                    unseen=passkey.unseen,
                )
                for passkey in tx.passkeys.most_used(tenant=who.tenant, limit=MOST_PASSKEYS)
            ),
            cut=cut,
        )


def _figure(name: str, votes: list[CastVote]) -> Figure:
    return Figure(
        name=name,
        decided=len(votes),
        approved=sum(vote.approves for vote in votes),
        median=median(vote.seconds for vote in votes),
        quick=sum(vote.seconds <= QUICK_SECONDS for vote in votes),
    )


def _sorted(found: Iterable[Figure]) -> tuple[Figure, ...]:
    return tuple(sorted(found, key=lambda figure: (-figure.decided, figure.name)))
