"""What a process of the tests makes once, although each test has a service of its own.

A service compiles its SQL and reads its bundle when it starts, and a client reads the system's
certificates. In thousands of tests that is a fifth of the work, and the result is always the same.
"""

from __future__ import annotations

import contextlib
import os
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import httpcore2
import pytest
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.util import LRUCache

from approvals.policy.bundle import Bundle
from approvals.store import postgres, sqlite

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import Engine

STATEMENTS: Final = 2000


@contextlib.contextmanager
def made_once() -> Iterator[None]:
    """Share compiled statements, bundles and certificates between the services of this process."""
    with pytest.MonkeyPatch.context() as patch:
        _share_statements(patch)
        patch.setattr(Bundle, "load", staticmethod(_loaded(Bundle.load)))
        patch.setattr(httpcore2, "default_ssl_context", _trusting(httpcore2.default_ssl_context))
        yield


def _share_statements(patch: pytest.MonkeyPatch) -> None:
    compiled: LRUCache[Any, Any] = LRUCache(STATEMENTS)
    # A compiled statement is found by its dialect. Two of one kind compile to the same text.
    for dialect in (SQLiteDialect_pysqlite, PGDialect_psycopg):
        patch.setattr(dialect, "__eq__", lambda self, other: type(self) is type(other))
        patch.setattr(dialect, "__hash__", lambda self: hash(type(self)))
    for module in (sqlite, postgres):
        patch.setattr(module, "create_engine", _sharing(module.create_engine, compiled))


def _sharing(create: Callable[..., Engine], compiled: LRUCache[Any, Any]) -> Callable[..., Engine]:
    def created(*args: Any, **options: Any) -> Engine:
        engine = create(*args, **options)
        engine.update_execution_options(compiled_cache=compiled)
        return engine

    return created


def _loaded(load: Callable[[Mapping[str, str]], Bundle]) -> Callable[[Mapping[str, str]], Bundle]:
    @cache
    def loaded(files: tuple[tuple[str, str], ...]) -> Bundle:
        return load(dict(files))

    return lambda files: loaded(tuple(files.items()))


def _trusting(default: Callable[..., ssl.SSLContext]) -> Callable[..., ssl.SSLContext]:
    made: dict[tuple[object, ...], ssl.SSLContext] = {}

    def trusting(*, _trust_env: bool = True) -> ssl.SSLContext:
        key = (_trust_env, os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))
        if key not in made:
            made[key] = default(_trust_env=_trust_env)
        return made[key]

    return trusting
