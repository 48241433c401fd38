"""What is left of the people whom a bundle asks once those who activated it are taken away.

Whoever activates a bundle is not asked under it. If one of the few approvers of a rule activates
it, too few are left, and every call that the rule asks about is denied (`nobody_eligible`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from approvals.policy.bundle import Bundle


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A rule, or a tool that its owner decides on, that is left with fewer people than it needs."""

    of: str
    left: int
    quorum: int
    excluded: tuple[str, ...]

    @property
    def message(self) -> str:
        """The sentence for whoever activated the bundle."""
        return (
            f"{not_asked(self.excluded)}: "
            f"{self.of} is left with {self.left} of {self.quorum} approvers"
        )


def not_asked(people: Collection[str]) -> str:
    """Say who is not asked, and that it is because they activated the bundle."""
    *others, last = sorted(people)
    who = f"{', '.join(others)} and {last}" if others else last
    return f"{who} activated this bundle and {'are' if others else 'is'} not asked under it"


def shortfalls(bundle: Bundle, excluded: Collection[str]) -> tuple[Shortfall, ...]:
    """The rules and opaque tools that can no longer be met, since these people are not asked."""
    found = []
    for of, members, quorum in _asked(bundle):
        away, left = members.intersection(excluded), len(members.difference(excluded))
        if away and left < quorum:
            found.append(Shortfall(of, left, quorum, tuple(sorted(away))))
    return tuple(found)


def _asked(bundle: Bundle) -> Iterator[tuple[str, frozenset[str], int]]:
    """What asks people, whom it asks, and how many of them it needs."""
    for name, rule in sorted(bundle.rules.items()):
        if rule.asks is not None:
            members = frozenset[str]().union(*map(bundle.members, rule.asks.approvers))
            yield name, members, rule.asks.quorum
    for name, tool in sorted(bundle.tools.items()):
        if tool.opaque:
            yield f"the opaque tool {name}", bundle.members(tool.owner), 1
