"""The unit of work: what is done in one `with store.begin() as tx:` commits together or not at all.

What holds:
1. A block that raises leaves nothing behind, and nobody is told.
2. Listeners hear of a topic only after the transaction that announced it has committed.
3. A database that is away, full or slow is `Unavailable`: nothing was done. A commit whose answer
   was lost, and of which the database cannot be asked, is `OutcomeUnknown`. A broken promise of the
   schema is neither, and is not hidden.
4. A transaction ends within its deadline, in one of these ways.
5. Nothing is written on a clock that is known to be wrong, and nothing is granted on it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlmodel import Session

from approvals.core.errors import OutcomeUnknown, Unavailable
from approvals.store import deadline, outcome
from approvals.store.accounts import Accounts
from approvals.store.approvals import Approvals
from approvals.store.attention import Attention
from approvals.store.batches import Batches
from approvals.store.bundles import Bundles
from approvals.store.chains import Chains
from approvals.store.clock import Clock
from approvals.store.counters import Counters
from approvals.store.ear import Ear
from approvals.store.ends import Ends
from approvals.store.engine import ASIDE, connect, migrate, opening
from approvals.store.faults import LOST, Failed, fault_of, signature
from approvals.store.health import Health, Recorder
from approvals.store.holdings import Holdings
from approvals.store.leaves import Leaves
from approvals.store.lists import Lists
from approvals.store.notices import Notices
from approvals.store.passkeys import Passkeys
from approvals.store.people import People
from approvals.store.place import Place
from approvals.store.records import Records
from approvals.store.requests import Requests
from approvals.store.seals import Seals
from approvals.store.sqlite import MEMORY, Served
from approvals.store.standing import Standings, establish
from approvals.store.verdicts import Verdicts

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TypeVar

    from sqlalchemy import URL, Engine

    Answer = TypeVar("Answer")

Listener = Callable[[str], None]

ATTEMPTS = 3
"""How often `Store.retry` does a piece of work that the database ended for another one's sake."""

_log = structlog.get_logger(__name__)


class Tx:
    """One transaction: parts that share a session, and `now`, read once from the database."""

    def __init__(self, session: Session, *, now: int) -> None:
        self.session = session
        self.now = now
        self.bundles = Bundles(session)
        self.people = People(session)
        self.passkeys = Passkeys(session)
        self.verdicts = Verdicts(session)
        self.requests = Requests(session)
        self.lists = Lists(session)
        self.attention = Attention(session)
        self.counters = Counters(session)
        self.approvals = Approvals(session)
        self.chains = Chains(session, now=now)
        self.log = Leaves(session)
        self.standing = Standings(session)
        self.notices = Notices(session)
        self.accounts = Accounts(session)
        self.holdings = Holdings(session)
        self.records = Records(session)
        self.announced: list[str] = []

    def announce(self, topic: str) -> None:
        """Tell listeners in every process about `topic` (a request id) once this has committed."""
        if topic not in self.announced:
            self.announced.append(topic)


class Collided(Unavailable):
    """The database ended this transaction to let another go first; `Store.retry` does it again."""


