"""The rooms of the service, opened in this process.

Commands that an operator runs on the machine with the home folder read the same environment as the
server does, so that they act on what it serves.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from approvals.config import Settings, load
from approvals.flow.service import Service
from approvals.keys import Keyring
from approvals.store import open_store


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
