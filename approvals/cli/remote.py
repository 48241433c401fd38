"""The service reached over HTTP, in the name of an enforcer."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from approvals.cli import files
from approvals.client import Client
from approvals.core.addresses import urls
from approvals.core.errors import AssentError

DEFAULT_ADDRESS = "http://localhost:8420"


def address(url: str | None, *, option: str = "--url") -> str:
    """The service's address: as given, or ASSENT_URL, or this machine.

    `option` is the option that it was given by. It is read here and not with the service's
    settings: an auditor's machine has none of their libraries.

    Raises:
        AssentError: `config`; it is not an address.
    """
    place = option if url is not None else "ASSENT_URL"
    given = url or os.environ.get("ASSENT_URL") or DEFAULT_ADDRESS
    try:
        return urls.origin(given).origin
    except urls.UrlError as wrong:
        raise AssentError(wrong.message, code="config", place=place) from wrong


@contextmanager
def client(
    *, url: str | None, enforcer: str | None, key: Path | None, tenant: str
) -> Iterator[Client]:
    """A client for the service at `url`, or at ASSENT_URL."""
    if enforcer is None or key is None:
        missing = "--enforcer" if enforcer is None else "--key"
        raise AssentError(
            "asking the service takes both --enforcer and --key", code="usage", place=missing
        )
    opened = Client(
        address(url), enforcer=enforcer, key=files.read_secret_object(key), tenant=tenant
    )
    try:
        yield opened
    finally:
        opened.close()
