"""The unit of work: what is done in one `with store.begin() as tx:` commits together or not at all.

What holds:
1. A block that raises leaves nothing behind, and nobody is told.
2. Listeners hear of a topic only after the transaction that announced it has committed.
3. A database that is away or full is `Unavailable`; a broken promise of the schema is not hidden.
4. Time never runs backwards by more than the permitted skew while the process lives, and not below
   the last checkpoint: then no transaction begins, so nothing can be granted on a wrong clock.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import psycopg
import structlog
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import Session

from approvals.core.errors import Unavailable
from approvals.store.accounts import Accounts
from approvals.store.approvals import Approvals
from approvals.store.attention import Attention
from approvals.store.batches import Batches
from approvals.store.bundles import Bundles
from approvals.store.clock import Clock
from approvals.store.engine import connect, migrate
from approvals.store.leaves import Leaves
from approvals.store.notices import Notices
from approvals.store.people import People
from approvals.store.place import Place
from approvals.store.requests import Requests
from approvals.store.seals import Seals
from approvals.store.standing import Standings, establish

if TYPE_CHECKING:
    from pathlib import Path

Listener = Callable[[str], None]

CHANNEL = "assent"
_NOTIFY = text("SELECT pg_notify(:channel, :topic)")
_log = structlog.get_logger(__name__)


class Tx:
    """One transaction: parts that share a session, and `now`, read once from the database."""

    def __init__(self, session: Session, *, now: int) -> None:
        self.session = session
        self.now = now
        self.bundles = Bundles(session)
        self.people = People(session)
        self.requests = Requests(session)
        self.attention = Attention(session)
        self.approvals = Approvals(session)
        self.log = Leaves(session, now=now)
        self.standing = Standings(session)
        self.notices = Notices(session)
        self.accounts = Accounts(session)
        self.announced: list[str] = []

    def announce(self, topic: str) -> None:
        """Tell listeners in every process about `topic` (a request id) once this has committed."""
        if topic not in self.announced:
            self.announced.append(topic)


class Store:
    """The database. Made by `open_store`; safe to share between threads."""

    def __init__(self, engine: Engine, *, mac: Callable[[bytes], bytes]) -> None:
        self._engine = engine
        self._info = {"seals": Seals(mac)}
        self._batches: Batches | None = None
        if engine.dialect.name == "sqlite":
            self._batches = Batches(engine.execution_options(writes=True), info=self._info)
            self._readers = engine
        else:
            self._readers = engine.execution_options(isolation_level="REPEATABLE READ")
        self._place = Place.of(engine.url)
        self._listeners: list[Listener] = []
        self._clock = Clock(local=self._batches is not None)
        self._closing = threading.Event()
        self._hearing = threading.Event()
        self._ear: threading.Thread | None = None

    @contextlib.contextmanager
    def begin(self) -> Iterator[Tx]:
        """A transaction that may write. Commits at the end of the block.

        Raises:
            Unavailable: the database is away, full or too busy, or its clock ran backwards.
        """
        with self._translated():
            if self._batches is not None:
                with self._batches.join() as session:
                    tx = Tx(session, now=self._now(session))
                    yield tx
                    tx.log.settle()
            else:
                with self._session(self._engine) as session, session.begin():
                    tx = Tx(session, now=self._now(session))
                    yield tx
                    tx.log.settle()
                    for topic in tx.announced:
                        session.execute(_NOTIFY, {"channel": CHANNEL, "topic": topic})
        if self._batches is not None:
            for topic in tx.announced:
                self._tell(topic)

    @contextlib.contextmanager
    def read(self) -> Iterator[Tx]:
        """A transaction that only reads, from one snapshot: what it tells was true at one moment.

        Without that an evidence file could hold a vote and not the event that tells of it.
        """
        with self._translated(), self._session(self._readers) as session:
            yield Tx(session, now=self._now(session))

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener(topic)` after each commit that announced one. Returns how to stop.

        On PostgreSQL this hears every process; the listener is called from a thread of the store.
        """
        self._listeners.append(listener)
        if self._batches is None and self._ear is None:
            self._ear = threading.Thread(target=self._hear, name="assent-listen", daemon=True)
            self._ear.start()
        return lambda: self._listeners.remove(listener)

    def moved(self) -> Path | None:
        """On SQLite the first of its files that is no longer the one that this process writes."""
        return None if self._place is None else self._place.moved()

    def close(self) -> None:
        """Stop listening and drop every connection."""
        self._closing.set()
        if self._ear is not None:
            self._ear.join(timeout=5)
        self._engine.dispose()
        if self._place is not None:
            self._place.close()

    def _tell(self, topic: str) -> None:
        for listener in tuple(self._listeners):
            listener(topic)

    def _hear(self) -> None:
        """Hear NOTIFY on a connection of its own. A gap is answered by telling everyone to look."""
        url = self._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        while not self._closing.is_set():
            try:
                with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._hearing.set()
                    self._tell("")  # what was announced while nobody listened cannot be known
                    while not self._closing.is_set():
                        for notice in connection.notifies(timeout=1.0):
                            self._tell(notice.payload)
            except psycopg.Error as error:
                _log.warning("listen_interrupted", error=type(error).__name__)
                self._closing.wait(1.0)

    def _session(self, engine: Engine) -> Session:
        return Session(engine, expire_on_commit=False, info=self._info)

    def _now(self, session: Session) -> int:
        return self._clock.read(session)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, PoolTimeout) as error:
            raise Unavailable("the database cannot be used right now") from error
        except DBAPIError as error:
            if error.connection_invalidated:
                raise Unavailable("the connection to the database was lost") from error
            raise


def open_store(url: str, *, mac: Callable[[bytes], bytes]) -> Store:
    """Migrate the database to the newest schema and open it.

    `mac` is the keyring's `seal`: it makes and checks the seals of rows.

    Raises:
        Unavailable: it cannot be reached, opened or written.
    """
    try:
        migrate(url)
    except (OperationalError, PoolTimeout) as error:
        said = " ".join(str(error.args[0]).split())
        raise Unavailable(f"the database cannot be opened: {said}") from error
    except SQLAlchemyError as error:
        raise Unavailable(f"the database cannot be migrated: {type(error).__name__}") from error
    engine = connect(url)
    establish(engine)
    return Store(engine, mac=mac)
