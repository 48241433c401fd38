"""Clients on an event loop: a wait takes no thread, and goes when its task is cancelled."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from approvals.client import AsyncClient, Cancelled, Client, Pending, ServiceError, plans
from approvals.client.steps import Send, drive
from approvals.core.receipt import sign
from approvals.guard import CallParked, CallRefused, Guard, guarded, use
from approvals.guard.aftermath import aftermath
from tests.clients import PENDING, WHO, Scripted
from tests.company import AUDIENCE, CALL, NOW, Company, new_key
from tests.test_client import give, serving
from tests.vectors.make_receipt_vectors import receipt_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from approvals.client.steps import Plan, Step
    from tests.test_client import Handler


COMPANY = Company()


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
        use(Guard(client, COMPANY.verifier(), **WHO, clock=lambda: NOW)),
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
        use(Guard(client, COMPANY.verifier(), **WHO, wait=0, clock=lambda: NOW)),
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
        with use(Guard(client, COMPANY.verifier(), **WHO, clock=lambda: NOW)):
            asyncio.run(call())


def test_what_the_client_names_is_also_what_comes_of_a_cancelled_request() -> None:
    body = json.dumps({"id": "req_x", "state": "cancelled"}).encode()
    assert Scripted(body).run(plans.wait("req_x", timeout=5)) == Cancelled("req_x")
