"""Queries that run at every call, every few seconds or at every look at a page use an index.

What they cost then follows from what they ask for, and not from how long the service has run. Each
database says itself how it would look: with so many rows that it would rather read an index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, text

from approvals.store import open_store
from tests.seals import mac

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from approvals.store import Store, Tx

NOW = 1_800_000_000
HOT: dict[str, Callable[[Tx], object]] = {
    "the current bundle": lambda tx: tx.bundles.current("default"),
    "a key known before": lambda tx: tx.verdicts.known_key(tenant="t", enforcer="e", key="k"),
    "the open request of a question": lambda tx: tx.requests.open_with(tenant="t", open_key="k"),
    "what an agent used": lambda tx: tx.counters.usage(tenant="t", agent="a", tool="b", now=NOW),
    "what was denied": lambda tx: tx.counters.denied(tenant="t", enforcer="e", agent="a", now=NOW),
    "counters of the past": lambda tx: tx.counters.forget(now=NOW, limit=10),
    "what an agent has open": lambda tx: tx.attention.open_of(
        tenant="t", enforcer="e", agent="a", target="x", tool="b", now=NOW
    ),
    "what was denied lately": lambda tx: tx.attention.last_denied(
        tenant="t", agent="a", person="p", call_hash="h", since=NOW
    ),
    "what a person was told": lambda tx: tx.notices.told_since(
        tenant="t", person="p", since=NOW, agent="a", enforcer="e"
    ),
    "a spending": lambda tx: tx.approvals.spent(tenant="t", jti="j"),
    "the approval of an occasion": lambda tx: tx.approvals.of(tenant="t", txn="x"),
    "approvals that lapse": lambda tx: tx.approvals.lapsing(now=NOW, limit=10),
    "requests that expire": lambda tx: tx.requests.due(now=NOW, limit=10),
    "requests to follow up": lambda tx: tx.attention.to_follow(now=NOW, limit=10),
    "what is over": lambda tx: tx.people.outlived(now=NOW),
    "notices to deliver": lambda tx: tx.notices.claim(
        channel="email", lease="l", now=NOW, until=NOW, limit=10
    ),
    "notices about a request": lambda tx: tx.notices.of(tenant="t", subject="s"),
    "a person's inbox": lambda tx: tx.lists.asked(tenant="t", person="p", limit=10),
    "a person's own requests": lambda tx: tx.lists.made_for(tenant="t", person="p", limit=10),
    "what an agent asked lately": lambda tx: tx.lists.lately(
        tenant="t", agent="a", before=NOW, besides="r", limit=5
    ),
    "the last one like this": lambda tx: tx.requests.last_approved(
        tenant="t", target="x", tool="b", agent="a", before=NOW, person="p"
    ),
    "votes for figures": lambda tx: tx.attention.votes_since(tenant="t", since=NOW, limit=10),
    "the leaves of a request": lambda tx: tx.log.about(tenant="t", subject="s"),
}
SMALL = {"link_code", "staged", "standing"}
"""Tables that are emptied all the time, or have one row: to read all of them is little."""


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = open_store(database_url, mac=mac)
    yield opened
    opened.close()


@pytest.mark.parametrize("name", HOT)
def test_a_hot_query_reads_no_whole_table(store: Store, name: str) -> None:
    said: list[tuple[str, Any]] = []

    def note(*executed: Any) -> None:
        _, _, statement, parameters, *_ = executed
        if statement.lstrip().upper().startswith(("SELECT", "UPDATE", "DELETE")):
            said.append((statement, parameters))

    with store.begin() as tx:
        connection = tx.session.connection()
        event.listen(connection, "before_cursor_execute", note)
        HOT[name](tx)
        event.remove(connection, "before_cursor_execute", note)
        postgresql = connection.dialect.name == "postgresql"
        if postgresql:
            # Empty tables are read whole whatever there is: say that this is what costs most.
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        explain = "EXPLAIN " if postgresql else "EXPLAIN QUERY PLAN "
        plans = [
            "\n".join(str(row[-1]) for row in connection.exec_driver_sql(explain + query, given))
            for query, given in said
        ]
    assert plans
    mark = "Seq Scan on " if postgresql else "SCAN "
    whole = {
        line.split(mark, 1)[1].split()[0]
        for plan in plans
        for line in plan.splitlines()
        if mark in line and "CONSTANT" not in line
    }
    assert whole <= SMALL, plans
    # An index by the tenant alone leads to all that the tenant ever had; its newest activation is
    # the first that is found so.
    by_tenant = [line for plan in plans for line in plan.splitlines() if "(tenant=?)" in line]
    assert all("activation" in line for line in by_tenant), plans


def test_a_list_reads_none_of_the_long_texts(store: Store) -> None:
    said: list[str] = []
    with store.begin() as tx:
        connection = tx.session.connection()
        event.listen(connection, "before_cursor_execute", lambda *args: said.append(args[2]))
        tx.lists.asked(tenant="t", person="p", limit=10)
        tx.lists.made_for(tenant="t", person="p", limit=10)
        tx.lists.lately(tenant="t", agent="a", before=NOW, besides="r", limit=5)
        tx.attention.votes_since(tenant="t", since=NOW, limit=10)
    assert said
    assert not any("request_text" in statement for statement in said)
