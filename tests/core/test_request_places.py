"""Votes fill the places of a quorum exactly when there is a way to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.core.decision.ceremony import Decision, StepUp
from approvals.core.decision.quorum import assign
from approvals.core.decision.vote import Vote
from approvals.core.requests import progress
from approvals.flow.transition import seats
from tests.core.voting import CREATED, PEOPLE, after, fillable, request_for, requirement, yes

if TYPE_CHECKING:
    from approvals.core.decision.requirement import Requirement


class Compared(str):
    """A name that counts how often any is compared with another."""

    __slots__ = ()
    times = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return str.__eq__(self, other)


def test_who_may_fill_a_place_is_looked_up_and_not_searched() -> None:
    names = [Compared(f"p{number:04}") for number in range(1_000)]
    asked = replace(requirement("ada"), eligible=tuple(names))
    # Equal, and not the same: only what is compared is found.
    votes = [yes(Compared(str(name))) for name in names]
    Compared.times = 0
    assert all(asked.admits(vote) for vote in votes)
    assert Compared.times <= 2 * len(names)


def test_the_rules_for_everybody_who_is_asked_are_looked_up_and_not_searched() -> None:
    names = tuple(Compared(f"p{number:04}") for number in range(1_000))
    request = request_for(replace(requirement("ada"), eligible=names))
    Compared.times = 0
    assert [seat.rules for seat in seats(request)] == [("rule",)] * len(names)
    assert Compared.times <= 2 * len(names)


def test_an_enormous_quorum_costs_nothing() -> None:
    huge = requirement("ada", "ben", quorum=10**12)
    assert assign([huge], [yes("ada"), yes("ben")]) is None
    assert progress(after(request_for(huge), yes("ada"))) == [(huge, 1, 10**12)]


def test_a_long_chain_of_swaps_is_found() -> None:
    # Every new vote moves all of the earlier ones by one place.
    names = [f"p{number:03}" for number in range(80)]
    chain = [requirement(names[i], names[i + 1], rule=f"r{i}") for i in range(len(names) - 1)] + [
        requirement(names[0], rule="last")
    ]
    votes = [yes(name) for name in names]
    assigned = assign(chain, votes)
    assert assigned is not None
    assert {vote.approver: rule for vote, rule in assigned}[names[0]] == "last"


def test_a_person_wanted_a_second_time_on_the_way_goes_where_they_were_wanted_first() -> None:
    asked = [
        requirement("ada", "ben", rule="first"),
        requirement("ada", "ben", "cleo", rule="second"),
        requirement("ada", rule="third"),
    ]
    assigned = assign(asked, [yes("ada"), yes("ben"), yes("cleo")])
    assert assigned is not None
    assert [rule for _, rule in assigned] == ["third", "first", "second"]


def test_a_requirement_on_the_way_lets_go_whom_it_was_first_asked_for() -> None:
    asked = [
        requirement("ada", "ben", "cleo", quorum=2, rule="first"),
        requirement("ben", "cleo", "dora", rule="second"),
        requirement("ada", rule="third"),
    ]
    assigned = assign(asked, [yes("ada"), yes("ben"), yes("cleo"), yes("dora")])
    assert assigned is not None
    assert [rule for _, rule in assigned] == ["third", "first", "first", "second"]


requirements_of = st.lists(
    st.builds(
        lambda eligible, quorum, step_up: requirement(*eligible, quorum=quorum, step_up=step_up),
        st.sets(st.sampled_from(PEOPLE), min_size=1),
        st.integers(1, 2),
        st.sampled_from(StepUp),
    ),
    min_size=0,
    max_size=3,
).map(lambda found: [replace(it, rule=f"rule-{index}") for index, it in enumerate(found)])
votes_of = st.lists(
    st.builds(
        Vote,
        approver=st.sampled_from(PEOPLE),
        decision=st.sampled_from(Decision),
        step_up=st.sampled_from(StepUp),
        time=st.just(CREATED),
    ),
    max_size=6,
)


@given(requirements_of, votes_of)
@settings(max_examples=400, deadline=None)
def test_an_assignment_is_found_exactly_when_there_is_one(
    requirements: list[Requirement], votes: list[Vote]
) -> None:
    """Law: `assign` agrees with trying everything. Would catch a greedy or wrong augmentation."""
    assigned = assign(requirements, votes)
    assert (assigned is not None) is fillable(requirements, votes)
    if assigned is None:
        return
    by_rule = {it.rule: it for it in requirements}
    assert len({vote.approver for vote, _ in assigned}) == len(assigned)
    assert all(by_rule[rule].admits(vote) for vote, rule in assigned)
    rules = [rule for _, rule in assigned]
    assert {it.rule: it.quorum for it in requirements} == {
        rule: rules.count(rule) for rule in rules
    }
    assert assign(list(requirements), list(votes)) == assigned
