"""Two processes that serve one PostgreSQL database through a network that can fail."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import psycopg

from approvals.flow.operating.activate import activate
from tests import postgres
from tests.crash.processes import free_port, launcher
from tests.faults.clients import TTL
from tests.progress import until
from tests.service import RULES, bundle_files, start
from tests.store.away import relayed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.service import Running
    from tests.store.away import Relay

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
PROCESSES = 2
TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
CANCEL = """
SELECT pg_cancel_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
"""

OWN_CLOCK = """
CREATE TABLE public.hands (seconds float8 NOT NULL);
INSERT INTO public.hands VALUES (0);
CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
  $$ SELECT pg_catalog.clock_timestamp() + make_interval(secs => seconds) FROM public.hands $$;
"""
"""A clock of the database that a test can set, found before the one of PostgreSQL itself."""


@dataclass
class Setting:
    """The processes, what stands under them, and how to break it."""

    running: Running
    url: str
    ports: list[int]
    database: str
    relay: Relay
    launch: list[Callable[[], int]]
    children: list[int]

    def begin(self, process: int) -> None:
        """Start one of the processes."""
        self.children[process] = self.launch[process]()

    def kill(self, process: int) -> None:
        """End one without warning, and start it again."""
        os.kill(self.children[process], signal.SIGKILL)
        self.begin(process)

    def wait_until_served(self) -> None:
        """Until each process answers."""
        for port in self.ports:
            until(lambda port=port: _answers(port, self.url))  # type: ignore[misc]

    def sql(self, statement: str) -> None:
        """On a connection of its own, beside the network that fails."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute(statement.encode())

    def terminate(self) -> None:
        """The administrator ends every connection."""
        self.sql(TERMINATE)

    def cancel_statements(self) -> None:
        """What runs is cancelled, with the SQLSTATE of a statement that took too long."""
        self.sql(CANCEL)

    def cut(self) -> None:
        """The network breaks every connection."""
        self.relay.cut()

    def lose_a_commit(self) -> None:
        """The network lets the next COMMIT through, and not what the server says to it."""

        def lose(sent: bytes) -> bool:
            if COMMIT not in sent:
                return False
            self.relay.on_request = None
            return True

        self.relay.on_request = lose

    def restart(self, mode: str) -> None:
        """The server stops (at once, without a checkpoint: immediate) and starts again."""
        with psycopg.connect(self.database) as connection:
            found = connection.execute("SHOW data_directory").fetchone()
        assert found is not None
        data = Path(found[0])
        control = [str(postgres.programs() / "pg_ctl"), f"--pgdata={data}", "--wait"]
        user = pwd.getpwuid(data.stat().st_uid) if os.geteuid() == 0 else None
        postgres._run(
            [*control, f"--mode={mode}", f"--log={data.parent / 'log'}", "restart"],
            user=user,
            folder=data.parent,
        )

    def set_clock(self, seconds: float) -> None:
        """The database's clock is so many seconds ahead from now on."""
        self.sql(f"UPDATE public.hands SET seconds = {seconds}")  # noqa: S608 - a number


def _answers(port: int, url: str) -> bool:
    host = {"Host": url.removeprefix("http://")}
    try:
        answer = httpx2.get(f"http://127.0.0.1:{port}/healthz", headers=host, timeout=30)
    except httpx2.HTTPError:
        return False
    return answer.status_code == 200


@contextlib.contextmanager
def served(folder: Path, database: str, *, own_clock: bool = False) -> Iterator[Setting]:
    """Two processes on an empty database; small transfers wait for `TTL` seconds only."""
    ports = [free_port() for _ in range(PROCESSES)]
    url = f"http://localhost:{ports[0]}"
    if own_clock:
        name = database.rsplit("/", 1)[1]
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(OWN_CLOCK.encode())
            connection.execute(
                f"ALTER DATABASE {name} SET search_path = public, pg_catalog".encode()
            )
    running = start(folder, database, url=url)
    head, small = RULES.split('@id("small-transfers")')
    rules = head + '@id("small-transfers")' + small.replace('@ttl("15m")', f'@ttl("{TTL}s")', 1)
    files = bundle_files(running.enforcer_key.public_jwk(), policies_payments_cedar=rules)
    activate(running.service, tenant="default", files=files, by="ops")
    with contextlib.ExitStack() as stack:
        relay, through = stack.enter_context(relayed(database))
        launchers = [
            stack.enter_context(
                launcher("tests.crash.launcher", str(folder / "assent"), through, url, str(port))
            )
            for port in ports
        ]
        setting = Setting(running, url, ports, database, relay, launchers, [0] * PROCESSES)
        for process in range(PROCESSES):
            setting.begin(process)
        setting.wait_until_served()
        yield setting
        relay.on_request = None
    running.service.store.close()
