"""The checker of histories: it takes what is possible and refuses what is not."""

from __future__ import annotations

import math

import pytest

from tests.faults.linear import UNKNOWN, Operation, is_linear


def vote(begin: float, end: float, by: str, told: str, decision: str = "approve") -> Operation:
    return Operation("vote", begin, end, by, decision, told)


def spend(begin: float, end: float, by: str, told: str) -> Operation:
    return Operation("spend", begin, end, by, told=told)


def end(told: str) -> Operation:
    return Operation("end", 100, 101, told=told)


APPROVED = [vote(0, 1, "ada", "pending"), vote(2, 3, "ben", "approved")]
BOTH = "[('ada', 'approve'), ('ben', 'approve')]"


@pytest.mark.parametrize(
    "history",
    [
        [*APPROVED, spend(4, 5, "a", "a"), spend(4, 5, "b", "consumed"), end(f"approved {BOTH} a")],
        # Answered before it took effect for another, because both were under way.
        [vote(0, 9, "ada", "approved"), vote(0, 9, "ben", "pending"), end(f"approved {BOTH} ")],
        # Nobody knows how a vote ended: it counted, or it did not.
        [
            vote(0, math.inf, "ada", UNKNOWN),
            vote(2, 3, "ben", "approved"),
            end(f"approved {BOTH} "),
        ],
        [vote(0, math.inf, "ada", UNKNOWN), end("pending [] ")],
        [Operation("expire", 5, math.inf, told=UNKNOWN), vote(6, 7, "ada", "not_pending")],
    ],
)
def test_what_can_have_happened_is_taken(history: list[Operation]) -> None:
    assert is_linear(history, places=2)


@pytest.mark.parametrize(
    "history",
    [
        [*APPROVED, spend(4, 5, "a", "a"), spend(4, 5, "b", "b")],  # spent twice
        [*APPROVED, spend(4, 5, "a", "a"), end(f"approved {BOTH} ")],  # a receipt that was lost
        [vote(0, 1, "ada", "pending"), end("pending [] ")],  # a vote that was lost
        [Operation("cancel", 0, 1, told="cancelled"), vote(2, 3, "ada", "pending")],
        [vote(0, 1, "ada", "pending"), spend(2, 3, "a", "a")],  # spent before it was approved
        [*APPROVED, Operation("look", 4, 5, told="pending")],  # an older state
        [end("cancelled [] ")],  # something called undone was done
        [Operation("expire", 5, math.inf, told=UNKNOWN), vote(2, 3, "ada", "not_pending")],
        [vote(0, 1, "ada", "denied", "deny"), vote(2, 3, "ben", "pending")],
    ],
)
def test_what_cannot_have_happened_is_refused(history: list[Operation]) -> None:
    assert not is_linear(history, places=2)
