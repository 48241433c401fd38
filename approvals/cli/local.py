"""The rooms of the service opened in this process, and the service reached over HTTP.

Commands that an operator runs on the machine with the home folder read the same environment as the
server does, so that they act on what it serves.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from approvals.cli import files
from approvals.client import Client
from approvals.config import Settings, load
from approvals.core.errors import AssentError
from approvals.flow.service import Service
from approvals.keys import Keyring
from approvals.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def now() -> int:
    """The time of this command, in seconds."""
    return int(time.time())


def keyring(settings: Settings) -> Keyring:
    """The keys in the home folder, which must have been made."""
    return Keyring.open(settings.home, now=now(), create=False, origin=settings.log_origin)


@contextmanager
def service(home: Path | None) -> Iterator[Service]:
    """The service of a home folder, without its HTTP side."""
    settings = load(home=home)
    keys = keyring(settings)
    store = open_store(settings.database_url)
    try:
        yield Service(store, keys, settings)
    finally:
        store.close()


@contextmanager
def client(
    *, url: str | None, enforcer: str | None, key: Path | None, tenant: str
) -> Iterator[Client]:
    """The service over HTTP, in the name of an enforcer."""
    if enforcer is None or key is None:
        raise AssentError(
            "asking the service takes both --enforcer and --key", code="usage", place="--enforcer"
        )
    settings = load(url=url)
    opened = Client(
        settings.url, enforcer=enforcer, key=files.read_secret_object(key), tenant=tenant
    )
    try:
        yield opened
    finally:
        opened.close()
