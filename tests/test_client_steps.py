"""What a client does while the service goes away, loses an answer, or moves to another replica."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from approvals.client import (
    Approved,
    AsyncClient,
    Cancelled,
    Client,
    OutcomeUnknown,
    Pending,
    ServiceAway,
    ServiceError,
    plans,
)
from approvals.client.steps import Pause, Send, drive
from approvals.core.receipt import sign
from approvals.guard import CallParked, CallRefused, Guard, guarded, use
from approvals.guard.aftermath import aftermath
from tests.company import AUDIENCE, CALL, NOW, Company, new_key
from tests.test_client import give, serving
from tests.vectors.make_receipt_vectors import receipt_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from approvals.client.steps import Plan, Step
    from tests.test_client import Handler

COMPANY = Company()
WHO: dict[str, Any] = {"agent": "billing-agent", "user": "uma"}
PENDING = json.dumps({"id": "req_x", "state": "pending", "url": "u", "expires": 1}).encode()
APPROVED = json.dumps({"id": "req_x", "state": "approved", "approval": "t"}).encode()


class Scripted:
    """A service that answers each step with the next of its answers; no time passes."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers = list(answers)
        self.sent: list[Send] = []
        self.paused: list[float] = []

    def __call__(self, step: Step) -> bytes:
        if isinstance(step, Pause):
            self.paused.append(step.seconds)
            return b""
        self.sent.append(step)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def run(self, plan: Plan[Any]) -> Any:
        return drive(plan, self)


def refusal(code: str) -> ServiceError:
    return ServiceError("no", code=code, status=409)


def problem(code: str) -> bytes:
    return json.dumps({"code": code, "detail": "d"}).encode()


RECEIPT = json.dumps({"receipt": "r"}).encode()
LOST, AWAY = OutcomeUnknown("lost"), ServiceAway("away")


def test_a_lost_answer_is_asked_for_again_under_the_same_key() -> None:
    it = Scripted(LOST, AWAY, LOST, AWAY, RECEIPT)
    assert it.run(plans.consume("apr_x", call_hash="h", use_id="u")) == "r"
    assert len({json.dumps(dict(sent.body or {})) for sent in it.sent}) == 1
    allowed = json.dumps({"decision": "allow", "id": "vrd_x", "approval": "t"}).encode()
    it = Scripted(LOST, AWAY, AWAY, AWAY, AWAY, allowed)
    it.run(plans.submit(CALL, **WHO))
    assert len({sent.headers["Idempotency-Key"] for sent in it.sent}) == 1


def test_what_stays_unknown_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "PATIENCE", 1.0)
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    class Passing(Scripted):
        def __call__(self, step: Step) -> bytes:
            now[0] += step.seconds if isinstance(step, Pause) else 0.2
            return super().__call__(step)

    # However it ends: an earlier answer was lost, so it may have been done.
    it = Passing(LOST, *[AWAY] * 20)
    with pytest.raises(OutcomeUnknown):
        it.run(plans._insistently(Send(method="POST", path="/"), patience=3.0))
    assert 3 <= len(it.sent) < 15
    it = Passing(*[AWAY] * 20)
    with pytest.raises(ServiceAway) as away:
        it.run(plans._insistently(Send(method="POST", path="/"), patience=3.0))
    assert away.value.code == "service_away"
    assert len(it.sent) == plans.ATTEMPTS


def test_a_withdrawal_whose_answer_was_lost_was_made() -> None:
    cancelled = json.dumps({"id": "req_x", "state": "cancelled"}).encode()
    it = Scripted(LOST, refusal("not_pending"), cancelled)
    it.run(plans.cancel("req_x"))
    # Without a lost answer somebody else was first, and so it is where people decided meanwhile.
    with pytest.raises(ServiceError):
        Scripted(refusal("not_pending")).run(plans.cancel("req_x"))
    with pytest.raises(ServiceError):
        Scripted(LOST, refusal("not_pending"), APPROVED).run(plans.cancel("req_x"))


def test_a_wait_goes_on_at_the_next_replica() -> None:
    stopping = ServiceAway("stopping", retry_after=1.0)
    it = Scripted(stopping, LOST, PENDING, stopping, APPROVED)
    assert it.run(plans.wait("req_x", timeout=60)) == Approved("req_x", "t")
    assert all(1.0 <= pause <= 1.25 for pause in (it.paused[0], it.paused[3]))


def test_nobody_waits_longer_than_they_said() -> None:
    it = Scripted(ServiceAway("stopping", retry_after=61.0))
    with pytest.raises(ServiceAway):
        it.run(plans.wait("req_x", timeout=60))
    assert it.paused == []
    it = Scripted(ServiceAway("stopping", retry_after=3600.0))
    with pytest.raises(ServiceAway):
        it.run(plans.consume("apr_x", call_hash="h", use_id="u"))
    assert len(it.sent) == 1