class Store:
    """The database. Made by `open_store`; safe to share between threads."""

    def __init__(
        self,
        engine: Engine,
        *,
        aside: Engine,
        mac: Callable[[bytes], bytes],
        served: Served | None = None,
    ) -> None:
        self._engine = engine
        self.ends = Ends()
        self._info = {"seals": Seals(mac), "ends": self.ends}
        self._aside = aside
        self._served = served
        self._batches: Batches | None = None
        if engine.dialect.name == "sqlite":
            self._batches = Batches(engine.execution_options(writes=True), info=self._info)
            self._readers, self._glances = engine, aside
        else:
            self._readers = engine.execution_options(isolation_level="REPEATABLE READ")
            self._glances = aside.execution_options(isolation_level="REPEATABLE READ")
        self._place = Place.of(engine.url)
        self._listeners: list[Listener] = []
        self._clock = Clock(local=self._batches is not None)
        self._recorder = Recorder()
        self._starting = threading.Lock()
        self._ear: Ear | None = None

    @property
    def url(self) -> URL:
        """Where the database is, with its password: never for a message."""
        return self._engine.url

    @contextlib.contextmanager
    def begin(self, *, any_clock: bool = False) -> Iterator[Tx]:
        """A transaction that may write. Commits at the end of the block.

        `any_clock` lets it write although the clock is known to be wrong: to repair just that.

        Raises:
            Unavailable: the database is away, full or too slow, or its clock is wrong
                (`clock_backwards`, `clock_ahead`). Nothing was done.
            OutcomeUnknown: it was lost while it committed, and does not tell what became of it.
        """
        with (
            self._timed("write"),
            deadline.within(deadline.SECONDS),
            self._translated(writes=True),
        ):
            if self._batches is not None:
                with self._batches.join() as session:
                    tx = Tx(session, now=self._now(session))
                    self._permit(any_clock=any_clock)
                    yield tx
                    tx.chains.settle()
            else:
                with self._session(self._engine) as session:
                    tx = Tx(session, now=self._now(session))
                    self._permit(any_clock=any_clock)
                    yield tx
                    tx.chains.settle()
                    session.flush()
                    self._commit(session, outcome.mark(session, tx.announced))
        self._recorder.committed()
        self.ends.add(tx.chains.settled)
        if self._batches is not None:
            for topic in tx.announced:
                self._tell(topic)

    @contextlib.contextmanager
    def read(self) -> Iterator[Tx]:
        """A transaction that only reads, from one snapshot: what it tells was true at one moment.

        Without that an evidence file could hold a vote and not the event that tells of it. It may
        go on for long, as a check of the whole log does; each of its statements has a deadline.
        No clock is so wrong that nothing can be read.
        """
        with self._timed("read"), self._reading(self._readers) as tx:
            yield tx

    @contextlib.contextmanager
    def glance(self) -> Iterator[Tx]:
        """As `read`, on a few connections of its own and for a short time only.

        For what must be answered while everything else is stuck: probes, keys, the public log.
        """
        with deadline.within(deadline.GLANCE_SECONDS), self._reading(self._glances) as tx:
            yield tx

    def retry(self, work: Callable[[], Answer]) -> Answer:
        """Do `work`, again where the database ended its transaction for the sake of another.

        `work` is a whole use case: it begins its own transaction, and does nothing beside it that
        may not be done twice.
        """
        for attempt in range(1, ATTEMPTS):
            try:
                return work()
            except Collided:
                time.sleep(0.02 * attempt)
        return work()

    def forget_clock(self) -> None:
        """Judge the clock anew, by what the database records now."""
        self._clock.forget()

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(topic)` after each commit that announced one. Returns how to stop.

        On PostgreSQL this hears every process; the listener is called from a thread of the store.
        """
        self._listeners.append(listener)
        with self._starting:
            if self._batches is None and self._ear is None:
                self._ear = Ear(self.url, self._tell)
                self._ear.start()
        return lambda: self._listeners.remove(listener)

    def spent(self) -> dict[str, tuple[int, float]]:
        """How many transactions of each kind there were, and their seconds together."""
        return self._recorder.times()

    @property
    def health(self) -> Health:
        """What was seen of the database lately, without asking it."""
        ear = self._ear
        return self._recorder.snapshot(
            clock=self._clock.trouble,
            listening=ear is None or ear.alive,
            silence=None if ear is None else ear.silence,
        )

    def moved(self) -> Path | None:
        """On SQLite the first of its files that is no longer the one that this process writes."""
        return None if self._place is None else self._place.moved()

    def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._ear is not None:
            self._ear.stop()
        self._engine.dispose()
        self._aside.dispose()
        if self._place is not None:
            self._place.close()
        if self._served is not None:
            self._served.release()
            self._served = None

    def _tell(self, topic: str) -> None:
        # What a listener starts takes its context along, and has nothing to do with our deadline.
        with deadline.within(None):
            for listener in tuple(self._listeners):
                try:
                    listener(topic)
                except Exception as error:  # noqa: BLE001 - the commit stands, and others are told
                    _log.error("listener_failed", error=type(error).__name__)

    def _session(self, engine: Engine) -> Session:
        return Session(engine, expire_on_commit=False, info=self._info)

    @contextlib.contextmanager
    def _timed(self, kind: str) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            self._recorder.spent(kind, time.monotonic() - begun)

    def _now(self, session: Session) -> int:
        return self._clock.read(session)

    def _permit(self, *, any_clock: bool) -> None:
        if not any_clock:
            self._clock.require()

    @contextlib.contextmanager
    def _reading(self, engine: Engine) -> Iterator[Tx]:
        with self._translated(writes=False), self._session(engine) as session:
            session.info["moment"] = self.ends.moment  # before the snapshot is taken
            yield Tx(session, now=self._now(session))

    def _commit(self, session: Session, mark: outcome.Mark) -> None:
        """Commit, or find out what became of it."""
        try:
            session.commit()
        except DBAPIError as error:
            if outcome.is_certain(error):
                raise
            done = outcome.settle(self.url, mark)
            _log.warning("commit_answer_lost", done=done, **signature(error))
            if done is None:
                raise OutcomeUnknown from error
            if not done:
                raise Failed(LOST) from error

    @contextlib.contextmanager
    def _translated(self, *, writes: bool) -> Iterator[None]:
        try:
            yield
        except OutcomeUnknown as error:
            self._recorder.faulted(error.code)
            raise
        except (SQLAlchemyError, OSError, Failed) as error:
            fault = fault_of(error)
            told = signature(error)
            if fault is None:
                _log.error("database_unexpected", **told)
                raise
            if writes and not fault.again and self._recorder.faulted(fault.name):
                _log.warning("database_fault", fault=fault.name, **told)
            kind = Collided if fault.again else Unavailable
            said = f"{fault.sentence}; nothing was done" if writes else fault.sentence
            raise kind(said) from error


def open_store(url: str, *, mac: Callable[[bytes], bytes], serving: bool = False) -> Store:
    """Migrate the database to the newest schema and open it.

    `mac` is the keyring's `seal`: it makes and checks the seals of rows.
    `serving` is for the one process that serves a SQLite file: a second one is refused.

    Raises:
        Unavailable: it cannot be reached, opened or written, or is served by another process.
        AssentError: it cannot be used: `schema_newer`, `database_encoding`.
    """
    engine = connect(url)
    served = None
    if serving and engine.dialect.name == "sqlite" and engine.url.database not in MEMORY:
        served = Served(str(engine.url.database))
    try:
        migrate(url)
        with opening(engine.url):
            establish(engine)
    except BaseException:
        engine.dispose()
        if served is not None:
            served.release()
        raise
    aside = connect(url, size=ASIDE, seconds=deadline.GLANCE_SECONDS)
    return Store(engine, aside=aside, mac=mac, served=served)
