"""Whether what clients saw of one request could have happened one thing after another.

Each operation took effect at one moment between its begin and its end, or, where nobody knows how
it ended, at some moment after its begin or never. A history is right if there is an order of those
moments in which every answer is the one that a request of its own would have given (Herlihy and
Wing's linearizability, searched for as Wing and Gong do).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

UNKNOWN: Final = "unknown"
_OVER: Final = frozenset({"not_pending", "expired"})


@dataclass(frozen=True, slots=True)
class Operation:
    """What one client asked of a request, and what it was told; times are of a steady clock.

    `does` is vote, cancel, look, spend, expire or end. `by` is the person or the use id, `decision`
    theirs. `told` is a state, a receipt's use id or the code of a refusal; UNKNOWN: no answer.
    """

    does: str
    begin: float
    end: float
    by: str = ""
    decision: str = ""
    told: str = ""


@dataclass(frozen=True, slots=True)
class Model:
    """One request, as a single thread would serve it."""

    places: int
    state: str = "pending"
    votes: frozenset[tuple[str, str]] = frozenset()
    spent: str = ""

    def does(self, it: Operation) -> tuple[Model, frozenset[str]]:
        """The request afterwards, and the answers that are right."""
        match it.does:
            case "vote":
                return self._vote(it)
            case "spend":
                return self._spend(it)
            case "cancel" | "expire" if self.state == "pending":
                told = "cancelled" if it.does == "cancel" else "expired"
                return replace(self, state=told), frozenset({told})
            case "cancel" | "expire":
                return self, _OVER
            case _:
                return self, frozenset({self.state if it.does == "look" else self.whole()})

    def whole(self) -> str:
        """All that there is to see of it."""
        return f"{self.state} {sorted(self.votes)} {self.spent}"

    def _vote(self, it: Operation) -> tuple[Model, frozenset[str]]:
        if self.state != "pending":
            return self, _OVER
        if it.by in {person for person, _ in self.votes}:
            return self, frozenset({"already_voted"})
        votes = self.votes | {(it.by, it.decision)}
        state = "pending"
        if it.decision == "deny":
            state = "denied"
        elif len(votes) == self.places:
            state = "approved"
        return replace(self, votes=votes, state=state), frozenset({state})

    def _spend(self, it: Operation) -> tuple[Model, frozenset[str]]:
        if self.state != "approved":
            return self, frozenset({"not_found"})
        if self.spent not in {"", it.by}:
            return self, frozenset({"consumed"})
        return replace(self, spent=it.by), frozenset({it.by})


def is_linear(history: list[Operation], *, places: int) -> bool:
    """Whether some order of the moments explains every answer."""
    answered = sum(1 << index for index, it in enumerate(history) if it.told != UNKNOWN)
    seen: set[tuple[int, Model]] = set()
    open_ = [(0, Model(places))]
    while open_:
        done, model = open_.pop()
        if done & answered == answered:
            return True
        if (done, model) in seen:
            continue
        seen.add((done, model))
        # Nothing takes effect before its begin, and so not after what had ended by then.
        latest = min(
            (it.end for index, it in enumerate(history) if not done & 1 << index), default=math.inf
        )
        for index, it in enumerate(history):
            if done & 1 << index or it.begin > latest:
                continue
            after, right = model.does(it)
            if it.told == UNKNOWN or it.told in right:
                open_.append((done | 1 << index, after))
    return False
