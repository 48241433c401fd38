"""A restore that is told, by rows that no signature covers, that there is nothing to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from approvals.core.errors import AssentError, Unavailable
from approvals.flow.integrity.rounds import sequence
from approvals.flow.knowing.subjects import subject_of
from approvals.flow.operating.activate import activate
from approvals.flow.operating.restore import Ending, accept, checked
from approvals.store.rows.calls import ActivationRow
from approvals.store.rows.log import LeafRow
from approvals.store.rows.people import HandleRow
from tests.flow.lives import WITHOUT_ADA
from tests.flow.put_back import CHAIN, STAGED, another_process, found
from tests.intruder import Intruder, table_of
from tests.service import bundle_files

if TYPE_CHECKING:
    from tests.service import Running

ACTIVATION, HANDLE, LEAF = table_of(ActivationRow), table_of(HandleRow), table_of(LeafRow)


@pytest.mark.parametrize("hidden", ["tenant", "subject", "activation"])
def test_a_restore_looks_for_handles_by_the_leaves_themselves(
    running: Running, intruder: Intruder, hidden: str
) -> None:
    """Where her handle is away, what she has would end under another subject, and come back."""
    jwk = running.enforcer_key.public_jwk()
    activate(running.service, tenant="default", files=bundle_files(jwk), by="ben")
    sequence(running.service)
    (handle,) = (row for row in intruder.rows(HANDLE) if row["person"] == "ada")
    intruder.delete(HANDLE, handle)
    if hidden == "activation":
        (first,) = (row for row in intruder.rows(ACTIVATION) if row["number"] == 0)
        intruder.delete(ACTIVATION, first)
    else:
        for row in intruder.rows(LEAF):
            if row["subject"] == subject_of(handle["handle"]):
                intruder.edit(LEAF, row, **{hidden: "elsewhere"})
    with another_process(running) as shell, pytest.raises(AssentError) as refused:
        accept(shell, reason="the disk failed", ending=Ending(everybody=True))
    assert refused.value.code == ("row_altered" if hidden == "activation" else "log_altered")


@pytest.mark.parametrize("whose", ["psn_", "req_", "ses_", "in line"])
def test_a_restore_goes_on_where_the_log_ends_whatever_the_chains_say(
    running: Running, intruder: Intruder, whose: str
) -> None:
    """Otherwise the first event after it would never be the next one, and nothing granted again."""
    sequence(running.service)
    running.opened("20.00")
    running.sign_in("ben")
    if whose == "in line":
        (row,) = (row for row in intruder.rows(STAGED) if row["subject"].startswith("ses_"))
        intruder.delete(STAGED, row)
    else:
        sequence(running.service)
        for row in intruder.rows(CHAIN):
            if row["subject"].startswith(whose):
                intruder.delete(CHAIN, row)
    with another_process(running) as shell:
        accept(shell, reason="the disk failed", ending=Ending(everybody=True))
        sequence(shell)
        assert found(shell) is None


def test_where_an_opening_of_somebody_who_left_is_missing_the_row_is_named(
    running: Running, intruder: Intruder
) -> None:
    """The check of the log does not name it: what was erased is no fault there."""
    here, jwk = running.service, running.enforcer_key.public_jwk()
    (handle,) = (row for row in intruder.rows(HANDLE) if row["person"] == "ada")
    subject = subject_of(handle["handle"])
    without = bundle_files(jwk, **WITHOUT_ADA)
    activate(here, tenant="default", files=without, by="ops")
    sequence(here)
    row = next(row for row in intruder.rows(LEAF) if row["subject"] == subject)
    intruder.edit(LEAF, row, opening="{}")
    assert checked(here).ok
    with pytest.raises(Unavailable, match=f"event 0 of {subject} is missing.*from the backup"):
        activate(here, tenant="default", files=bundle_files(jwk), by="ops")
    intruder.edit(LEAF, row, opening=row["opening"])
    activate(here, tenant="default", files=bundle_files(jwk), by="ops")
