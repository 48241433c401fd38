"""Requests: who may end one, how, and when people's votes are enough."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from approvals.core.decision.ceremony import Decision, StepUp
from approvals.core.decision.quorum import assign
from approvals.core.decision.requirement import Requirement
from approvals.core.decision.vote import Vote
from approvals.core.errors import Invalid, TransitionError
from approvals.core.requests import (
    Request,
    RequestDocument,
    State,
    cancel,
    cast,
    expire,
    progress,
    revoke,
)
from tests.company import NOW, Company, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CREATED, EXPIRES = 1000, 2000
PEOPLE = ("ada", "ben", "cleo", "dora")


def requirement(
    *eligible: str, quorum: int = 1, step_up: StepUp = StepUp.SESSION, rule: str = "rule"
) -> Requirement:
    return Requirement(
        rule=rule,
        reason="because",
        approvers=("group",),
        eligible=tuple(sorted(eligible)),
        quorum=quorum,
        step_up=step_up,
    )


def request_for(*requirements: Requirement, user: str = "uma") -> Request:
    document = RequestDocument(
        call_hash=digest_of("call"),
        tool_definition=digest_of("definition"),
        tenant="default",
        user=user,
        agent="agent",
        task=None,
        precondition=None,
        bundle=digest_of("bundle"),
        requirements=requirements,
        display_digest=digest_of("display"),
        audience="enforcer",
        nonce="nonce",
        created=CREATED,
        expires=EXPIRES,
    )
    return Request(id="req_1", document=document)


def yes(person: str, step_up: StepUp = StepUp.HARDWARE) -> Vote:
    return Vote(approver=person, decision=Decision.APPROVE, step_up=step_up, time=CREATED + 1)


def no(person: str) -> Vote:
    return Vote(approver=person, decision=Decision.DENY, step_up=StepUp.SESSION, time=CREATED + 1)


def after(request: Request, *votes: Vote) -> Request:
    for vote in votes:
        request = cast(request, vote, now=CREATED + 1)
    return request


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
    assert refusal(lambda: after(request_for(requirement(*eligible)), vote)) == "not_eligible"


def test_one_deny_ends_it_and_needs_no_step_up() -> None:
    asked = request_for(requirement("ada", "ben", quorum=2, step_up=StepUp.HARDWARE))
    denied = after(asked, yes("ada"), no("ben"))
    assert denied.state is State.DENIED
    assert denied.votes[-1].decision is Decision.DENY


def test_a_person_who_is_not_asked_cannot_deny() -> None:
    assert refusal(lambda: after(request_for(requirement("ada")), no("ben"))) == "not_eligible"


def test_a_second_vote_of_one_person_is_refused() -> None:
    asked = after(request_for(requirement("ada", "ben", quorum=2)), yes("ada"))
    assert refusal(lambda: after(asked, yes("ada"))) == "already_voted"
    assert refusal(lambda: after(asked, no("ada"))) == "already_voted"


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
    for act in (
        lambda: cast(asked, yes("ada"), now=now),
        lambda: cast(asked, no("ada"), now=now),
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
    assert refusal(lambda: after(request_for(), yes("ada"))) == "not_eligible"


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


# An independent model: try every way of giving people places.
def fillable(requirements: Sequence[Requirement], votes: Sequence[Vote]) -> bool:
    places = [requirement for requirement in requirements for _ in range(requirement.quorum)]
    voters = {vote.approver: vote for vote in reversed(votes)}
    strength = {StepUp.SESSION: 0, StepUp.PASSKEY: 1, StepUp.HARDWARE: 2}
    return bool(places) and any(
        all(
            vote.decision is Decision.APPROVE
            and vote.approver in place.eligible
            and strength[vote.step_up] >= strength[place.step_up]
            for place, vote in zip(places, chosen, strict=True)
        )
        for chosen in permutations(voters.values(), len(places))
    )


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
        refused = self.open_or_not()
        if not refused and (not asked or person == "uma"):
            refused = "not_eligible"
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


def test_a_document_reads_back_as_itself() -> None:
    document = Company().request(
        replace(requirement("ada", quorum=1), escalate=((0, "managers"), (600, "owners"))),
        task="task-1",
        precondition="etag-7",
    )
    assert RequestDocument.from_document(document.document()) == document


@pytest.mark.parametrize(
    "change",
    [
        {"call_hash": digest_of("other")},
        {"tool_definition": digest_of("other")},
        {"tenant": "other"},
        {"user": "other"},
        {"agent": "other"},
        {"task": "other"},
        {"precondition": "other"},
        {"bundle": "other"},
        {"requirements": (requirement("ada"),)},
        {"display_digest": digest_of("other")},
        {"audience": "other"},
        {"nonce": "other"},
        {"created": 1},
        {"expires": 2_000_000_000},
    ],
)
def test_the_digest_covers_everything(change: dict[str, Any]) -> None:
    document = Company().request(nonce="nonce")
    assert replace(document, **change).digest() != document.digest()


def mutated(path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    document: Any = Company().request().document()
    place = document
    for step in path[:-1]:
        place = place[step]
    if value is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (("typ",), "assent/request/2", "request.typ"),
        (("task",), KeyError, "request.task"),
        (("surprise",), 1, "request.surprise"),
        (("tenant",), None, "request.tenant"),
        (("call_hash",), "short", "request.call_hash"),
        (("call_hash",), "A" * 42 + "B", "request.call_hash"),  # not canonical base64url
        (("display_digest",), "short", "request.display_digest"),
        (("created",), True, "request.created"),
        (("created",), -1, "request.created"),
        (("expires",), 1.5, "request.expires"),
        (("expires",), 10**12, "request.expires"),
        (("expires",), 1, "request.expires"),
        (("expires",), NOW - 60, "request.expires"),  # when it was created
        (("requirements",), {}, "request.requirements"),
        (("requirements", 0), "any", "request.requirements[0]"),
        (("requirements", 0, "quorum"), 0, "request.requirements[0].quorum"),
        (("requirements", 0, "quorum"), -1, "request.requirements[0].quorum"),
        (("requirements", 0, "quorum"), True, "request.requirements[0].quorum"),
        (("requirements", 0, "step_up"), "none", "request.requirements[0].step_up"),
        (("requirements", 0, "eligible"), ["b", "a"], "request.requirements[0].eligible"),
        (("requirements", 0, "eligible"), ["a", "a"], "request.requirements[0].eligible"),
        (("requirements", 0, "eligible"), [1], "request.requirements[0].eligible[0]"),
        (("requirements", 0, "approvers"), [None], "request.requirements[0].approvers[0]"),
        (("requirements", 0, "escalate"), [[1]], "request.requirements[0].escalate[0]"),
        (("requirements", 0, "escalate"), [[True, "a"]], "request.requirements[0].escalate[0]"),
        (("requirements", 0, "escalate"), [[-1, "a"]], "request.requirements[0].escalate[0]"),
        (("requirements", 0, "reason"), KeyError, "request.requirements[0].reason"),
    ],
)
def test_a_document_that_is_not_exact_is_refused(
    path: tuple[str | int, ...], value: object, place: str
) -> None:
    with pytest.raises(Invalid) as caught:
        RequestDocument.from_document(mutated(path, value))
    assert (caught.value.code, caught.value.place) == ("malformed", place)
