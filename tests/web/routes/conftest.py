"""Fixtures for tests of the pages' routes, which need no browser."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from tests.web.site import Site, running_site
from tests.web.visits import Visit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.web.routes.paths import Arrive


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One company for the tests of this module: none of them needs it empty."""
    with running_site(tmp_path_factory.mktemp("site"), jobs=False) as running:
        yield running


@pytest.fixture
def arrive(site: Site) -> Iterator[Arrive]:
    """Somebody at a browser of their own, signed out."""
    with ExitStack() as stack:
        yield lambda at=site, **options: stack.enter_context(closing(Visit(at, **options)))


@pytest.fixture
def ada(arrive: Arrive) -> Visit:
    """Ada, signed in. She may have passkeys of earlier tests; this one is new."""
    return arrive().enrol("ada")
