"""Requests: who may end one, how, and when people's votes are enough."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from approvals.core import sizes
from approvals.core.decision.ceremony import Decision, StepUp
from approvals.core.decision.quorum import assign
from approvals.core.decision.vote import Vote
from approvals.core.errors import TransitionError
from approvals.core.requests import Request, State, cancel, cast, expire, progress, revoke
from tests.core.voting import (
    CREATED,
    EXPIRES,
    PEOPLE,
    after,
    fillable,
    request_for,
    requirement,
    yes,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def no(person: str) -> Vote:
    return Vote(approver=person, decision=Decision.DENY, step_up=StepUp.SESSION, time=CREATED + 1)


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(TransitionError) as caught:
        act()
    return caught.value.code


@pytest.mark.parametrize(
    ("voters", "state"),
    [
        (["ben"], State.PENDING),  # in both groups, fills one place
        (["ada"], State.PENDING),
        (["ada", "ben"], State.APPROVED),
        (["ben", "ada"], State.APPROVED),  # ben was first put where ada has to go
        (["ben", "cleo"], State.APPROVED),
        (["ada", "cleo"], State.APPROVED),
    ],
)
def test_one_person_in_two_groups_fills_one_place(voters: list[str], state: State) -> None:
    both = request_for(
        requirement("ada", "ben", rule="peer"), requirement("ben", "cleo", rule="manager")
    )
    assert after(both, *map(yes, voters)).state is state


def test_two_of_the_same_group_do_not_stand_in_for_the_other() -> None:
    both = request_for(requirement("ada", "ben", rule="peer"), requirement("cleo", rule="manager"))
    waiting = after(both, yes("ada"), yes("ben"))
    assert waiting.state is State.PENDING
    assert [(filled, needed) for _, filled, needed in progress(waiting)] == [(1, 1), (0, 1)]
    assert after(waiting, yes("cleo")).state is State.APPROVED


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("decision", list(Decision))
def test_the_user_it_is_for_has_no_vote(listed: bool, decision: Decision) -> None:  # noqa: FBT001 - a parameter of the test
    eligible = ("ada", "uma") if listed else ("ada",)
    vote = replace(yes("uma"), decision=decision)
    assert refusal(lambda: after(request_for(requirement(*eligible)), vote)) == "own_request"


def test_one_deny_ends_it_and_needs_no_step_up() -> None:
    asked = request_for(requirement("ada", "ben", quorum=2, step_up=StepUp.HARDWARE))
    denied = after(asked, yes("ada"), no("ben"))
    assert denied.state is State.DENIED
    assert denied.votes[-1].decision is Decision.DENY


def test_a_person_who_is_not_asked_cannot_deny() -> None:
    assert refusal(lambda: after(request_for(requirement("ada")), no("ben"))) == "not_asked"


def test_a_second_vote_of_one_person_is_refused() -> None:
    asked = after(request_for(requirement("ada", "ben", quorum=2)), yes("ada"))
    assert refusal(lambda: after(asked, yes("ada"))) == "already_voted"
    assert refusal(lambda: after(asked, no("ada"))) == "already_voted"


def test_votes_that_fill_no_place_are_bounded_and_those_that_fill_one_are_not() -> None:
    crowd = tuple(f"p{number}" for number in range(sizes.PLACES + 1))
    asked = request_for(
        requirement(*crowd, rule="any"),
        requirement(*(f"m{number}" for number in range(99)), rule="managers", quorum=99),
    )
    full = after(asked, *(yes(person) for person in crowd[:-1]))
    assert len(full.votes) == sizes.PLACES
    assert refusal(lambda: after(full, yes(crowd[-1]))) == "votes_full"
    denied = after(full, no(crowd[-1]))
    assert denied.state is State.DENIED
    approved = after(full, *(yes(f"m{number}") for number in range(99)))
    assert approved.state is State.APPROVED
    assert max(len(approved.votes), len(denied.votes)) <= sizes.VOTES


@pytest.mark.parametrize("asked", list(StepUp))
@pytest.mark.parametrize("made", list(StepUp))
def test_a_step_up_covers_itself_and_what_is_weaker(asked: StepUp, made: StepUp) -> None:
    order = [StepUp.SESSION, StepUp.PASSKEY, StepUp.HARDWARE]
    request = request_for(requirement("ada", step_up=asked))
    if order.index(made) >= order.index(asked):
        assert after(request, yes("ada", made)).state is State.APPROVED
    else:
        assert refusal(lambda: after(request, yes("ada", made))) == "step_up_too_low"


def test_a_vote_counts_only_where_its_step_up_is_enough() -> None:
    asked = request_for(
        requirement("ada", rule="seen"),
        requirement("ada", "ben", step_up=StepUp.PASSKEY, rule="signed"),
    )
    weak = after(asked, yes("ada", StepUp.SESSION))
    assert [filled for _, filled, _ in progress(weak)] == [1, 0]
    assert after(weak, yes("ben")).state is State.APPROVED


@pytest.mark.parametrize("now", [EXPIRES, EXPIRES + 1, EXPIRES + 10**6])
def test_time_ends_it_without_any_job_having_run(now: int) -> None:
    asked = request_for(requirement("ada"))
    assert refusal(lambda: cast(asked, yes("ada"), now=now)) == "not_pending"
    assert refusal(lambda: cast(asked, no("ada"), now=now)) == "not_pending"
    for act in (
        lambda: cancel(asked, now=now),
        lambda: revoke(asked, now=now),
    ):
        assert refusal(act) == "expired"
    assert expire(asked, now=now).state is State.EXPIRED


def test_the_last_second_still_counts() -> None:
    asked = request_for(requirement("ada"))
    assert cast(asked, yes("ada"), now=EXPIRES - 1).state is State.APPROVED
    assert refusal(lambda: expire(asked, now=EXPIRES - 1)) == "not_yet_expired"


@pytest.mark.parametrize(
    "state", [State.DENIED, State.EXPIRED, State.CANCELLED, State.REVOKED, State.APPROVED]
)
def test_an_end_absorbs(state: State) -> None:
    ended = replace(request_for(requirement("ada")), state=state)
    acts: list[Callable[[], Request]] = [
        lambda: cast(ended, yes("ada"), now=CREATED),
        lambda: cast(ended, no("ada"), now=CREATED),
        lambda: cancel(ended, now=CREATED),
        lambda: expire(ended, now=EXPIRES),
    ]
    if state is not State.APPROVED:
        acts.append(lambda: revoke(ended, now=CREATED))
    assert {refusal(act) for act in acts} == {"not_pending"}


def test_an_approved_request_can_be_revoked_at_any_time() -> None:
    approved = after(request_for(requirement("ada")), yes("ada"))
    assert revoke(approved, now=EXPIRES + 10).state is State.REVOKED


def test_nothing_required_is_nothing_approved() -> None:
    assert assign((), ()) is None
    assert assign((), [yes("ada")]) is None
    assert refusal(lambda: after(request_for(), yes("ada"))) == "not_asked"


class Life(RuleBasedStateMachine):
    """A request driven through votes, denials, time and withdrawal, beside an independent model."""

    def __init__(self) -> None:
        super().__init__()
        self.requirements = [
            requirement("ada", "ben", quorum=1, rule="peer"),
            requirement("ben", "cleo", "uma", quorum=2, step_up=StepUp.PASSKEY, rule="managers"),
        ]
        self.request = request_for(*self.requirements)
        self.now = CREATED
        self.model_state = "pending"
        self.model_votes: list[Vote] = []

    def attempt(self, act: Callable[[], Request], *, becomes: str = "", refused: str = "") -> None:
        if refused:
            assert refusal(act) == refused
        else:
            self.request = act()
            self.model_state = becomes

    def open_or_not(self) -> str:
        if self.model_state != "pending":
            return "not_pending"
        return "expired" if self.now >= EXPIRES else ""

    @rule(
        person=st.sampled_from((*PEOPLE, "uma")),
        step_up=st.sampled_from(StepUp),
        decision=st.sampled_from([Decision.APPROVE] * 6 + [Decision.DENY]),
    )
    def vote(self, person: str, step_up: StepUp, decision: Decision) -> None:
        vote = Vote(approver=person, decision=decision, step_up=step_up, time=self.now)
        asked = [it for it in self.requirements if person in it.eligible]
        enough = any(it.step_up is StepUp.SESSION or step_up is not StepUp.SESSION for it in asked)
        refused = "not_pending" if self.open_or_not() else ""
        if not refused and person == "uma":
            refused = "own_request"
        if not refused and not asked:
            refused = "not_asked"
        if not refused and person in [earlier.approver for earlier in self.model_votes]:
            refused = "already_voted"
        if not refused and decision is Decision.APPROVE and not enough:
            refused = "step_up_too_low"
        becomes = "denied"
        if not refused:
            self.model_votes.append(vote)
            if decision is Decision.APPROVE:
                complete = fillable(self.requirements, self.model_votes)
                becomes = "approved" if complete else "pending"
        self.attempt(
            lambda: cast(self.request, vote, now=self.now), becomes=becomes, refused=refused
        )

    @rule(seconds=st.sampled_from([1, 1, 1, 400, 1000]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def sweep(self) -> None:
        refused = {"": "not_yet_expired", "expired": ""}.get(self.open_or_not(), "not_pending")
        act = lambda: expire(self.request, now=self.now)  # noqa: E731 - the act is the argument
        self.attempt(act, becomes="expired", refused=refused)

    @precondition(lambda self: len(self.model_votes) > 1)
    @rule()
    def withdraw(self) -> None:
        act = lambda: cancel(self.request, now=self.now)  # noqa: E731 - the act is the argument
        self.attempt(act, becomes="cancelled", refused=self.open_or_not())

    @precondition(lambda self: self.model_state in {"approved", "denied"})
    @rule()
    def take_back(self) -> None:
        refused = "" if self.model_state == "approved" else "not_pending"
        act = lambda: revoke(self.request, now=self.now)  # noqa: E731 - the act is the argument
        self.attempt(act, becomes="revoked", refused=refused)

    @invariant()
    def agrees(self) -> None:
        assert self.request.state.value == self.model_state
        assert list(self.request.votes) == self.model_votes

    @invariant()
    def approved_only_by_enough_people(self) -> None:
        if self.request.state is State.APPROVED:
            assert fillable(self.requirements, self.request.votes)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=20, deadline=None)
