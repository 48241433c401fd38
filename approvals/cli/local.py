"""The rooms of the service, opened in this process.

Commands that an operator runs on the machine with the home folder read the same environment as the
server does, so that they act on what it serves. What they need of the service is imported when they
open it: other commands of the same module run where none of it is installed.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from approvals.flow.service import Service
    from approvals.keys import Keyring


def now() -> int:
    """The time of this command, in seconds."""
    return int(time.time())


def keyring(home: Path | None) -> Keyring:
    """The keys in the home folder, which must have been made."""
    from approvals.config import load
    from approvals.keys import Keyring

    settings = load(home=home)
    return Keyring.open(settings.home, now=now(), create=False, origin=settings.log_origin)


@contextmanager
def service(home: Path | None, *, checked: bool = True) -> Iterator[Service]:
    """The service of a home folder, without its HTTP side.

    Unless `checked` is false, keys and database have to belong together.
    """
    from approvals.config import load
    from approvals.flow.operating.opening import open_service
    from approvals.logs import configure_logs

    configure_logs()
    opened = open_service(load(home=home), now=now(), create=False, checked=checked)
    try:
        yield opened
    finally:
        opened.store.close()
