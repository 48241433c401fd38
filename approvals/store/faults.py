"""What went wrong with the database, in one sentence: the only place that reads its errors.

PostgreSQL's errors are told apart by SQLSTATE (appendix A of its manual), SQLite's by result code
(https://sqlite.org/rescode.html), the operating system's by being `OSError`.

What holds:
1. `fault_of` knows every error that says that the database cannot be used now. The transaction was
   rolled back or never began: nothing was done, and the caller may ask again.
2. What it does not know is a bug of ours, such as a broken constraint. It is not hidden.
3. No sentence holds a value, a statement, or what the driver said: a driver quotes passwords that
   it cannot read, and a server quotes rows.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

import psycopg
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy.exc import DBAPIError, DisconnectionError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from approvals.store import deadline


@dataclass(frozen=True, slots=True)
class Fault:
    """Why the database cannot be used: a name for logs and metrics, a sentence for people.

    `again`: the database ended this transaction to let another go first. The same work, done again
    at once, is likely to succeed.
    """

    name: str
    sentence: str
    again: bool = False


AWAY: Final = Fault("away", "the database cannot be reached")
LOST: Final = Fault("lost", "the connection to the database was lost")
SLOW: Final = Fault("slow", "the database did not answer in time")
LOCKED: Final = Fault("locked", "the database is locked by another process or transaction")
POOL: Final = Fault("pool", "all of this process's connections to the database are in use")
READ_ONLY: Final = Fault("read_only", "the database is read-only: nothing can be written")
FULL: Final = Fault("full", "the database's disk is full")
CROWDED: Final = Fault("crowded", "the database has no connection left (max_connections)")
STOPPING: Final = Fault("stopping", "the database is being stopped")
STARTING: Final = Fault("starting", "the database is starting and takes no connections yet")
COLLIDED: Final = Fault("collided", "another transaction came first", again=True)
BATCH: Final = Fault(
    "batch", "a transaction that was to be committed together with this one failed", again=True
)
RESOURCES: Final = Fault("resources", "the database has run out of memory or another resource")
DISK: Final = Fault("disk", "the database's disk or file system reports an error")
DAMAGED: Final = Fault("damaged", "the database is damaged: restore it from a backup")
SIGN_IN: Final = Fault("sign_in", "the database refuses the user name or password")
NO_DATABASE: Final = Fault("no_database", "there is no database of that name on the server")
NO_SCHEMA: Final = Fault("no_schema", "the database has no schema to use: look at its search_path")
FORBIDDEN: Final = Fault("forbidden", "the database's user lacks a permission that is needed")
TABLES: Final = Fault("tables", "the tables are missing or of another version")
OPTIONS: Final = Fault("options", "the server refuses options= of the URL, or PGOPTIONS")
NO_HOST: Final = Fault("no_host", "the database server's host name is not known")
TLS: Final = Fault("tls", "no TLS connection to the database could be made (sslmode)")
CANNOT_OPEN: Final = Fault("cannot_open", "the database file cannot be opened")

_STATES: Final[dict[str, Fault]] = {
    "25006": READ_ONLY,
    "25P03": SLOW,  # idle_in_transaction_session_timeout
    "25P04": SLOW,  # transaction_timeout
    "3D000": NO_DATABASE,
    "3F000": NO_SCHEMA,
    "42501": FORBIDDEN,
    "42P01": TABLES,
    "42703": TABLES,
    "53100": FULL,
    "53300": CROWDED,
    "55006": LOCKED,
    "55P03": LOCKED,  # lock_timeout
    "57014": SLOW,  # statement_timeout, or cancelled by hand
    "57P01": STOPPING,
    "57P02": STOPPING,
    "57P03": STARTING,
    "57P04": NO_DATABASE,
    "57P05": LOST,  # idle_session_timeout
    "58P01": DAMAGED,
    "58P02": DAMAGED,
    "XX001": DAMAGED,
    "XX002": DAMAGED,
}
_CLASSES: Final[dict[str, Fault]] = {
    "08": LOST,
    "28": SIGN_IN,
    "40": COLLIDED,
    "53": RESOURCES,
    "57": STOPPING,
    "58": DISK,
    "F0": DAMAGED,
}
_RESULTS: Final[dict[int, Fault]] = {
    3: FORBIDDEN,  # SQLITE_PERM
    5: LOCKED,  # SQLITE_BUSY
    6: LOCKED,  # SQLITE_LOCKED
    7: RESOURCES,  # SQLITE_NOMEM
    8: READ_ONLY,
    9: SLOW,  # SQLITE_INTERRUPT
    10: DISK,  # SQLITE_IOERR
    11: DAMAGED,  # SQLITE_CORRUPT
    13: FULL,
    14: CANNOT_OPEN,
    15: LOCKED,  # SQLITE_PROTOCOL: the locks of the write-ahead log
    22: DISK,  # SQLITE_NOLFS
    23: FORBIDDEN,  # SQLITE_AUTH
    26: DAMAGED,  # SQLITE_NOTADB
}
_REFUSALS: Final = (
    ("resolve host", NO_HOST),
    ("too many clients", CROWDED),
    ("too many connections", CROWDED),
    ("connection slots", CROWDED),
    ("no more connections allowed", CROWDED),  # pgbouncer
    ("starting up", STARTING),
    ("not yet accepting", STARTING),
    ("recovery", STARTING),
    ("shutting down", STOPPING),
    ("password", SIGN_IN),
    ("authentication", SIGN_IN),
    ("pg_hba.conf", SIGN_IN),
    ("role", SIGN_IN),
    ("no such user", SIGN_IN),  # pgbouncer
    ("no such database", NO_DATABASE),  # pgbouncer
    ("database", NO_DATABASE),
    ("configuration parameter", OPTIONS),
    ("startup parameter", OPTIONS),  # pgbouncer
    ("command-line argument", OPTIONS),
    ("could not translate host name", NO_HOST),
    ("name or service not known", NO_HOST),
    ("certificate", TLS),
    ("ssl", TLS),
)
"""Words in which a server or a pooler refuses a connection, the first that fits. Another language
than English is `AWAY`.
"""

_DEEPEST: Final = 8
_PRIMARY: Final = 0xFF
"""The part of an extended SQLite result code that is the primary one."""


class Failed(Exception):  # noqa: N818 - turned into the error that callers see by the transaction
    """The database failed, and it was this room that saw it; nothing was done."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.name)
        self.fault = fault


