"""An outcome is reported when the call has run, and a failure to report takes nothing away."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import json
import logging
import os
from typing import TYPE_CHECKING, Any

import pytest

from approvals.client import Client
from approvals.core.receipt import sign
from approvals.guard import Guard, guarded, use
from approvals.guard.aftermath import aftermath
from tests.company import AUDIENCE, CALL, NOW, Company, new_key
from tests.test_client import give, serving
from tests.vectors.make_receipt_vectors import receipt_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.test_client import Handler

COMPANY = Company()
APPROVAL = COMPANY.token(COMPANY.approval())
made = guarded(target=CALL.target, tool=CALL.tool)
MONEY = ("750.00", "vendor@example.com")
happened: list[Any] = []


class Service:
    """Approves and spends for real, and notes what is reported; `report` is its answer to that."""

    def __init__(self) -> None:
        self.report: Callable[[Handler], None] = give(204, b"")

    def __call__(self, handler: Handler) -> None:
        sent = json.loads(handler.body or b"{}")
        if handler.path == "/v1/calls":
            answer = {"decision": "allow", "id": "vrd_x", "approval": APPROVAL}
            give(200, json.dumps(answer).encode())(handler)
        elif handler.path.endswith("/consume"):
            receipt = receipt_for(COMPANY, use_id=sent["use_id"])
            body = json.dumps({"receipt": sign(receipt, key=COMPANY.key)}).encode()
            give(200, body)(handler)
        else:
            happened.append(sent["status"])
            self.report(handler)


@pytest.fixture
def service() -> Iterator[Service]:
    happened.clear()
    approving = Service()
    with (
        serving(approving) as server,
        Client(server.url, enforcer=AUDIENCE, key=new_key()) as client,
    ):
        verifier = COMPANY.verifier()
        guard = Guard(client, verifier, agent="billing-agent", user="uma", clock=lambda: NOW)
        with use(guard):
            yield approving
        aftermath.finish()


async def pays(amount: str, to: str) -> str:
    await asyncio.sleep(0)
    happened.append(to)
    return amount


def hidden(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that says what it wraps."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Payer:
    async def __call__(self, amount: str, to: str) -> str:
        return await pays(amount, to)


def plain(amount: str, to: str) -> Any:
    return pays(amount, to)


async def run(work: Any) -> Any:
    return await work


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(
    "function",
    [
        pays,
        functools.partial(pays),
        Payer(),
        Payer().__call__,
        hidden(pays),
        hidden(Payer()),
        plain,
    ],
    ids=["coroutine", "partial", "object", "method", "decorated", "decorated-object", "returned"],
)
def test_work_that_is_awaited_is_reported_when_it_has_been(function: Callable[..., Any]) -> None:
    async def call() -> Any:
        work = made(function)(*MONEY)
        assert happened == []
        return await work

    assert asyncio.run(call()) == "750.00"
    assert happened == ["vendor@example.com", "ok"]


@pytest.mark.filterwarnings("ignore")  # Python's own, that it was not awaited: so it is
@pytest.mark.usefixtures("service")
def test_work_that_is_never_awaited_is_never_reported() -> None:
    work = made(plain)(*MONEY)
    work.close()
    assert happened == []


@pytest.mark.usefixtures("service")
def test_awaited_work_that_fails_is_reported_as_that() -> None:
    async def fails(amount: str, to: str) -> None:
        raise LookupError(amount + to)

    for function in (fails, hidden(fails)):
        with pytest.raises(LookupError):
            asyncio.run(run(made(function)(*MONEY)))
    assert happened == ["error", "error"]


def items(amount: str, to: str) -> Iterator[str]:
    yield amount
    happened.append(to)


async def items_async(amount: str, to: str) -> AsyncIterator[str]:
    yield amount
    happened.append(to)


def generated(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that does not say what it wraps."""

    def wrapper(amount: str, to: str) -> Any:
        return function(amount, to)

    return wrapper


@pytest.mark.parametrize(
    "function",
    [
        items,
        items_async,
        hidden(items),
        functools.partial(items),
        functools.partial(hidden(items_async)),
        contextlib.contextmanager(items),
    ],
)
def test_a_generator_is_refused_when_it_is_decorated(function: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="generator"):
        made(function)


@pytest.mark.usefixtures("service")
def test_a_generator_that_nobody_could_see_is_reported_when_it_has_ended() -> None:
    given = made(generated(items))(*MONEY)
    assert happened == []
    assert list(given) == ["750.00"]
    assert happened == ["vendor@example.com", "ok"]
    happened.clear()

    async def each() -> list[str]:
        return [item async for item in made(generated(items_async))(*MONEY)]

    assert asyncio.run(each()) == ["750.00"]
    assert happened == ["vendor@example.com", "ok"]
    happened.clear()
    given = made(generated(items))(*MONEY)
    assert next(given) == "750.00"
    given.close()
    aftermath.finish()
    assert happened == ["error"]


