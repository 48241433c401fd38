"""The service reached over HTTP, in the name of an enforcer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from approvals.cli import files
from approvals.client import Client
from approvals.config import load
from approvals.core.errors import AssentError


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
        load(url=url).url, enforcer=enforcer, key=files.read_secret_object(key), tenant=tenant
    )
    try:
        yield opened
    finally:
        opened.close()