def fault_of(error: BaseException) -> Fault | None:
    """The fault that `error` tells of, or None: then it is not the database that failed.

    An error while rolling back hides the one that it was rolled back for. So where an error says
    nothing, the one before it is asked.
    """
    told: BaseException | None = error
    for _ in range(_DEEPEST):
        if told is None:
            return None
        found = _fault(told)
        if found is not None:
            return found
        told = told.__cause__ or told.__context__
    return None


def _fault(error: BaseException) -> Fault | None:
    if isinstance(error, DBAPIError):
        known = None if error.orig is None else _fault(error.orig)
        return LOST if known is None and error.connection_invalidated else known
    found: Fault | None = None
    match error:
        case Failed():
            found = error.fault
        case PoolTimeout():
            found = POOL
        case PendingRollbackError() | DisconnectionError():
            found = LOST
        case psycopg.Error():
            found = _of_postgres(error)
        case sqlite.Error():
            found = _RESULTS.get(getattr(error, "sqlite_errorcode", 1) & _PRIMARY)
        case OSError():
            # Out of descriptors, a disk that is full or fails. A file's name is not told.
            said = os.strerror(error.errno) if error.errno else "an error"
            found = Fault("system", f"the operating system refused: {said}")
        case _:
            pass
    return found


def signature(error: BaseException) -> dict[str, str]:
    """What may be logged of an error: its types, SQLSTATE or result, and the broken constraint."""
    inner = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    told = {"error": type(inner).__name__}
    if isinstance(inner, psycopg.Error):
        told |= {
            name: value
            for name, value in (
                ("sqlstate", inner.sqlstate),
                ("constraint", inner.diag.constraint_name),
            )
            if value
        }
    elif isinstance(inner, sqlite.Error):
        told["result"] = str(getattr(inner, "sqlite_errorname", "unknown"))
    return told


def _of_postgres(error: psycopg.Error) -> Fault | None:
    state = error.sqlstate
    if state is not None:
        return _STATES.get(state) or _CLASSES.get(state[:2])
    # Without a SQLSTATE it was libpq or the driver that spoke. libpq keeps to itself with which
    # SQLSTATE a server refused a connection: what is left of it are the server's words.
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return AWAY
    said = str(error).lower()
    if error.pgconn is not None or "resolve host" in said:
        return next((fault for words, fault in _REFUSALS if words in said), AWAY)
    if isinstance(error, psycopg.OperationalError):
        left = deadline.left()
        return SLOW if left is not None and left <= 0 else LOST
    if isinstance(error, psycopg.InterfaceError):
        return LOST  # the connection is closed
    return None
