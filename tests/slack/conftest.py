"""A service whose people are in Slack, and the Slack that they are in."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from tests.slack.counterpart import SIGNING_SECRET, Counterpart
from tests.slack.workplace import Workplace, workplace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.slack.records import Message


@pytest.fixture
def slack() -> Iterator[Counterpart]:
    """A Slack with ada and ben in it. What it had to refuse is a bug of ours."""
    with Counterpart() as running:
        running.add_user("U0ADA")
        running.add_user("U0BEN")
        yield running
        assert running.refused == []


@pytest.fixture
def place(tmp_path: Path, sqlite_url: str, slack: Counterpart) -> Iterator[Workplace]:
    """The service and its Slack."""
    made = workplace(tmp_path, sqlite_url, slack)
    yield made
    made.running.service.store.close()


@pytest.fixture(autouse=True)
def _nothing_is_logged_of_what_is_sent(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Even a root logger at DEBUG learns no token and no message."""
    with caplog.at_level(logging.DEBUG):
        yield
    assert "xoxb-" not in caplog.text
    assert "xapp-" not in caplog.text
    assert SIGNING_SECRET not in caplog.text
    assert "vendor@example.com" not in caplog.text


@pytest.fixture
def small(place: Workplace) -> tuple[str, Message]:
    """A request that one click approves, and ada's message about it; ada is linked."""
    place.link("ada")
    request = place.running.opened("20.00")
    place.deliver()
    (message,) = [each for each in place.slack.posted("U0ADA") if each.buttons]
    return request, message
