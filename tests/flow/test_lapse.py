"""An approval ends once: spent or lapsed, whatever comes at the same moment."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from approvals.core import receipt as receipts
from approvals.core.history.leaves import parse_leaf
from approvals.flow import status
from approvals.flow.asking import expire
from approvals.flow.granting import consume

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.service import Running


def test_one_run_catches_up_however_much_has_lapsed(
    running: Running, later: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expire, "BATCH", 3)
    for number in range(10):
        running.submit(f"acc-{number}", tool="balance")
    asked = [running.opened(f"{number}.00") for number in range(1, 8)]
    running.decide("ada", asked[0])
    later(301)
    assert expire.expire(running.service) == 11  # the requests have 15 minutes
    later(900)
    assert expire.expire(running.service) == 6
    assert expire.expire(running.service) == 0


def test_what_is_being_spent_does_not_lapse(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, store = running.service, running.service.store
    request = running.opened("40.00")
    running.decide("ada", request)
    call_hash = status.status(service, running.caller, request).call_hash
    spent, go_on = threading.Event(), threading.Event()
    log_spent = consume._log_spent

    def pausing(*args: Any) -> None:
        spent.set()
        assert go_on.wait(10)
        log_spent(*args)

    monkeypatch.setattr(consume, "_log_spent", pausing)
    with ThreadPoolExecutor(2) as pool:
        spending = pool.submit(
            consume.consume,
            service,
            running.caller,
            "apr_" + request[4:],
            call_hash=call_hash,
            use_id="u",
        )
        assert spent.wait(10)
        honest = store._now
        monkeypatch.setattr(store, "_now", lambda session: honest(session) + 301)
        lapsing = pool.submit(expire.expire, service)
        threading.Event().wait(0.5)  # long enough to get in between, if it can
        go_on.set()
        receipt = receipts.read(spending.result(10), keys=service.keys.jwks(0))
        assert receipt.use_id == "u"
        assert lapsing.result(10) == 0
    with store.read() as tx:
        told = [parse_leaf(each.leaf).event.TYPE for each in tx.log.staged(limit=1000)]
    assert ("approval.consumed" in told, "approval.lapsed" in told) == (True, False)
