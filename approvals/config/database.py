"""Reading the URL of the database, which may hold a password: no error quotes it."""

from __future__ import annotations

import re
from typing import Final

from psycopg.pq import Conninfo
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

MAX_PORT: Final = 65_535
_BAD_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DATABASE_HOST: Final = re.compile(
    r"(?:[A-Za-z0-9._-]*|/[^:@?]*|[0-9A-Fa-f:.%]*)(?::[0-9]{1,5})?", re.ASCII
)
_UNREADABLE: Final = (
    "cannot be read as a database URL: in the user name and password, "
    "@ : / ? # % and blanks are written as %40 %3A %2F %3F %23 %25 and %20"
)
_POSTGRES: Final = ("postgres://", "postgresql://", "postgresql+psycopg://")


def read_database_url(url: str) -> str:
    """Return `url` as SQLAlchemy names it, or raise ValueError with a sentence that quotes nothing.

    Whatever cannot be read is refused here, before a library can quote what it could not read.
    """
    for scheme in _POSTGRES:
        if url.startswith(scheme):
            return _postgres_url(f"postgresql+psycopg://{url.removeprefix(scheme)}")
    if url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
        if "?" in url or "#" in url:
            raise ValueError("of SQLite names a file only: no options, no ? and no # in its name")
        # A relative file would be another one, new and empty, in each folder of a start.
        if not url.startswith("sqlite:////"):
            raise ValueError(
                "must name the SQLite file by its absolute path, with four slashes: "
                "sqlite:////absolute/file"
            )
        return url
    raise ValueError("must start with postgresql:// or be sqlite:////absolute/file")


def _postgres_url(url: str) -> str:
    if not url.isprintable() or any(character.isspace() for character in url):
        raise ValueError("must not hold blanks or control characters; write them as %20 and so on")
    authority, _, _ = url.split("://", 1)[1].partition("/")
    if authority.count("@") > 1 or "#" in url or _BAD_PERCENT.search(url):
        raise ValueError(_UNREADABLE)
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(_UNREADABLE) from None
    hosts = [parts.host or "", *_values(parts.query.get("host", ()))]
    if not all(_DATABASE_HOST.fullmatch(host) for host in hosts):
        raise ValueError(_UNREADABLE)
    if parts.port is not None and not 0 < parts.port <= MAX_PORT:
        raise ValueError("must name a port from 1 to 65535")
    if parts.query.keys() - _libpq_options():
        # Which one is not told: behind an & in a password that was not escaped it is part of that.
        raise ValueError("has an option after ? that libpq does not know; & in a value is %26")
    return url


def _values(given: str | tuple[str, ...]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else given


def _libpq_options() -> frozenset[str]:
    """The names that may stand after the ? of a PostgreSQL URL."""
    return frozenset(option.keyword.decode() for option in Conninfo.get_defaults())
