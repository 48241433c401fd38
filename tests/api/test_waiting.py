"""Holding a connection until people have decided, behind a real server."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx2
import pytest

from approvals.api import waiting as waiting_room
from approvals.api.waiting import Waiting
from approvals.client import Approved, Cancelled, Denied, Expired, Pending, ServiceAway
from approvals.core.calls import ToolCall
from approvals.core.decision.ceremony import Decision
from approvals.core.errors import Unavailable
from approvals.core.requests import State
from approvals.flow.acting.caller import Caller, Submission
from approvals.flow.asking.submit import submit
from tests.api.running import TARGET, TRANSFER, open_company, served
from tests.progress import until
from tests.service import caller_of

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import Message

    from approvals.flow.status import RequestStatus
    from tests.api.running import Running

# A wait far longer than any machine needs: what wakes a caller is a decision, never this.
LONG = 55


def ask(company: Running, amount: int) -> str:
    call = ToolCall(TARGET, "transfer", {**TRANSFER.args, "amount": amount})
    submitted = company.client().submit(call, agent="billing-agent", user="uma")
    assert isinstance(submitted, Pending)
    return submitted.id


def parked(company: Running) -> int:
    count: int = company.app.state.api.waiting.parked
    return count


@pytest.mark.parametrize(
    ("how", "outcome"),
    [("approve", Approved), ("deny", Denied), ("cancel", Cancelled)],
)
def test_a_waiting_caller_is_answered_when_it_is_decided(
    online: Running, how: str, outcome: type
) -> None:
    request_id = ask(online, {"approve": 1, "deny": 2, "cancel": 3}[how])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(online.client().look, request_id, wait=LONG)
        until(lambda: parked(online) == 1)
        match how:
            case "approve":
                online.approve(request_id)
            case "deny":
                online.decide("ada", request_id, decision=Decision.DENY, reason="not this month")
            case _:
                online.client().cancel(request_id)
        answer = waiting.result()
    assert isinstance(answer, outcome)
    if isinstance(answer, Denied):
        assert (answer.by, answer.reason) == ("ada", "not this month")
    until(lambda: parked(online) == 0)


def test_one_vote_of_two_wakes_nobody(online: Running) -> None:
    request_id = ask(online, 10)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(online.client().look, request_id, wait=LONG)
        until(lambda: parked(online) == 1)
        online.decide("ada", request_id)
        online.client().look(request_id)  # a whole exchange after the commit
        assert not waiting.done()
        online.decide("ben", request_id)
        assert isinstance(waiting.result(), Approved)


def test_a_wait_that_is_over_says_that_it_is_pending(online: Running) -> None:
    request_id = ask(online, 11)
    assert isinstance(online.client().look(request_id, wait=1), Pending)
    assert parked(online) == 0


def test_a_caller_that_leaves_frees_its_place(online: Running) -> None:
    request_id = ask(online, 12)
    address = f"{online.url}/v1/requests/{request_id}?wait={LONG}"
    impatient = httpx2.Client(timeout=httpx2.Timeout(5.0, read=0.5))
    with impatient, pytest.raises(httpx2.ReadTimeout):
        impatient.get(address, headers=online.bearer())
    until(lambda: parked(online) == 0)


def test_many_callers_of_one_request_are_answered_from_one_read(online: Running) -> None:
    request_id = ask(online, 13)
    waiting = online.app.state.api.waiting
    reads = 0
    real = waiting.read

    async def counted(caller: Caller, name: str) -> RequestStatus:
        nonlocal reads
        reads += 1
        found: RequestStatus = await real(caller, name)
        return found

    client = online.client()
    with ThreadPoolExecutor(40) as pool:
        answers = [pool.submit(client.look, request_id, wait=LONG) for _ in range(40)]
        until(lambda: parked(online) == 40)
        online.decide("ada", request_id)
        waiting.read = counted
        try:
            online.decide("ben", request_id)
            assert all(isinstance(answer.result(), Approved) for answer in answers)
        finally:
            waiting.read = real
    # One for the vote, and one more where the first vote's word came late.
    assert 1 <= reads <= 2


def test_waiting_costs_no_thread(online: Running) -> None:
    ids = [ask(online, amount) for amount in range(100, 110)]
    client = online.client()
    with ThreadPoolExecutor(60) as pool:
        # Threads of the server's pool come and go up to its own limit, whoever waits.
        answers = [pool.submit(client.look, name, wait=LONG) for name in ids for _ in range(6)]
        until(lambda: parked(online) == 60)
        ours = {thread.name for thread in threading.enumerate() if "AnyIO" in thread.name}
        assert len(ours) < 60
        for name in ids:
            online.client().cancel(name)
        assert all(isinstance(answer.result(), Cancelled) for answer in answers)


def test_a_decision_between_reading_and_parking_is_not_missed(tmp_path: Path) -> None:
    """The race: decided after the caller was let in, before it was heard of by those who wake."""
    company = open_company(tmp_path / "home", url="http://localhost:8420")
    caller = caller_of(company.service, "gateway")

    async def race() -> State:
        waiting = Waiting(company.service, total=16)
        waiting.start()
        real = waiting.read

        async def decided_meanwhile(caller: Caller, request_id: str) -> RequestStatus:
            waiting.read = real  # type: ignore[method-assign]
            found = await real(caller, request_id)
            # The commit's word comes while this very read is under way.
            await asyncio.to_thread(company.approve, request_id)
            return found

        waiting.read = decided_meanwhile  # type: ignore[method-assign]
        found = await waiting.until_decided(caller, request_id, seconds=LONG, receive=stay)
        waiting.stop()
        return found.state

    request_id = open_request(company, caller)
    assert asyncio.run(race()) is State.APPROVED
    company.service.store.close()


def test_a_wait_ends_with_the_request(tmp_path: Path) -> None:
    """Expiry is nobody's event: no job runs here that could announce it."""
    company = open_company(tmp_path / "home", url="http://localhost:8420", ttl="1s")
    caller = caller_of(company.service, "gateway")

    async def wait() -> State:
        waiting = Waiting(company.service, total=16)
        waiting.start()
        found = await waiting.until_decided(caller, request_id, seconds=LONG, receive=stay)
        waiting.stop()
        return found.state

    request_id = open_request(company, caller)
    assert asyncio.run(wait()) is State.EXPIRED
    company.service.store.close()


