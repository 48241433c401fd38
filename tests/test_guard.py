"""A guarded function runs exactly when it may, once, with exactly what was approved."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from approvals.client import Cancelled, Client
from approvals.core import canonical
from approvals.core.calls import ToolCall
from approvals.core.decision.ceremony import Decision
from approvals.core.errors import CallError
from approvals.guard import CallRefused, Guard, guarded, use
from approvals.guard.aftermath import aftermath
from tests.api.running import BALANCE, TARGET, Running, served
from tests.company import new_key
from tests.guarding import (
    balance,
    guard,
    outcome,
    park,
    ran,
    refused,
    transfer,
    transfer_async,
    wipe,
)
from tests.meddling import call_while, meddling, somebody_waits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


WHO: dict[str, Any] = {"agent": "billing-agent", "user": "uma"}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served(tmp_path_factory.mktemp("guard") / "home") as made:
        yield made


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    ran.clear()


@pytest.fixture
def in_use(company: Running) -> Iterator[Guard]:
    with use(guard(company)) as made:
        yield made


@pytest.mark.usefixtures("in_use")
def test_what_policy_allows_runs_at_once() -> None:
    assert balance() == 7
    assert len(ran) == 1


@pytest.mark.usefixtures("in_use")
def test_what_policy_forbids_does_not_run_and_says_why() -> None:
    error = refused("policy", wipe)
    assert error.place == "not_permitted"
    assert "no rule permits" in error.message


@pytest.mark.usefixtures("in_use")
def test_a_parked_call_runs_when_it_is_made_again_after_approval(company: Running) -> None:
    request_id = park(lambda: transfer(1))
    assert park(lambda: transfer(amount=1)) == request_id
    company.approve(request_id)
    assert transfer(1) == {"moved": 1}
    assert ran == [{"amount": 1, "to": "vendor@example.com"}]
    assert outcome(company, request_id) == ("ok", canonical.digest({"moved": 1}))


@pytest.mark.usefixtures("in_use")
def test_an_approval_is_for_one_run(company: Running) -> None:
    request_id = park(lambda: transfer(2))
    company.approve(request_id)
    transfer(2)
    ran.clear()
    # The same again is a new call: people are asked again.
    assert park(lambda: transfer(2)) != request_id


@pytest.mark.usefixtures("in_use")
def test_defaults_are_part_of_what_is_approved(company: Running) -> None:
    request_id = park(lambda: transfer(3))
    assert park(lambda: transfer(3, "vendor@example.com")) == request_id
    assert park(lambda: transfer(3, "thief@example.com")) != request_id
    company.client().cancel(request_id)


@pytest.mark.usefixtures("in_use")
def test_a_call_waits_for_people(company: Running) -> None:
    request_id = park(lambda: transfer(4))
    waited = call_while(company, 4, lambda: company.approve(request_id))
    assert waited.result() == {"moved": 4}


@pytest.mark.usefixtures("in_use")
def test_a_denial_is_refused_with_the_persons_words_as_data(company: Running) -> None:
    request_id = park(lambda: transfer(5))
    waited = call_while(
        company,
        5,
        lambda: company.decide("ada", request_id, decision=Decision.DENY, reason="not this month"),
    )
    error = refused("denied", waited.result)
    assert (error.comment, error.request_id) == ("not this month", request_id)
    assert error.retry_after == 0


def test_a_denied_call_that_comes_back_is_told_when_to_ask(tmp_path: Path) -> None:
    with served(tmp_path / "home", cooldown=600) as company, use(guard(company)):
        request_id = park(lambda: transfer(5))
        company.decide("ada", request_id, decision=Decision.DENY, reason="wrong vendor")
        error = refused("denied", lambda: transfer(5))
        assert (error.request_id, error.comment) == (request_id, "wrong vendor")
        assert "ada denied this very call a short time ago: wrong vendor" in error.message
        assert error.place == "cooling_down"
        assert error.retry_after is not None
        assert 500 < error.retry_after <= 600
        assert f"ask again in {error.retry_after} seconds" in error.message


def test_changing_an_argument_meanwhile_changes_nothing(company: Running) -> None:
    """Time of check, time of use: the function gets what was approved, not what it became."""
    words = ["invoice"]

    @guarded(target=TARGET, tool="search")
    def search(words: list[str]) -> None:
        ran.append({"words": words})

    with use(guard(company, client=meddling(company, lambda: words.append("; drop table")))):
        search(words)
    assert ran == [{"words": ["invoice"]}]
    assert words[:2] == ["invoice", "; drop table"]


def test_the_service_going_away_means_that_nothing_runs(company: Running) -> None:
    """Away before, and away between the approval and its being spent."""
    with Client("http://localhost:1", enforcer="gateway", key=company.keys["gateway"]) as nobody:
        with use(guard(company, client=nobody)):
            refused("service_away", balance)
        leaving = meddling(company, lambda: None)
        connected = leaving._transport
        leaving.meanwhile = lambda: setattr(leaving, "_transport", nobody._transport)
        with use(guard(company, client=leaving)):
            refused("service_away", balance)
        connected.close()


def test_what_was_spent_meanwhile_does_not_run(company: Running) -> None:
    """A copy of the approval was spent elsewhere, say by a replay, before this one."""
    guarding = guard(company)
    token = guarding.ask(BALANCE)
    guarding.spend(token, BALANCE)
    with pytest.raises(CallRefused) as error:
        guarding.spend(token, BALANCE)
    assert error.value.reason == "consumed"


@pytest.mark.parametrize(
    ("changes", "call", "reason"),
    [
        ({}, ToolCall(TARGET, "transfer", {"amount": 1, "to": "x"}), "call_mismatch"),
        ({"agent": "another"}, BALANCE, "agent_mismatch"),
        ({"user": "another"}, BALANCE, "user_mismatch"),
        ({"precondition": "v2"}, BALANCE, "precondition"),
        ({"clock": lambda: 0.0}, BALANCE, "not_yet_valid"),
        ({"clock": lambda: 9e9}, BALANCE, "expired"),
    ],
)
def test_an_approval_of_something_else_is_not_spent(
    company: Running, changes: dict[str, Any], call: ToolCall, reason: str
) -> None:
    token = guard(company).ask(BALANCE)
    with pytest.raises(CallRefused) as error:
        Guard(
            company.client(),
            company.verifier(),
            **{"agent": "billing-agent", "user": "uma", **changes},
        ).spend(token, call)
    assert error.value.reason == reason
    guard(company).spend(token, BALANCE)  # it was not spent by the attempt


@pytest.mark.usefixtures("in_use")
@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        {1: 2},
        {"a": object()},
        [float("nan")],
        2**53,
        "\ud800",
        Decimal("1.5"),
        b"bytes",
        [[[[]]] * 2, {"a": {"b": {1}}}],
    ],
)
def test_what_is_not_json_is_refused_before_anything_is_sent(value: object) -> None:
    error = refused("arguments", lambda: transfer(value))  # type: ignore[arg-type]
    assert (error.place or "").startswith("/amount")
    assert "nothing was sent" in error.message


@pytest.mark.usefixtures("in_use")
def test_what_is_too_deep_or_too_large_is_refused_before_anything_is_sent() -> None:
    deep: list[Any] = []
    for _ in range(50):
        deep = [deep]
    endless: list[Any] = []
    endless.append(endless)
    for value in (deep, endless, "x" * 2_000_000):
        refused("arguments", lambda value=value: transfer(1, value))  # type: ignore[misc]


@pytest.mark.usefixtures("in_use")
def test_arguments_that_do_not_fit_the_function_are_its_own_type_error() -> None:
    loose: Callable[..., object] = transfer
    for args, named in (((), {}), ((1, 2, 3), {}), ((1,), {"wrong": 2})):
        with pytest.raises(TypeError):
            loose(*args, **named)
    assert ran == []


def test_a_function_that_cannot_be_guarded_is_found_when_it_is_decorated() -> None:
    def many(*amounts: int) -> None: ...
    def named(**amounts: int) -> None: ...
    def later() -> Iterator[int]:
        yield 1

    for function in (many, named, later):
        with pytest.raises(TypeError):
            guarded(target=TARGET, tool="transfer")(function)
    for target, tool in (("payments", "transfer"), (TARGET, "")):
        with pytest.raises(CallError):
            guarded(target=target, tool=tool)


@pytest.mark.usefixtures("in_use")
def test_every_kind_of_parameter_keeps_its_kind() -> None:
    @guarded(target=TARGET, tool="search")
    def search(words: list[str], /) -> list[str]:
        return words

    @guarded(target=TARGET, tool="search")
    def search_named(*, words: list[str]) -> list[str]:
        return words

    assert search(["a"]) == ["a"]
    assert search_named(words=["a"]) == ["a"]


def test_the_decorator_keeps_the_functions_face() -> None:
    assert (transfer.__name__, transfer.__doc__) == ("transfer", "Move money.")


@pytest.mark.usefixtures("in_use")
def test_a_failure_is_reported_and_passed_on(company: Running) -> None:
    @guarded(target=TARGET, tool="transfer")
    def fails(amount: int, to: str) -> None:
        raise LookupError(f"{amount} {to}")

    request_id = park(lambda: fails(6, "x"))
    company.approve(request_id)
    with pytest.raises(LookupError, match="6 x"):
        fails(6, "x")
    assert outcome(company, request_id) == ("error", None)


@pytest.mark.usefixtures("in_use")
def test_a_result_that_is_not_json_has_no_hash(company: Running) -> None:
    @guarded(target=TARGET, tool="transfer")
    def gives(amount: int, to: str) -> object:
        return {amount: to}

    request_id = park(lambda: gives(7, "x"))
    company.approve(request_id)
    assert gives(7, "x") == {7: "x"}
    assert outcome(company, request_id) == ("ok", None)


def test_a_report_that_fails_does_not_take_the_result_away(
    company: Running, caplog: pytest.LogCaptureFixture
) -> None:
    leaving = meddling(company, lambda: None)

    @guarded(target=TARGET, tool="balance")
    def last_balance() -> int:
        leaving.close()
        return 7

    with use(guard(company, client=leaving)), caplog.at_level(logging.WARNING):
        assert last_balance() == 7
    assert "service_away" in caplog.text


@pytest.mark.usefixtures("in_use")
def test_a_coroutine_function_is_guarded_too(company: Running) -> None:
    def call() -> object:
        return asyncio.run(transfer_async(8))

    request_id = park(call)
    company.approve(request_id)
    assert call() == 8
    assert outcome(company, request_id) == ("ok", canonical.digest(8))


@pytest.mark.usefixtures("in_use")
def test_a_coroutine_that_fails_or_is_cancelled_is_reported(company: Running) -> None:
    @guarded(target=TARGET, tool="transfer")
    async def hangs(amount: int, to: str) -> None:
        ran.append({"amount": amount, "to": to})
        started.set()
        await asyncio.sleep(3_600)

    async def cancel() -> None:
        task = asyncio.ensure_future(hangs(9, "x"))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    request_id = park(lambda: asyncio.run(hangs(9, "x")))
    company.approve(request_id)
    started = asyncio.Event()
    asyncio.run(cancel())
    aftermath.finish()
    assert outcome(company, request_id) == ("error", None)


def test_a_cancelled_wait_goes_at_once_withdraws_and_spends_nothing(company: Running) -> None:
    async def cancel() -> None:
        with use(guard(company, wait=55)):
            task = asyncio.ensure_future(transfer_async(10))
            await asyncio.to_thread(somebody_waits, company)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with use(guard(company)):
        request_id = park(lambda: asyncio.run(transfer_async(10)))
    asyncio.run(cancel())
    aftermath.finish()
    assert company.client().look(request_id) == Cancelled(request_id)
    with use(guard(company)):
        assert park(lambda: asyncio.run(transfer_async(10))) != request_id
    assert ran == []


def test_guards_do_not_leak_between_blocks(company: Running) -> None:
    first = guard(company)
    with use(first):
        with use(first.acting(user="ben")):
            assert refused("policy", balance).place == "user_not_served"
        assert balance() == 7
    ran.clear()
    refused("configuration", balance)


def test_who_is_not_registered_is_named(company: Running) -> None:
    for who, code, named in (
        ({"agent": "nobody"}, "no_agent", "nobody"),
        ({"user": "zoe"}, "no_user", "zoe"),
        ({"user": "ben"}, "user_not_served", "ben"),
    ):
        with use(Guard(company.client(), company.verifier(), **{**WHO, **who})):
            error = refused("policy", balance)
        assert error.place == code
        assert repr(named) in error.message


def test_what_the_service_refuses_is_refused_with_its_code(company: Running) -> None:
    with use(guard(company).acting(task="a\x00b")):
        assert refused("invalid", balance).place == "/task"
    stranger = Client(company.url, enforcer="gateway", key=new_key())
    company.clients.append(stranger)
    with use(guard(company, client=stranger)):
        refused("unauthenticated", balance)


def test_requests_that_end_otherwise_are_refused(company: Running) -> None:
    guarding = guard(company, wait=30)
    with use(guard(company)):
        request_id = park(lambda: transfer(30))
    waited = call_while(company, 30, lambda: company.client().cancel(request_id))
    assert refused("request_cancelled", waited.result).request_id == request_id
    assert guarding.wait == 30
