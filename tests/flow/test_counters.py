"""Counters are never too low, cost the same however much they counted, and follow from the log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sqlalchemy import func, select, text

from approvals import log
from approvals.flow.asking import expire
from approvals.flow.auditing import audit
from approvals.store.counters import DAY, HOUR, SPANS, buckets_of_call
from approvals.store.rows.calls import CountRow

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.service import Running

START = 1_800_000_000 + 59  # the last second of a minute and of no quarter of an hour


def usage(running: Running) -> tuple[int, ...]:
    with running.service.store.read() as tx:
        counts = tx.counters.usage(
            tenant="default", agent="billing-agent", tool="balance", now=tx.now
        )
    return tuple(counts[name] for name in ("agent_hour", "tool_hour", "agent_day", "tool_day"))


def test_what_counts_and_for_how_long(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    log.sequence(running.service.store, running.service.keys, now=int(time.time()))
    clock = [START]
    monkeypatch.setattr(running.service.store, "_now", lambda _session: clock[0])
    assert usage(running) == (0, 0, 0, 0)
    running.submit("acc-1", tool="balance")
    running.submit("40.00")
    running.submit("200000.00")  # forbidden by a rule: it counts
    running.submit("x", tool="no-such-tool")  # it could not have run
    running.submit("x", tool="balance", user="nobody")
    assert usage(running) == (3, 1, 3, 1)
    for after, counted in (
        (HOUR - 1, (3, 1, 3, 1)),  # within the hour: never too low
        (HOUR + SPANS[HOUR], (0, 0, 3, 1)),  # and at most a minute too long
        (DAY - 1, (0, 0, 3, 1)),
        (DAY + SPANS[DAY], (0, 0, 0, 0)),
    ):
        clock[0] = START + after
        assert usage(running) == counted, after


def test_a_count_reads_no_more_rows_than_a_day_has_buckets(running: Running) -> None:
    with running.service.store.read() as tx:
        now = tx.now
    for begin in range(0, 2 * DAY, 2 * HOUR):  # a transaction has a deadline
        with running.service.store.begin() as tx:
            for second in range(begin, begin + 2 * HOUR, 30):
                tx.counters.add(
                    buckets_of_call(
                        tenant="default", agent="billing-agent", tool="balance", now=now - second
                    )[:2]
                )
    with running.service.store.read() as tx:
        hour, _, day, _ = usage_within(tx, "balance")
        assert HOUR // 30 <= hour <= (HOUR + SPANS[HOUR]) // 30 + 1
        assert DAY // 30 <= day <= (DAY + SPANS[DAY]) // 30 + 1
        rows = tx.session.execute(
            select(func.count()).select_from(CountRow).where(CountRow.start > tx.now - DAY)  # type: ignore[arg-type]
        ).scalar_one()
        assert rows <= DAY // SPANS[HOUR] + DAY // SPANS[DAY] + 2  # whatever was counted


def usage_within(tx: object, tool: str) -> tuple[int, ...]:
    counts = tx.counters.usage(  # type: ignore[attr-defined]
        tenant="default",
        agent="billing-agent",
        tool=tool,
        now=tx.now,  # type: ignore[attr-defined]
    )
    return tuple(counts[name] for name in ("agent_hour", "tool_hour", "agent_day", "tool_day"))


def test_a_counter_that_was_edited_is_found(running: Running) -> None:
    running.submit("acc-1", tool="balance")
    running.submit("acc-2", tool="balance")
    running.submit("40.00")
    running.submit("x", tool="no-such-tool")
    running.submit("200000.00")
    assert audit.audit(running.service) == ()
    for statement in (
        "UPDATE count SET count = count - 1 WHERE counter = 'calls' AND count = 2",
        "DELETE FROM count WHERE counter = 'denied'",
        "UPDATE count SET start = start - 90000",
    ):
        with running.service.store.begin() as tx:
            tx.session.execute(text("CREATE TEMPORARY TABLE was AS SELECT * FROM count"))
            tx.session.execute(text(statement))
        found = audit.audit(running.service)
        assert found, statement
        assert all(it.code == "row_differs" and "counter" in it.place for it in found)
        with running.service.store.begin() as tx:
            tx.session.execute(text("DELETE FROM count"))
            tx.session.execute(text("INSERT INTO count SELECT * FROM was"))
            tx.session.execute(text("DROP TABLE was"))
    assert audit.audit(running.service) == ()


def test_counters_of_the_past_are_forgotten(running: Running, later: Callable[[int], None]) -> None:
    running.submit("acc-1", tool="balance")
    later(DAY)
    running.submit("acc-1", tool="balance")
    later(2 * SPANS[DAY])
    expire.expire(running.service)
    with running.service.store.read() as tx:
        rows = tx.session.execute(select(func.count()).select_from(CountRow)).scalar_one()
    assert rows == 4
    assert usage(running) == (1, 1, 1, 1)
    assert audit.audit(running.service) == ()