@pytest.mark.usefixtures("service")
def test_what_is_thrown_into_an_async_generator_reaches_the_functions_own() -> None:
    """As a transaction in a context manager is rolled back: by who wrote it, where it failed."""
    ended: list[str] = []

    async def transaction(amount: str) -> AsyncIterator[str]:
        try:
            yield amount
        except ValueError:
            ended.append("rolled back")
            raise
        else:
            ended.append("committed")

    def begins(amount: str, to: str) -> AsyncIterator[str]:
        return transaction(f"{amount} to {to}")

    guarded_work: Any = made(begins)

    async def fails() -> None:
        work = guarded_work(*MONEY)
        assert await anext(work) == " to ".join(MONEY)
        with pytest.raises(ValueError, match="no"):
            await work.athrow(ValueError("no"))

    asyncio.run(fails())
    aftermath.finish()
    assert ended == ["rolled back"]
    assert happened == ["error"]


@pytest.mark.usefixtures("service")
def test_a_future_is_reported_when_it_is_done() -> None:
    future: concurrent.futures.Future[int] = concurrent.futures.Future()

    def begins(amount: str, to: str) -> Any:
        happened.extend(() if (amount, to) == MONEY else (amount, to))
        return future

    assert made(begins)(*MONEY) is future
    assert happened == []
    future.set_result(1)
    aftermath.finish()
    assert happened == ["ok"]


class Strange:
    """An object that does not want to be looked at."""

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise ZeroDivisionError


def endless() -> list[Any]:
    made_list: list[Any] = []
    made_list.append(made_list)
    return made_list


def deep() -> list[Any]:
    made_list: list[Any] = []
    for _ in range(5000):
        made_list = [made_list]
    return made_list


@pytest.mark.parametrize(
    "answer",
    [
        give(500, b"<html>"),
        give(302, b"", Location="http://127.0.0.1:1/"),
        give(204, b"", Content_Encoding="gzip"),
        give(409, b'{"code":["a"],"detail":{}}'),
        give(409, b'{"code":"already_reported"}'),
        give(204, b"", X="\xff"),
        give(503, b""),
        lambda handler: handler.connection.close(),
    ],
)
def test_whatever_comes_back_from_reporting_the_result_is_returned(
    service: Service, caplog: pytest.LogCaptureFixture, answer: Any
) -> None:
    service.report = answer
    ran = []

    @made
    def transfer(amount: str, to: str) -> str:
        ran.append(to)
        return amount

    @made
    async def transfer_async(amount: str, to: str) -> str:
        ran.append(to)
        return amount

    @made
    def fails(amount: str, to: str) -> str:
        raise LookupError(amount + to)

    with caplog.at_level(logging.WARNING, logger="approvals.guard"):
        assert transfer(*MONEY) == "750.00"
        assert asyncio.run(run(transfer_async(*MONEY))) == "750.00"
        with pytest.raises(LookupError):
            fails(*MONEY)
    assert len(ran) == 2


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("make", ["\ud800".__str__, deep, endless, Strange, object, lambda: {1: 2}])
def test_whatever_a_function_returns_is_returned(make: Callable[[], Any]) -> None:
    output = make()

    @made
    def transfer(amount: str, to: str) -> Any:
        return output if (amount, to) == MONEY else None

    assert transfer(*MONEY) is output
    assert happened == ["ok"]


@pytest.mark.usefixtures("service")
def test_an_interrupt_passes_at_once_and_is_reported_by_itself() -> None:
    @made
    def interrupted(amount: str, to: str) -> None:
        raise KeyboardInterrupt(amount, to)

    with pytest.raises(KeyboardInterrupt):
        interrupted(*MONEY)
    aftermath.finish()
    assert happened == ["error"]


def test_a_report_that_fails_is_tried_again_and_then_logged(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    answers = [give(503, b"{}"), give(204, b"")]

    def next_answer(handler: Handler) -> None:
        answers.pop(0)(handler)

    service.report = next_answer

    @made
    def transfer(amount: str, to: str) -> str:
        return amount if to else ""

    with caplog.at_level(logging.WARNING, logger="approvals.guard"):
        transfer(*MONEY)
        assert (answers, caplog.records) == ([], [])
        service.report = give(500, b"{}")
        transfer(*MONEY)
    (record,) = caplog.records
    assert vars(record)["outcome"] == "ok"
    assert vars(record)["approval"].startswith("apr_")


@pytest.mark.usefixtures("service")
def test_after_a_fork_each_process_has_its_own_connection() -> None:
    """Two processes that read from one connection would read each other's answers."""

    @made
    def transfer(amount: str, to: str) -> str:
        return amount if to else ""

    assert transfer(*MONEY) == "750.00"
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            status = 1
            with contextlib.suppress(BaseException):
                good = all(transfer(*MONEY) == "750.00" for _ in range(5))
                aftermath.finish()
                status = 0 if good else 2
            os._exit(status)
        children.append(child)
    for _ in range(5):
        assert transfer(*MONEY) == "750.00"
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