def test_stopping_answers_whoever_waits(tmp_path: Path) -> None:
    company = open_company(tmp_path / "home", url="http://localhost:8420")
    caller = caller_of(company.service, "gateway")

    async def stop() -> None:
        waiting = Waiting(company.service, total=16)
        waiting.start()
        held = asyncio.ensure_future(
            waiting.until_decided(caller, request_id, seconds=LONG, receive=stay)
        )
        await asyncio.to_thread(until, lambda: waiting.parked == 1)
        waiting.leave()
        with pytest.raises(Unavailable) as told:
            await held
        assert told.value.code == "stopping"
        with pytest.raises(Unavailable):  # nobody waits for a service that ends
            await waiting.until_decided(caller, request_id, seconds=LONG, receive=stay)
        assert (await waiting.read(caller, request_id)).state is State.PENDING
        assert waiting.parked == 0

    request_id = open_request(company, caller)
    asyncio.run(stop())
    company.service.store.close()


def test_no_enforcer_takes_all_the_places(tmp_path: Path) -> None:
    with (
        served(tmp_path / "home", max_connections=32) as company,
        contextlib.closing(company.client()) as mine,
        contextlib.closing(company.client("other")) as theirs,
        ThreadPoolExecutor(24) as pool,
    ):
        request_id = ask(company, 1)
        call = ToolCall(TARGET, "transfer", {**TRANSFER.args, "amount": 2})
        other_id = theirs.submit(call, agent="billing-agent", user="uma").id
        held = [pool.submit(mine.look, request_id, wait=LONG) for _ in range(20)]
        # Of 24 places one enforcer gets half; who gets none is told so and when to come back.
        until(lambda: parked(company) == 12 and sum(each.done() for each in held) == 8)
        for each in held:
            if each.done():
                with pytest.raises(ServiceAway) as away:
                    each.result()
                assert "too many callers" in away.value.message
                assert away.value.retry_after
        asked = pool.submit(theirs.look, other_id, wait=LONG)
        until(lambda: parked(company) == 13)
        assert isinstance(mine.look(request_id), Pending)  # asking without waiting takes no place
        company.approve(request_id)
        company.approve(other_id)
        assert isinstance(asked.result(), Approved)
        assert sum(not each.exception() for each in held) == 12


def test_the_client_says_that_a_request_expired(tmp_path: Path) -> None:
    with served(tmp_path / "home", ttl="1s") as company:
        assert isinstance(company.client().wait(ask(company, 1), timeout=LONG), Expired)


def open_request(company: Running, caller: Caller) -> str:
    answer = submit(
        company.service,
        caller,
        Submission(call=TRANSFER, agent="billing-agent", user="uma", body_digest="-"),
    )
    return answer.id


async def stay() -> Message:
    """A caller that stays on the line."""
    await asyncio.sleep(3_600)
    raise AssertionError


def test_a_word_that_was_lost_is_made_up_for(
    online: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_room, "LOOK_SECONDS", 0.3)
    monkeypatch.setattr(online.service.store, "_listeners", [])  # nobody is told of anything
    request_id = ask(online, 71)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(online.client().look, request_id, wait=LONG)
        until(lambda: parked(online) == 1)
        online.approve(request_id)
        assert isinstance(answer.result(), Approved)
