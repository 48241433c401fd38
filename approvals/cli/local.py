"""The rooms of the service, opened in this process.

Commands that an operator runs on the machine with the home folder read the same environment as the
server does, so that they act on what it serves.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from approvals.config import Settings, load
from approvals.flow.opening import open_service
from approvals.flow.service import Service
from approvals.keys import Keyring
from approvals.logs import configure_logs


def now() -> int:
    """The time of this command, in seconds."""
    return int(time.time())


def keyring(settings: Settings) -> Keyring:
    """The keys in the home folder, which must have been made."""
    return Keyring.open(settings.home, now=now(), create=False, origin=settings.log_origin)


@contextmanager
def service(home: Path | None, *, checked: bool = True) -> Iterator[Service]:
    """The service of a home folder, without its HTTP side.

    Unless `checked` is false, keys and database have to belong together.
    """
    configure_logs()
    opened = open_service(load(home=home), now=now(), create=False, checked=checked)
    try:
        yield opened
    finally:
        opened.store.close()
