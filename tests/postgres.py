"""A throwaway PostgreSQL cluster: the real server, on a free port, gone when the tests are.

It keeps PostgreSQL's own defaults for what a commit means, because tests that kill the service or
the server ask what the database still knows; but no test takes the machine's power away, so nothing
waits for the disk (fsync off). Nobody but this machine reaches it:
it listens on the loopback address and on a socket in a folder of its own.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shlex
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNER = "assent"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "fsync": "off",
    "shared_buffers": "64MB",
    "logging_collector": "off",
    "log_min_messages": "error",
}


def programs() -> Path:
    """The folder with initdb and postgres: the newest of those that are installed."""
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: int(path.parts[-3].split(".")[0]),
    )
    if installed:
        return installed[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None:
        raise FileNotFoundError("PostgreSQL is not installed: make test installs it, or says how")
    return Path(on_path).resolve().parent


@contextlib.contextmanager
def cluster() -> Iterator[str]:
    """Starts a cluster and yields the URL of its maintenance database; stops and removes it."""
    # Under /tmp, because the path of a socket may be no longer than 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="assent-pg-", dir="/tmp"))
    try:
        with _running(folder) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # there only when it never started


@contextlib.contextmanager
def _running(folder: Path) -> Iterator[str]:
    bin_folder = programs()
    user = _unprivileged(folder)
    data = folder / "data"
    _run(
        [
            str(bin_folder / "initdb"),
            f"--pgdata={data}",
            f"--username={OWNER}",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
        ],
        user=user,
        folder=folder,
    )
    port = _free_port()
    settings = {**SETTINGS, "port": str(port), "unix_socket_directories": str(folder)}
    with (data / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    control = [str(bin_folder / "pg_ctl"), f"--pgdata={data}", "--wait"]
    _run([*control, f"--log={folder / 'log'}", "start"], user=user, folder=folder)
    stop = shlex.join([*control, "--mode=immediate", "stop"])
    # The server stops when this pipe closes: at the end, and also when the tests are killed.
    with subprocess.Popen(  # noqa: S602 - a constant program over paths made here
        f"cat; {stop}; cd / && {shlex.join(['rm', '-r', str(folder)])}",
        shell=True,
        cwd=folder,
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ):
        yield f"postgresql://{OWNER}@127.0.0.1:{port}/postgres"


@contextlib.contextmanager
def database(url: str, *, template: str | None = None) -> Iterator[str]:
    """Creates a database in the cluster at url, yields its URL and drops it.

    It is empty, or a copy of the database whose URL is `template`.
    """
    name = "t" + secrets.token_hex(8)
    original = "template1" if template is None else template.rsplit("/", 1)[1]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(original)
            )
        )
    try:
        yield url.rsplit("/", 1)[0] + "/" + name
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )


class Reused:
    """One database that test after test is given, each time as its template is.

    To empty its tables takes a tenth of the time that a new database takes. A test that changed the
    tables themselves leaves it to be made anew.
    """

    def __init__(self, cluster: str, template: str) -> None:
        self._cluster, self._template = cluster, template
        with psycopg.connect(template) as connection:
            self._shape = _shape(connection)
            self._rows = {table: _rows(connection, table) for table in _tables(connection)}
        self._made = contextlib.ExitStack()
        self._url: str | None = None

    def close(self) -> None:
        """Drop the database."""
        self._made.close()

    @contextlib.contextmanager
    def lent(self) -> Iterator[str]:
        """The URL of the database, for one test."""
        if self._url is None:
            self._url = self._made.enter_context(database(self._cluster, template=self._template))
        try:
            yield self._url
        finally:
            if not self._emptied(self._url):
                self._made.close()
                self._url = None

    def _emptied(self, url: str) -> bool:
        """Put back what the template holds; false where the tables are not what they were."""
        with psycopg.connect(self._cluster, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                [url.rsplit("/", 1)[1]],
            )
        try:
            with psycopg.connect(url) as connection:
                if _shape(connection) != self._shape:
                    return False
                tables = sql.SQL(", ").join(map(sql.Identifier, self._rows))
                connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(tables))
                for table, rows in self._rows.items():
                    for row in rows:
                        connection.execute(
                            sql.SQL("INSERT INTO {} OVERRIDING SYSTEM VALUE VALUES ({})").format(
                                sql.Identifier(table),
                                sql.SQL(", ").join([sql.Placeholder()] * len(row)),
                            ),
                            row,
                        )
        except psycopg.Error:  # a test took a right away, or the database
            return False
        return True


def _tables(connection: psycopg.Connection) -> list[str]:
    found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return [name for (name,) in found]


def _rows(connection: psycopg.Connection, table: str) -> list[tuple[object, ...]]:
    return connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))).fetchall()


def _shape(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    """All that says what the database is made of, without its rows."""
    return connection.execute(
        r"""
        SELECT c.oid::regclass::text, c.relkind::text, c.relacl::text, a.attname::text,
               format_type(a.atttypid, a.atttypmod), a.attnotnull,
               pg_get_expr(d.adbin, d.adrelid), a.attacl::text
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
         WHERE n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
        UNION ALL SELECT conname::text, pg_get_constraintdef(oid), NULL, NULL, NULL, NULL, NULL,
               NULL
          FROM pg_constraint
        UNION ALL SELECT indexdef, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM pg_indexes
         WHERE schemaname = 'public'
        UNION ALL SELECT tgname::text, pg_get_triggerdef(oid), tgenabled::text, NULL, NULL, NULL,
               NULL, NULL
          FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT nspname::text, nspacl::text, NULL, NULL, NULL, NULL, NULL, NULL
          FROM pg_namespace WHERE nspname NOT LIKE 'pg\_%'
        UNION ALL SELECT s.setconfig::text, NULL, NULL, NULL, NULL, NULL, NULL, NULL
          FROM pg_db_role_setting s JOIN pg_database b ON b.oid = s.setdatabase
         WHERE b.datname = current_database()
         ORDER BY 1, 2, 3, 4, 5, 6, 7, 8
        """
    ).fetchall()


def _unprivileged(folder: Path) -> pwd.struct_passwd | None:
    """Who runs it when root may not: postgres or nobody, who becomes the folder's owner."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        os.chown(folder, user.pw_uid, user.pw_gid)
        return user
    raise LookupError("running as root, and there is neither a user postgres nor nobody")


def _run(command: list[str], *, user: pwd.struct_passwd | None, folder: Path) -> None:
    # Said to a file and not to a pipe: the server that pg_ctl leaves running would hold it open.
    said = folder / "said"
    with said.open("wb") as output:
        result = subprocess.run(  # noqa: S603 - programs of the installed PostgreSQL
            command,
            cwd=folder,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
            env={"PATH": os.defpath, "LC_ALL": "C", "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if result.returncode != 0:
        text = said.read_text("utf-8", "replace")
        raise RuntimeError(f"{Path(command[0]).name} failed:\n{text}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
