"""No agent wears people down: caps, cooling down, time to look, one request for one question."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from approvals.core import canonical
from approvals.core.calls import ToolCall
from approvals.core.decision.ceremony import Decision
from approvals.core.errors import AssentError
from approvals.core.history.events import CallRefused
from approvals.core.requests import State
from approvals.flow import status
from approvals.flow.acting import sight
from approvals.flow.acting.caller import Submission
from approvals.flow.asking.answers import Answer, Denied, Opened
from approvals.flow.asking.cancel import cancel
from approvals.flow.asking.submit import submit
from approvals.flow.deciding import look, vote
from approvals.flow.granting import consume
from approvals.flow.operating.activate import activate
from tests.company import make_signing_key
from tests.logged import told
from tests.service import AGENTS, ENFORCER, PEOPLE, TARGET, bundle_files, caller_of, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from approvals.core.canonical import Json
    from approvals.store.notices import Notice
    from tests.draws import Draws
    from tests.service import Running

LIMITS: dict[str, Any] = {
    "cooldown": 600,
    "notice_cap_agent_hour": 3,
    "notice_cap_hour": 5,
    "open_per_agent": 6,
    "open_per_tool": 4,
    "view_seconds": 2,
}
WITH_MAIL = PEOPLE.replace("Ada Okafor}", "Ada Okafor, email: ada@example.com}").replace(
    "Ben Silva}", "Ben Silva, email: ben@example.com}"
)
TWO_AGENTS = AGENTS + AGENTS.replace("agents:\n", "").replace("billing-agent", "other-agent")


@pytest.fixture
def running(tmp_path: Path, database_url: str) -> Iterator[Running]:
    """The service with limits, and people who are told by mail."""
    service = limited(tmp_path, database_url)
    yield service
    service.service.store.close()


def limited(home: Path, database: str, **settings: Any) -> Running:
    running = start(home, database, **{**LIMITS, **settings})
    key = running.enforcer_key.public_jwk()
    files = bundle_files(key, people_yaml=WITH_MAIL, agents_yaml=TWO_AGENTS)
    activate(running.service, tenant="default", files=files, by="ops")
    return running


def ask(running: Running, number: int, *, agent: str = "billing-agent", **more: Any) -> Answer:
    """A transfer unlike any other: the agent changes a field a little each time."""
    args: dict[str, Json] = {
        "amount": "750.00",
        "to": "vendor@example.com",
        "memo": f"no. {number}",
    }
    return submit(
        running.service,
        running.caller,
        Submission(
            call=ToolCall(TARGET, "transfer", args),
            agent=agent,
            user="uma",
            body_digest=canonical.digest(args),
            **more,
        ),
    )


def refused(answer: Answer) -> Denied:
    assert isinstance(answer, Denied), answer
    assert answer.retry_after is not None
    return answer


def notices(running: Running, answer: Answer) -> list[Notice]:
    with running.service.store.read() as tx:
        return tx.notices.of(tenant="default", subject=answer.id)


def refusals_logged(running: Running) -> list[object]:
    with running.service.store.read() as tx:
        return [opened.code for opened in told(tx, CallRefused)]


def test_an_agent_has_so_many_requests_of_one_tool_open_and_no_more(running: Running) -> None:
    opened = [ask(running, number) for number in range(4)]
    assert all(isinstance(answer, Opened) for answer in opened)
    fifth = refused(ask(running, 5))
    assert fifth.code == "too_many_open"
    assert 0 < (fifth.retry_after or 0) <= 900
    assert refusals_logged(running) == ["too_many_open"]
    with pytest.raises(AssentError):
        status.status(running.service, running.caller, "req_" + fifth.id[4:])
    cancel(running.service, running.caller, opened[0].id)
    assert isinstance(ask(running, 5), Opened)


def test_an_agent_has_so_many_requests_open_of_whatever_tool(tmp_path: Path) -> None:
    running = limited(tmp_path, f"sqlite:///{tmp_path}/a.db", open_per_tool=100)
    for number in range(6):
        assert isinstance(ask(running, number), Opened)
    assert refused(ask(running, 6)).code == "too_many_open"
    assert isinstance(ask(running, 6, agent="other-agent"), Opened)
    running.service.store.close()


def test_room_is_there_again_when_requests_have_run_out(
    running: Running, later: Callable[[int], None]
) -> None:
    for number in range(4):
        ask(running, number)
    wait = refused(ask(running, 4)).retry_after or 0
    later(wait)  # no job has run: expiry is a condition, not an effect
    assert isinstance(ask(running, 4), Opened)


def test_submissions_at_the_same_moment_do_not_slip_past_the_cap(running: Running) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: ask(running, number), range(16)))
    assert sum(isinstance(answer, Opened) for answer in answers) == 4
    assert {refused(each).code for each in answers if isinstance(each, Denied)} == {"too_many_open"}


def test_the_same_question_is_counted_on_its_request_also_at_the_cap(running: Running) -> None:
    first, *_others = [ask(running, number) for number in range(4)]
    for _ in range(2):
        assert ask(running, 0).id == first.id
    view = look.request(running.service, running.sessions["ada"], first.id)
    assert view.repeats == 2
    assert len(notices(running, first)) == 2  # ada and ben, once


def test_a_call_that_a_person_denied_does_not_come_straight_back(
    running: Running, later: Callable[[int], None]
) -> None:
    first = running.opened()
    assert running.decide("ada", first, "deny", "wrong vendor") is State.DENIED
    seen = status.status(running.service, running.caller, first)
    assert seen.denial is not None
    assert 590 < seen.denial.retry_after <= 600
    again = refused(running.submit())
    assert again.code == "cooling_down"
    assert 590 < (again.retry_after or 0) <= 600
    assert refusals_logged(running) == ["cooling_down"]
    assert isinstance(running.submit(user="cleo"), Opened)
    # A field changed a little is another call: against that, the caps are there.
    assert isinstance(running.submit("750.01"), Opened)
    later(again.retry_after or 0)
    assert running.opened() != first


def test_a_call_that_cools_down_is_told_what_the_person_wrote_and_none_of_it_is_kept(
    running: Running,
) -> None:
    """What is told is read from the request each time, under the rules of its status."""
    first = running.opened()
    running.decide("ada", first, "deny", "wrong vendor")
    for _ in range(2):  # the second is a repeated Idempotency-Key
        again = refused(running.submit(idempotency_key="once"))
        seen = status.status(running.service, running.caller, first)
        told = again.status
        assert told is not None
        assert told.denial is not None
        assert seen.denial is not None
        left = seen.denial.retry_after  # a second may have passed between the two
        assert replace(told, denial=replace(told.denial, retry_after=left)) == seen
        assert (seen.denial.approver, seen.denial.reason) == ("ada", "wrong vendor")
    with running.service.store.read() as tx:
        verdict = tx.verdicts.get(tenant="default", verdict_id=again.id)
    assert verdict is not None
    assert first in verdict.answer
    assert "wrong vendor" not in verdict.answer + verdict.record
    assert refused(running.submit()).status is not None
    other = [ask(running, number) for number in range(5)][-1]
    assert refused(other).status is None  # too many are open: nobody said anything


def test_what_a_person_wrote_to_one_enforcer_is_not_told_to_another(running: Running) -> None:
    key, other = running.enforcer_key.public_jwk(), make_signing_key().public_jwk()
    enforcers = {
        name: {"keys": [it], "targets": [TARGET]}
        for name, it in ((ENFORCER, key), ("other", other))
    }
    files = bundle_files(key, enforcers_yaml=json.dumps({"enforcers": enforcers}))
    activate(running.service, tenant="default", files=files, by="ops")
    running.decide("ada", running.opened(), "deny", "wrong vendor")
    submission = Submission(
        call=ToolCall(TARGET, "transfer", {"amount": "750.00", "to": "vendor@example.com"}),
        agent="billing-agent",
        user="uma",
        body_digest="",
    )
    again = refused(submit(running.service, caller_of(running.service, "other"), submission))
    assert (again.code, again.status) == ("cooling_down", None)


def test_nothing_but_a_persons_no_cools_down(
    running: Running, later: Callable[[int], None]
) -> None:
    withdrawn = running.opened()
    cancel(running.service, running.caller, withdrawn)
    expired = running.opened()
    later(900)
    assert len({withdrawn, expired, running.opened()}) == 3


def test_the_page_of_a_denied_call_says_when_it_may_be_asked_again(running: Running) -> None:
    request = running.opened()
    running.decide("ben", request, "deny")
    view = look.request(running.service, running.sessions["ada"], request)
    assert view.asked_again_at == view.votes[0].time + 600


def test_a_refusal_is_repeated_under_its_idempotency_key(
    running: Running, later: Callable[[int], None]
) -> None:
    for number in range(4):
        ask(running, number)
    first = refused(ask(running, 4, idempotency_key="k"))
    later(100)
    again = refused(ask(running, 4, idempotency_key="k"))
    assert (again.id, again.code, again.reasons) == (first.id, first.code, first.reasons)
    # The time is the same moment, told from now.
    assert abs((first.retry_after or 0) - 100 - (again.retry_after or 0)) <= 1


def approve(running: Running, person: str, request: str) -> State:
    session = running.sessions[person]
    begun = vote.begin(running.service, session, request, Decision.APPROVE)
    credential = running.passkeys[person].authenticate(begun.options)
    return vote.finish(running.service, session, begun.id, credential)


def test_who_approves_has_had_it_before_them_for_a_moment(
    running: Running, later: Callable[[int], None]
) -> None:
    request = running.opened()
    session = running.sessions["ada"]
    with pytest.raises(AssentError) as never:
        approve(running, "ada", request)
    look.request(running.service, session, request)  # a GET, as a mail scanner makes one
    with pytest.raises(AssentError) as fetched:
        approve(running, "ada", request)
    assert sight.seen(running.service, session, request) == 2
    with pytest.raises(AssentError) as at_once:
        approve(running, "ada", request)
    assert {each.value.code for each in (never, fetched, at_once)} == {"looked_too_briefly"}
    assert not look.request(running.service, session, request).looked
    later(2)
    assert sight.seen(running.service, session, request) == 0  # the first look counts
    assert look.request(running.service, session, request).looked
    assert approve(running, "ada", request) is State.PENDING
    with pytest.raises(AssentError) as other:
        approve(running, "ben", request)  # another's look is not one's own
    assert other.value.code == "looked_too_briefly"


def test_the_time_to_look_is_held_to_when_the_vote_counts(
    running: Running, later: Callable[[int], None]
) -> None:
    """A statement from the moment before the first look was forgotten is no way around."""
    request = running.opened()
    session = running.sessions["ada"]
    sight.seen(running.service, session, request)
    later(2)
    begun = vote.begin(running.service, session, request, Decision.APPROVE)
    later(-2)
    credential = running.passkeys["ada"].authenticate(begun.options)
    with pytest.raises(AssentError) as caught:
        vote.finish(running.service, session, begun.id, credential)
    assert caught.value.code == "looked_too_briefly"


def test_no_is_never_made_harder(running: Running) -> None:
    request = running.opened()
    session = running.sessions["ada"]
    begun = vote.begin(running.service, session, request, Decision.DENY)
    credential = running.passkeys["ada"].authenticate(begun.options)
    assert vote.finish(running.service, session, begun.id, credential) is State.DENIED


def test_who_is_not_asked_leaves_no_look(running: Running) -> None:
    running.enrol("cleo")
    request = running.opened()
    with pytest.raises(AssentError) as caught:
        sight.seen(running.service, running.sessions["cleo"], request)
    assert caught.value.code == "not_found"


def test_an_approved_call_can_be_asked_and_spent_within_limits(
    running: Running, later: Callable[[int], None]
) -> None:
    request = running.opened()
    for person in ("ada", "ben"):
        sight.seen(running.service, running.sessions[person], request)
    later(2)
    for person in ("ada", "ben"):
        approve(running, person, request)
    answer = running.submit()
    assert isinstance(answer, Opened)
    assert answer.id == request
    consume.consume(
        running.service,
        running.caller,
        "apr_" + request[4:],
        call_hash=answer.status.call_hash,
        use_id="u",
    )


@pytest.mark.slow
def test_a_flood_costs_people_no_more_than_the_caps_and_others_nothing(
    tmp_path: Path, draws: Draws
) -> None:
    """Calls that are each a little different: a denied field is changed, so no two are the same."""
    flood = draws.count(sample=1_000, complete=10_000)
    running = limited(tmp_path, f"sqlite:///{tmp_path}/a.db", open_per_agent=40, open_per_tool=40)

    def batch(first: int) -> list[Answer]:
        return [ask(running, number) for number in range(first, first + 100)]

    with ThreadPoolExecutor(8) as pool:
        answers = [each for some in pool.map(batch, range(0, flood, 100)) for each in some]
    opened = [each for each in answers if isinstance(each, Opened)]
    assert len(opened) == 40
    told = [notice for each in opened for notice in notices(running, each)]
    for person in ("ada", "ben"):
        assert sum(notice.person == person for notice in told) == LIMITS["notice_cap_agent_hour"]
    # Nothing is lost: what nobody was told of waits in the inbox.
    waiting = [card for card in look.inbox(running.service, running.sessions["ada"]) if card.waits]
    assert {card.id for card in waiting} == {each.id for each in opened}
    other = ask(running, 1, agent="other-agent")
    assert isinstance(other, Opened)
    with running.service.store.begin() as tx:
        due = tx.notices.claim(channel="email", lease="w", now=tx.now, until=tx.now + 60, limit=100)
    assert {notice.person for notice in due if notice.subject == other.id} == {"ada", "ben"}
    assert len(due) == len(told) + 2
    running.service.store.close()