def test_a_service_that_asks_for_no_pause_is_not_hammered() -> None:
    it = Scripted(*[ServiceAway("x", retry_after=0.0)] * 5, APPROVED)
    it.run(plans.wait("req_x", timeout=600))
    least = [0.1, 0.4, 1.6, 5.0, 5.0]
    assert all(a <= b <= a * 1.25 for a, b in zip(least, it.paused, strict=True))


@pytest.mark.parametrize(
    ("status", "body", "header", "kind", "wish"),
    [
        (503, problem("unavailable"), "2", ServiceAway, 2.0),
        (503, problem("outcome_unknown"), "1", OutcomeUnknown, 1.0),
        (503, b"<html>", None, OutcomeUnknown, None),
        (502, b"", None, OutcomeUnknown, None),
        (504, b"", "Wed, 21 Oct 2026 07:28:00 GMT", OutcomeUnknown, None),
        (503, problem("unavailable"), "-1", ServiceAway, None),
        (503, problem("unavailable"), "9" * 400, ServiceAway, None),
        (503, problem("unavailable"), "\u00b2", ServiceAway, None),
    ],
)
def test_what_an_answer_says_about_asking_again(
    status: int, body: bytes, header: str | None, kind: type[ServiceAway], wish: float | None
) -> None:
    headers = {} if header is None else {"Retry_After": header}
    with serving(give(status, body, **headers)) as server, server.client() as client:
        with pytest.raises(ServiceAway) as away:
            client.look("req_x")
        assert type(away.value) is kind
        assert away.value.retry_after == wish


def test_over_real_connections_a_wait_goes_on_when_they_are_lost() -> None:
    def lost(handler: Handler) -> None:
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    stopping = give(503, problem("unavailable"), Retry_After="0")
    for asynchronous in (False, True):
        answers = [lost, stopping, give(200, PENDING), lost, give(200, APPROVED)]

        def next_answer(handler: Handler) -> None:
            answers.pop(0)(handler)  # noqa: B023 - of this round

        with serving(next_answer) as server, server.client() as client:
            if asynchronous:
                outcome = asyncio.run(client.asynchronous().wait("req_x", timeout=60))
            else:
                outcome = client.wait("req_x", timeout=60)
        assert outcome == Approved("req_x", "t")
        assert answers == []


# On an event loop


class Waiting:
    """Lets calls wait for people until they are told that they were approved."""

    def __init__(self) -> None:
        self.approved = threading.Event()
        self.waiting = 0
        self.most = 0
        self.cancelled: list[str] = []
        self.submitted = threading.Event()
        self.slow = threading.Event()
        self.slow.set()
        self._lock = threading.Lock()

    def __call__(self, handler: Handler) -> None:
        if handler.path == "/v1/calls":
            self.submitted.set()
            self.slow.wait(30)
            request = {"id": "req_x", "url": "u", "expires": 1}
            body = json.dumps({"decision": "escalate", "request": request}).encode()
            give(202, body)(handler)
        elif handler.path.endswith("/consume"):
            sent = json.loads(handler.body)
            receipt = sign(receipt_for(COMPANY, use_id=sent["use_id"]), key=COMPANY.key)
            give(200, json.dumps({"receipt": receipt}).encode())(handler)
        elif handler.path.endswith("/cancel"):
            self.cancelled.append(handler.path)
            give(200, b"{}")(handler)
        elif handler.path.startswith("/v1/requests/"):
            with self._lock:
                self.waiting += 1
                self.most = max(self.most, self.waiting)
            self.approved.wait(30)
            with self._lock:
                self.waiting -= 1
            token = COMPANY.token(COMPANY.approval())
            answer = {"id": "req_x", "state": "approved", "approval": token}
            give(200, json.dumps(answer).encode())(handler)
        else:
            give(204, b"")(handler)


@guarded(target=CALL.target, tool=CALL.tool)
async def transfer(amount: str, to: str) -> str:
    return amount + to


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    service = Waiting()
    with (
        serving(service) as server,
        Client(server.url, enforcer=AUDIENCE, key=new_key()) as client,
    ):
        guard = Guard(client, COMPANY.verifier(), **WHO, clock=lambda: NOW)
        with use(guard):
            yield service
        service.approved.set()
        aftermath.finish()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - told by a server in a thread
        await asyncio.sleep(0.01)


def test_a_waiting_coroutine_takes_no_thread(waiting: Waiting) -> None:
    """More calls wait than any pool of threads or connections has by default."""
    count = 150

    async def many() -> list[str]:
        before = {thread.name for thread in threading.enumerate()}
        work = [
            asyncio.ensure_future(transfer("750.00", to="vendor@example.com")) for _ in range(count)
        ]
        await until(lambda: waiting.waiting == count)
        ours = {
            thread.name
            for thread in threading.enumerate()
            if "process_request_thread" not in thread.name  # the test's own server
        }
        assert ours - before == set()
        # The default pool is free for whatever else there is to do.
        assert await asyncio.wait_for(asyncio.to_thread(lambda: 7), 30) == 7
        waiting.approved.set()
        return list(await asyncio.gather(*work))

    assert asyncio.run(many()) == ["750.00vendor@example.com"] * count
    assert waiting.most == count


