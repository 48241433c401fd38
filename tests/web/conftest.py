"""Fixtures for tests of the pages."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.web.browser import Visitor, chromium, visitor
from tests.web.site import Site, running_site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser


class Arrive(Protocol):
    """Somebody new arrives at a site, on a device of their own."""

    def __call__(self, site: Site, **options: Any) -> Visitor: ...


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the tests of a file; every visitor has a context of their own.

    Its driver leaves an event loop running in this thread, so it ends before other files begin.
    """
    with chromium() as started:
        yield started


@pytest.fixture
def arrive(browser: Browser) -> Iterator[Arrive]:
    """Visitors who leave when the test ends."""
    with ExitStack() as stack:

        def arriving(site: Site, **options: Any) -> Visitor:
            return stack.enter_context(visitor(browser, site, **options))

        yield arriving


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A fresh company and its service."""
    with running_site(tmp_path) as running:
        yield running
