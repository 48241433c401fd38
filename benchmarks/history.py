"""What a call, a look at the inbox and a job cost after 1,000 past calls, and after 100,000.

The bundle has both things that count: an agent with `limits` and a rule that looks at `usage`. The
history is written into the tables in bulk, sealed as the service seals it: calls of the last day,
most of them spent, some lapsed, and requests that were decided, with their seats, votes and
notices. Both services are asked in turns, so that a machine that is busy for a while slows both.

`ratio` is the time after the short history by that after the long one: 1 where history costs
nothing.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import insert
from sqlmodel import select

from approvals.flow.asking import expire
from approvals.flow.asking.answers import Allowed, Opened
from approvals.flow.deciding import look
from approvals.flow.granting import consume
from approvals.flow.integrity.rounds import sequence
from approvals.flow.operating.activate import activate
from approvals.flow.telling import follow
from approvals.store.counters import CALLS, buckets_of_call
from approvals.store.notices import NEVER
from approvals.store.rows.calls import (
    ApprovalRow,
    CountRow,
    RequestRow,
    RequestTextRow,
    SeatRow,
    SpendRow,
    VerdictRow,
    VoteRow,
)
from approvals.store.rows.notices import NoticeRow
from approvals.store.seals import with_seal
from benchmarks.servers import databases
from tests.service import AGENTS, PEOPLE, RULES, bundle_files, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlmodel import SQLModel

    from approvals.store import Tx
    from tests.service import Running

SHORT, LONG = 1_000, 100_000
ASKED: Final = 10  # of so many calls one was put to people
DAY: Final = 86_400
ROUNDS = 60
BATCH: Final = 1_000
AIM = 0.6

USAGE_RULE = """
@id("not-too-many")
forbid (principal, action, resource)
when { context.usage.tool_day >= 10000000 };
"""


def run() -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    for counted in ("limits", "usage rules"):
        for kind in ("SQLite", "PostgreSQL"):
            with (
                tempfile.TemporaryDirectory() as one,
                tempfile.TemporaryDirectory() as other,
                databases(Path(one)) as short,
                databases(Path(other)) as long,
            ):
                services = [
                    _service(Path(one), short[kind], SHORT, counted),
                    _service(Path(other), long[kind], LONG, counted),
                ]
                results += _compare(services, f"{kind}, {counted}")
                for service in services:
                    service.service.store.close()
    return results


def _service(folder: Path, database: str, history: int, counted: str) -> Running:
    running = start(folder, database, people=("ada", "ben"))
    limited = AGENTS.rstrip() + "\n    limits: {calls_per_day: 1000000}\n"
    files = bundle_files(
        running.enforcer_key.public_jwk(),
        people_yaml=PEOPLE.replace("Ada Okafor}", "Ada Okafor, email: ada@example.com}"),
        agents_yaml=limited,
        policies_payments_cedar=RULES + (USAGE_RULE if counted == "usage rules" else ""),
    )
    activate(running.service, tenant="default", files=files, by="ops")
    _fill(running, history)
    return running


def _compare(services: list[Running], where: str) -> list[dict[str, Any]]:
    work: dict[str, Callable[[Running, int], object]] = {
        "a call that policy allows": _allowed,
        "a call that opens a request": _opened,
        "a call submitted and spent": _spent,
        "a look at the inbox": lambda it, _: look.inbox(it.service, it.session("ada")),
        "the jobs, with nothing due": lambda it, _: _jobs(it),
    }
    results = []
    for name, job in work.items():
        for service in services:  # nothing is granted while events wait too long for their place
            sequence(service.service)
        times: list[list[float]] = [[], []]
        for number in range(-5, ROUNDS):
            for each, service in enumerate(services):
                gc.collect(0)
                begun = time.perf_counter()
                job(service, number)
                if number >= 0:  # the first ones warm caches up
                    times[each].append(time.perf_counter() - begun)
        short, long = (1000 * statistics.median(each) for each in times)
        results.append(
            {
                "name": f"{name} ({where})",
                "ratio": round(short / long, 2),
                "aim": AIM,
                "meets": short / long >= AIM,
                f"ms_after_{SHORT}": round(short, 2),
                f"ms_after_{LONG}": round(long, 2),
            }
        )
    return results


def _allowed(running: Running, number: int) -> Allowed:
    answer = running.submit(f"new-{number}", tool="balance")
    if not isinstance(answer, Allowed):
        raise TypeError(answer)
    return answer


def _opened(running: Running, number: int) -> None:
    answer = running.submit(f"{number + 100}.00")
    if not isinstance(answer, Opened):
        raise TypeError(answer)


def _spent(running: Running, number: int) -> None:
    allowed = running.submit(f"spent-{number}", tool="balance")
    with running.service.store.read() as tx:
        approval = tx.approvals.of(tenant="default", txn=allowed.id)
    if approval is None:
        raise TypeError(allowed)
    consume.consume(
        running.service, running.caller, approval.jti, call_hash=approval.call_hash, use_id="u"
    )


def _jobs(running: Running) -> None:
    expire.expire(running.service)
    follow.follow(running.service)
    with running.service.store.begin() as tx:
        tx.notices.claim(channel="email", lease="w", now=tx.now, until=tx.now + 1, limit=100)


# -- history --------------------------------------------------------------------------------------


def _fill(running: Running, history: int) -> None:
    """Copy one real call of each kind until there are `history` of them, spread over a day."""
    allowed = _allowed(running, -100)
    _spent(running, -100)
    request = running.opened("40.00")
    running.decide("ada", request)
    with running.service.store.begin() as tx:
        model: dict[type[Any], dict[str, Any]] = {
            VerdictRow: _one(tx, VerdictRow, id=allowed.id),
            ApprovalRow: _one(tx, ApprovalRow, txn=allowed.id),
            SpendRow: _one(tx, SpendRow),
            RequestRow: _one(tx, RequestRow, id=request),
            RequestTextRow: _one(tx, RequestTextRow, request=request),
            SeatRow: _one(tx, SeatRow, request=request, person="ada"),
            VoteRow: _one(tx, VoteRow, request=request),
            NoticeRow: _one(tx, NoticeRow),
        }
        now = tx.now
        # So that what is due in a minute is not what is measured.
        tx.session.execute(NoticeRow.__table__.update().values(sent=1, next_try=NEVER))  # type: ignore[attr-defined]
    for begin in range(0, history, BATCH):
        rows: dict[type[Any], list[dict[str, Any]]] = {row: [] for row in model}
        numbers = range(begin, min(begin + BATCH, history))
        with running.service.store.begin() as tx:
            for row, values in _copies(model, numbers, history, now):
                sealed = hasattr(row, "seal")
                rows[row].append(with_seal(tx.session, row, values) if sealed else values)
            for row, many in rows.items():
                if many:
                    tx.session.connection().execute(insert(row), many)
    counts: Counter[Any] = Counter()
    for number in range(history):
        counts.update(
            buckets_of_call(
                tenant="default",
                agent="billing-agent",
                tool="balance",
                now=now - number * DAY // history,
            )
        )
    with running.service.store.begin() as tx:
        tx.session.execute(CountRow.__table__.delete().where(CountRow.counter == CALLS))  # type: ignore[attr-defined]
        tx.session.execute(
            insert(CountRow),
            [
                {name: getattr(bucket, name) for name in type(bucket).__slots__} | {"count": count}
                for bucket, count in counts.items()
            ],
        )


def _one(tx: Tx, row: type[SQLModel], **which: str) -> dict[str, Any]:
    found = tx.session.exec(select(row).filter_by(**which)).first()
    if found is None:
        raise LookupError(row.__name__)
    return {name: value for name, value in found.model_dump().items() if name != "seal"}


def _copies(
    model: dict[type[Any], dict[str, Any]], numbers: range, history: int, now: int
) -> Iterator[tuple[type[Any], dict[str, Any]]]:
    for number in numbers:
        created = now - 3600 - number * (DAY - 3600) // history
        aged = {"created": created}
        name = f"h{number}"
        if number % ASKED:
            txn, jti = f"vrd_{name}", f"apr_{name}"
            yield VerdictRow, {**model[VerdictRow], **aged, "id": txn}
            over = {"expires": created + 300, "lapse_at": None}
            lapsed = {"state": "lapsed" if number % 4 == 1 else "live"}
            yield (
                ApprovalRow,
                {**model[ApprovalRow], **aged, **over, **lapsed, "jti": jti, "txn": txn},
            )
            if number % 4 != 1:
                yield SpendRow, {**model[SpendRow], **aged, "jti": jti}
            continue
        request = {"request": f"req_{name}"}
        text = model[RequestTextRow]["document"]
        document = orjson.loads(text) | {"nonce": name}
        gone = {
            "open_key": None,
            "follow_at": None,
            "decided": created + 60,
            "expires": created + 900,
        }
        yield RequestRow, {**model[RequestRow], **aged, **gone, "id": f"req_{name}"}
        yield (
            RequestTextRow,
            {**model[RequestTextRow], **request, "document": orjson.dumps(document).decode()},
        )
        yield SeatRow, {**model[SeatRow], **aged, **request}
        yield VoteRow, {**model[VoteRow], **request, "created": created + 60}
        told = {
            "sent": 2,
            "revision": 2,
            "next_try": NEVER,
            "due": created,
            "subject": f"req_{name}",
        }
        yield NoticeRow, {**model[NoticeRow], **aged, **told, "id": f"ntc_{name}"}
