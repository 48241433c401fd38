"""What happens to a guarded call while it waits for people."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from approvals.client import Client
from approvals.guard import use
from tests.guarding import guard, transfer

if TYPE_CHECKING:
    from collections.abc import Callable

    from approvals.client.steps import Plan
    from tests.api.running import Running


def somebody_waits(company: Running) -> None:
    """Return once somebody does; pytest's own time limit is the end of it."""
    while company.app.state.api.waiting.parked == 0:
        time.sleep(0.01)


def call_while(company: Running, amount: int, people_do: Callable[[], object]) -> Future[object]:
    """Make a call that waits, let people do something, and return what became of it."""

    def call() -> object:
        with use(guard(company, wait=55)):
            return transfer(amount)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call)
        somebody_waits(company)
        people_do()
    return waiting


class Meddling(Client):
    """A client of the real service during whose work somebody changes things."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def run(self, plan: Plan[Any]) -> Any:
        answer = super().run(plan)
        self.meanwhile()
        return answer


def meddling(company: Running, meanwhile: Callable[[], object]) -> Meddling:
    client = Meddling(company.url, enforcer="gateway", key=company.keys["gateway"])
    client.meanwhile = meanwhile
    company.clients.append(client)
    return client
