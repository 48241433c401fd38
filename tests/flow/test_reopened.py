"""A closed service stays closed until an operator has checked everything and opens it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from approvals.core.errors import Conflict
from approvals.core.history.events import SERVICE
from approvals.flow.asking import answers
from approvals.flow.integrity import rounds
from approvals.flow.integrity.rounds import read_back, sequence, sweep
from approvals.flow.operating import restore
from approvals.flow.operating.restore import reopen
from approvals.flow.service import Service
from approvals.keys.mark import Mark
from approvals.store.rows.log import StandingRow
from tests.flow.put_back import CHAIN, LEAF, STAGED, another_process, found, refused, spent
from tests.intruder import Intruder, Values, table_of
from tests.service import start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from approvals import log
    from tests.service import Running

STANDING = table_of(StandingRow)


@pytest.fixture
def running(tmp_path: Path, database_url: str) -> Iterator[Running]:
    started = start(tmp_path, database_url, people=("ada", "ben"))
    here = started.service
    started.service = Service(here.store, here.keys, here.settings, Mark(here.keys.folder))
    yield started
    started.service.store.close()


def test_a_service_whose_own_events_were_put_back_closes_all_the_same(
    running: Running, intruder: Intruder
) -> None:
    past, again = spent(running, intruder)
    sequence(running.service)
    running.service.store.ends.add([("default", SERVICE, 100)])
    past.put_back()
    assert found(running.service) == "log_altered"
    refused(lambda: sequence(running.service), "log_altered")
    assert intruder.rows(STANDING)[0]["closed"] == "log_altered"  # for every other process
    refused(again, "closed")


def closing(running: Running, intruder: Intruder) -> tuple[Values, Values, list[Values]]:
    """A leaf filed elsewhere closes the service and is put back; gives what was before."""
    running.opened("20.00")
    sequence(running.service)
    before = intruder.rows(STANDING)[0], intruder.rows(LEAF)[0], intruder.rows(CHAIN)
    intruder.edit(LEAF, before[1], subject="req_elsewhere")
    refused(lambda: sweep(running.service), "log_altered")
    intruder.edit(LEAF, before[1], subject=before[1]["subject"])
    return before


@pytest.mark.parametrize("restarted", [False, True])
def test_a_closed_service_whose_row_says_nothing_stays_closed_until_an_operator_opens_it(
    running: Running, intruder: Intruder, *, restarted: bool
) -> None:
    row, _, _ = closing(running, intruder)
    intruder.edit(STANDING, row, closed=None, reason=None, since=None)
    with another_process(running) if restarted else contextlib.nullcontext(running.service) as it:
        read_back(it)
        for _ in range(2):
            assert found(it) == "log_altered"
            refused(lambda: running.submit("9.00"), "closed")
            refused(lambda: sequence(it), "log_altered")
        assert reopen(it, reason="it was put back").ok
        assert found(it) is None
        assert isinstance(running.submit("9.00"), answers.Opened)
    assert isinstance(running.submit("9.10"), answers.Opened)


def test_what_another_process_finds_during_the_check_keeps_the_service_closed(
    running: Running, intruder: Intruder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have found what the check had passed already, and what was put back since."""
    closing(running, intruder)
    service, check = running.service, restore.checked

    def meanwhile(of: Service) -> log.Report:
        report = check(of)
        leaf = next(row for row in intruder.rows(LEAF) if row["index"] == 0)
        intruder.edit(LEAF, leaf, subject="req_elsewhere")
        refused(lambda: sweep(service), "log_altered")
        intruder.edit(LEAF, leaf, subject=leaf["subject"])
        return report

    with monkeypatch.context() as patch:
        patch.setattr(restore, "checked", meanwhile)
        # Its look at the row came before the service was closed.
        patch.setattr(rounds, "_is_closed", lambda *_: False)
        with pytest.raises(Conflict, match="run this again") as again:
            reopen(service, reason="a test")
    assert again.value.code == "found_meanwhile"
    assert found(service) == "log_altered"
    assert reopen(service, reason="a test").ok
    assert found(service) is None


def test_nor_does_it_open_when_the_event_of_its_closing_is_taken_away(
    running: Running, intruder: Intruder
) -> None:
    here = running.service
    with another_process(running) as other:
        sequence(other)
        running.service = here
        row, _, chains = closing(running, intruder)
        refused(lambda: sequence(other), "log_altered")
        intruder.edit(STANDING, row, closed=None, reason=None, since=None)
        (told,) = [it for it in intruder.rows(STAGED) if b'"log.closed"' in it["leaf"]]
        intruder.delete(STAGED, told)
        for service in (running.service, other):
            assert found(service) == "log_altered"
        own = [chain for chain in intruder.rows(CHAIN) if chain["subject"] == SERVICE]
        intruder.put_back(CHAIN, chains)
        assert len(own) == 1
        for service in (running.service, other):
            assert found(service) == "log_altered"
            refused(lambda service=service: sequence(service), "log_altered")  # type: ignore[misc]


def test_nor_after_every_process_was_restarted(running: Running, intruder: Intruder) -> None:
    row, _, chains = closing(running, intruder)
    intruder.edit(STANDING, row, closed=None, reason=None, since=None)
    for staged in intruder.rows(STAGED):
        if b'"log.closed"' in staged["leaf"]:
            intruder.delete(STAGED, staged)
    intruder.put_back(CHAIN, chains)
    with another_process(running) as restarted:
        assert found(restarted) == "log_altered"
        refused(lambda: running.submit("9.00"), "closed")
        refused(lambda: sequence(restarted), "log_altered")
        assert reopen(restarted, reason="it was put back").ok
        assert found(restarted) is None
        sequence(restarted)
    with another_process(running) as later:
        sequence(later)
        assert found(later) is None