def test_a_cancelled_task_goes_at_once_and_its_request_is_withdrawn(waiting: Waiting) -> None:
    async def cancel() -> None:
        task = asyncio.ensure_future(transfer("750.00", to="vendor@example.com"))
        await until(lambda: waiting.waiting == 1)
        task.cancel()
        # The service has not answered, and does not until the test ends.
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    aftermath.finish()
    assert waiting.cancelled == ["/v1/requests/req_x/cancel"]


def test_a_wait_that_is_interrupted_is_withdrawn(waiting: Waiting) -> None:
    """Ctrl-C ends a blocking wait at once, and nobody is asked for nothing."""

    class Interrupted(Client):
        def run(self, plan: Plan[Any]) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return super().run(plan)  # the guard's own thread withdraws

            def perform(step: Step) -> bytes:
                if isinstance(step, Send) and step.hold:
                    raise KeyboardInterrupt
                return self._transport.perform(step)

            return drive(plan, perform)

    @guarded(target=CALL.target, tool=CALL.tool)
    def pay(amount: str, to: str) -> str:
        return amount + to

    with (
        serving(waiting) as server,
        Interrupted(server.url, enforcer=AUDIENCE, key=new_key()) as client,
        use(Guard(client, COMPANY.verifier(), **WHO)),
    ):
        with pytest.raises(KeyboardInterrupt):
            pay("1", to="x")
        aftermath.finish()
    assert waiting.cancelled == ["/v1/requests/req_x/cancel"]


def test_a_task_that_is_cancelled_while_it_submits_withdraws_too(waiting: Waiting) -> None:
    waiting.slow.clear()

    async def cancel() -> None:
        task = asyncio.ensure_future(transfer("750.00", to="vendor@example.com"))
        await until(waiting.submitted.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    waiting.slow.set()
    aftermath.finish()
    assert waiting.cancelled == ["/v1/requests/req_x/cancel"]


def test_a_parked_call_is_not_withdrawn(waiting: Waiting) -> None:
    async def park() -> None:
        with pytest.raises(CallParked) as parked:
            await transfer("750.00", to="vendor@example.com")
        assert parked.value.reason == parked.value.code == "parked"

    waiting.approved.set()
    pending = give(200, PENDING)
    with (
        serving(lambda handler: _park(handler, pending)) as server,
        Client(server.url, enforcer=AUDIENCE, key=new_key()) as client,
        use(Guard(client, COMPANY.verifier(), **WHO, wait=0)),
    ):
        asyncio.run(park())
    aftermath.finish()
    assert waiting.cancelled == []


def _park(handler: Handler, pending: Callable[..., None]) -> None:
    if handler.path == "/v1/calls":
        request = {"id": "req_x", "url": "u", "expires": 1}
        body = json.dumps({"decision": "escalate", "request": request}).encode()
        give(202, body)(handler)
    else:
        assert not handler.path.endswith("/cancel")
        pending(handler)


def test_one_client_serves_several_event_loops_and_leaves_nothing_open() -> None:
    with serving(give(200, PENDING)) as server:
        client = AsyncClient(server.url, enforcer="e", key=new_key())

        async def look() -> object:
            return await client.look("req_x")

        for _ in range(3):
            assert asyncio.run(look()) == Pending("req_x", "u", 1)
        assert len(client._transport._own) == 0
        gc.collect()  # an open connection would be a warning here, and warnings are errors


def test_the_asynchronous_client_is_the_same_client() -> None:
    body = json.dumps({"keys": []}).encode()

    async def ask(url: str) -> None:
        async with AsyncClient(url, enforcer="e", key=new_key()) as client:
            assert await client.jwks() == {"keys": []}
            assert await client.evidence("req_x") == body
            assert await client.directory() == body.decode()
            await client.cancel("req_x")
            with pytest.raises(ServiceError):
                await client.wait("req_x", timeout=1)
            with pytest.raises(ServiceError):
                await client.submit(CALL, **WHO)
            with pytest.raises(ServiceError):
                await client.report("apr_x", status="ok")

    with serving(give(200, body)) as server:
        asyncio.run(ask(server.url))


def test_a_client_with_its_own_http_client_needs_one_for_coroutines_too() -> None:
    import httpx2  # noqa: PLC0415 - used here only

    async def call() -> None:
        with pytest.raises(CallRefused) as refused:
            await transfer("1", to="x")
        assert (refused.value.reason, refused.value.place) == ("configuration", "async_client")

    with httpx2.Client() as http:
        client = Client("https://assent.example", enforcer="e", key=new_key(), http=http)
        with use(Guard(client, COMPANY.verifier(), **WHO)):
            asyncio.run(call())


def test_what_the_client_names_is_also_what_comes_of_a_cancelled_request() -> None:
    body = json.dumps({"id": "req_x", "state": "cancelled"}).encode()
    assert Scripted(body).run(plans.wait("req_x", timeout=5)) == Cancelled("req_x")
