"""Events that wait for their places in the log, and who writes to the database meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from approvals.core.errors import ProofError
from approvals.core.history.events import SERVICE
from approvals.flow.integrity.rounds import sequence, sweep
from approvals.flow.operating.restore import reopen
from tests.flow.put_back import CHAIN, LEAF, STAGED, found

if TYPE_CHECKING:
    from tests.intruder import Intruder
    from tests.service import Running


def closed_once(running: Running, intruder: Intruder) -> None:
    """A leaf is filed elsewhere, which closes the service, and is put back."""
    running.opened("20.00")
    sequence(running.service)
    leaf = intruder.rows(LEAF)[0]
    intruder.edit(LEAF, leaf, subject="req_elsewhere")
    with pytest.raises(ProofError):
        sweep(running.service)
    intruder.edit(LEAF, {**leaf, "subject": "req_elsewhere"}, subject=leaf["subject"])


@pytest.mark.parametrize("way", ["twice", "exchanged", "gone", "the service's own"])
def test_what_does_not_go_on_from_the_log_is_never_signed(
    running: Running, intruder: Intruder, way: str
) -> None:
    """A leaf that was signed cannot be taken back, so each is looked at before."""
    sequence(running.service)
    if way == "the service's own":
        closed_once(running, intruder)
        assert reopen(running.service, reason="a test").ok
    request = running.opened("20.00")
    running.decide("ada", request)
    subject = SERVICE if way == "the service's own" else request
    rows = [row for row in intruder.rows(STAGED) if row["subject"] == subject]
    first, second = rows[0], rows[-1]
    if way in {"twice", "the service's own"}:
        intruder.insert(STAGED, {**first, "id": second["id"] + 100})
    elif way == "exchanged":
        intruder.delete(STAGED, first)
        intruder.insert(STAGED, {**first, "id": second["id"] + 100})
    else:
        intruder.delete(STAGED, first)
    size = len(intruder.rows(LEAF))
    with pytest.raises(ProofError) as refused:
        sequence(running.service)
    assert refused.value.code == "log_altered"
    assert len(intruder.rows(LEAF)) == size
    assert found(running.service) == "log_altered"


def test_nothing_is_added_after_a_leaf_that_is_no_event(
    running: Running, intruder: Intruder
) -> None:
    request = running.opened("20.00")
    sequence(running.service)
    running.decide("ada", request)
    for leaf in intruder.rows(LEAF):
        if leaf["subject"] == request:
            intruder.edit(LEAF, leaf, leaf=b"{}")
    with pytest.raises(ProofError) as refused:
        sequence(running.service)
    assert refused.value.code == "log_altered"
    assert found(running.service) == "log_altered"


def test_what_a_row_says_before_its_seal_was_checked_is_not_remembered(
    running: Running, intruder: Intruder
) -> None:
    closed_once(running, intruder)
    assert reopen(running.service, reason="a test").ok
    sequence(running.service)
    (row,) = (each for each in intruder.rows(CHAIN) if each["subject"] == SERVICE)
    intruder.edit(CHAIN, row, count=row["count"] + 1000)
    with pytest.raises(ProofError):
        sequence(running.service)
    (row,) = (each for each in intruder.rows(CHAIN) if each["subject"] == SERVICE)
    intruder.edit(CHAIN, row, count=row["count"] - 1000)
    assert reopen(running.service, reason="it was put right").ok
    sequence(running.service)
    assert found(running.service) is None
