"""The quorum: the places that rules want filled, the votes that were cast, and who fills what.

What holds of `assign`: distinct persons, one place each, all places of all requirements at once. A
person in two groups fills one place. It is computed from the votes whenever it is asked for, and
kept nowhere.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from approvals.core.decision.requirement import Requirement
    from approvals.core.decision.vote import Vote


def assign(
    requirements: Sequence[Requirement], votes: Sequence[Vote]
) -> tuple[tuple[Vote, str], ...] | None:
    """Each place's vote and rule, in the order of votes, if distinct persons fill all at once.

    None if they cannot, and also where nothing is required: nobody having been asked is not an
    approval. Deterministic: the same requirements and votes give the same assignment.
    """
    wanted = sum(requirement.quorum for requirement in requirements)
    if not 0 < wanted <= len(votes):
        return None
    filled = _match(requirements, votes)
    if len(filled) < wanted:
        return None
    return tuple((votes[index], requirements[filled[index]].rule) for index in sorted(filled))


def filled(requirements: Sequence[Requirement], votes: Sequence[Vote]) -> list[int]:
    """For each requirement, in order, how many of its places these votes fill."""
    places = Counter(_match(requirements, votes).values())
    return [places[index] for index in range(len(requirements))]


def _match(requirements: Sequence[Requirement], votes: Sequence[Vote]) -> dict[int, int]:
    """A largest matching: index of vote → index of the requirement where it fills a place.

    Augmenting paths (Berge, Hopcroft and Karp), a place at a time, breadth first and iterative,
    since votes may come from a token. A second vote of one person is passed over: persons are
    matched, not votes.
    """
    first: dict[str, int] = {}
    for index, vote in enumerate(votes):
        first.setdefault(vote.approver, index)
    persons = sorted(first.values())
    admitted = [
        [index for index in persons if requirement.admits(votes[index])]
        for requirement in requirements
    ]
    filled: dict[int, int] = {}
    for start, requirement in enumerate(requirements):
        for _ in range(min(requirement.quorum, len(votes))):
            path = _augmenting(start, admitted, filled)
            if path is None:
                break
            filled.update(path)
    return filled


def _augmenting(
    start: int, admitted: Sequence[Sequence[int]], filled: Mapping[int, int]
) -> dict[int, int] | None:
    """Changes to `filled` that give `start` one more person and leave the others as many."""
    wanted_by: dict[int, int] = {}  # person → the requirement that would take them
    gives_up: dict[int, int] = {}  # requirement → the person it would let go
    queue = deque([start])
    while queue:
        wanting = queue.popleft()
        for person in admitted[wanting]:
            holder = filled.get(person)
            if person in wanted_by or holder == wanting:
                continue
            wanted_by[person] = wanting
            if holder is None:
                return _unwind(person, start, wanted_by, gives_up)
            if holder != start and holder not in gives_up:
                gives_up[holder] = person
                queue.append(holder)
    return None


def _unwind(
    free: int, start: int, wanted_by: Mapping[int, int], gives_up: Mapping[int, int]
) -> dict[int, int]:
    """The path that ends at `free`: each requirement on it takes one person, lets one go."""
    changes = {free: wanted_by[free]}
    person = free
    while (taker := wanted_by[person]) != start:
        person = gives_up[taker]
        changes[person] = wanted_by[person]
    return changes
