"""Guarded functions to try, and what is asked of them again and again."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, cast

import pytest

from approvals.guard import CallParked, CallRefused, Guard, Spent, guarded, use
from tests.api.running import TARGET, Running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from approvals.client import Client
    from approvals.core.calls import ToolCall

ran: list[dict[str, Any]] = []


@guarded(target=TARGET, tool="balance")
def balance() -> int:
    ran.append({})
    return 7


@guarded(target=TARGET, tool="transfer")
def transfer(amount: int, to: str = "vendor@example.com") -> dict[str, Any]:
    """Move money."""
    ran.append({"amount": amount, "to": to})
    return {"moved": amount}


@guarded(target=TARGET, tool="wipe")
def wipe() -> None:
    ran.append({"wiped": True})


@guarded(target=TARGET, tool="transfer")
async def transfer_async(amount: int, to: str = "vendor@example.com") -> int:
    await asyncio.sleep(0)
    ran.append({"amount": amount, "to": to})
    return amount


def guard(company: Running, *, client: Client | None = None, **options: Any) -> Guard:
    return Guard(
        client or company.client(),
        company.verifier(),
        agent="billing-agent",
        user="uma",
        **{"wait": 0, **options},
    )


def park(call: Callable[[], object]) -> str:
    """Make a call that has to wait, and return its request."""
    with pytest.raises(CallParked) as parked:
        call()
    assert ran == []
    assert parked.value.request_id in parked.value.url
    return parked.value.request_id


def outcome(company: Running, request_id: str) -> tuple[str, str | None]:
    jti = request_id.replace("req_", "apr_").replace("vrd_", "apr_")
    with company.service.store.read() as tx:
        told = tx.approvals.outcome(tenant="default", jti=jti)
    assert told is not None
    return told.status, told.output_hash


def refused(reason: str, call: Callable[[], object]) -> CallRefused:
    with pytest.raises(CallRefused) as error:
        call()
    assert error.value.reason == error.value.code == reason
    assert ran == []
    return error.value


class Recording:
    """Lets every call run as a guard would, and remembers what would have been approved."""

    def __init__(self) -> None:
        self.args: list[dict[str, Any]] = []
        self.reports: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def ask(self, call: ToolCall) -> str:
        self.args.append(dict(call.args))
        self.meanwhile()
        return "token"

    def spend(self, token: str, call: ToolCall) -> Spent:
        assert (token, dict(call.args)) == ("token", self.args[-1])
        return Spent("apr_x", "hash")

    def report_ok(self, spent: Spent, output: object) -> None:
        del spent, output
        self.reports.append("ok")

    def report_error(self, spent: Spent) -> None:
        del spent
        self.reports.append("error")

    async def ask_async(self, call: ToolCall) -> str:
        return self.ask(call)

    async def spend_async(self, token: str, call: ToolCall) -> Spent:
        return self.spend(token, call)

    async def report_ok_async(self, spent: Spent, output: object) -> None:
        self.report_ok(spent, output)

    async def report_error_async(self, spent: Spent) -> None:
        self.report_error(spent)


@contextlib.contextmanager
def recording() -> Iterator[Recording]:
    made = Recording()
    with use(cast("Guard", made)):
        yield made
