"""Subjects of the log that are put back to how they were."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from approvals.core.errors import AssentError
from approvals.core.history.events import BUNDLES
from approvals.flow import status
from approvals.flow.asking import answers
from approvals.flow.granting import consume
from approvals.flow.integrity.gate import closed
from approvals.flow.integrity.rounds import sequence
from approvals.flow.operating.activate import activate
from approvals.flow.service import Service
from approvals.keys.mark import Mark
from approvals.store import open_store
from approvals.store.rows.calls import ActivationRow, ApprovalRow, RequestRow, SpendRow, VoteRow
from approvals.store.rows.log import ChainRow, LeafRow, StagedRow
from tests.intruder import Intruder, Values, table_of
from tests.service import bundle_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.service import Running

    Again = Callable[[], object]
    Scene = Callable[[Running, Intruder], tuple["Past", Again]]


CHAIN = table_of(ChainRow)
LEAF = table_of(LeafRow)
STAGED = table_of(StagedRow)
PUT_BACK = [table_of(row) for row in (RequestRow, VoteRow, ApprovalRow, SpendRow, ActivationRow)]


@contextlib.contextmanager
def another_process(running: Running) -> Iterator[Service]:
    """Another process of the same service, which knows only what it reads."""
    here = running.service
    store = open_store(here.settings.database_url, mac=here.keys.seal)
    running.service = Service(store, here.keys, here.settings, Mark(here.keys.folder))
    try:
        yield running.service
    finally:
        running.service = here
        store.close()


@dataclass
class Past:
    """A subject and all that is said about it, as it was before something was done to it."""

    intruder: Intruder
    subject: str

    def __post_init__(self) -> None:
        self.rows = {table: self.intruder.rows(table) for table in PUT_BACK}
        self.chain = self.of(CHAIN)[0]

    def of(self, table: object) -> list[Values]:
        found = self.intruder.rows(table)  # type: ignore[arg-type]
        return [row for row in found if row["subject"] == self.subject]

    def put_back(self) -> None:
        for leaf in self.of(LEAF)[self.chain["count"] :]:
            self.intruder.edit(LEAF, leaf, subject="req_elsewhere")
        for staged in self.of(STAGED):
            self.intruder.delete(STAGED, staged)
        for table, its in self.rows.items():
            self.intruder.put_back(table, its)
        self.intruder.edit(CHAIN, self.chain, **self.chain)


def spent(running: Running, intruder: Intruder) -> tuple[Past, Again]:
    """An approval was spent, and is spent again."""
    request_id = running.opened("20.00")
    running.decide("ada", request_id)
    told = status.status(running.service, running.caller, request_id)
    sequence(running.service)
    past = Past(intruder, request_id)

    def use(use_id: str = "twice") -> str:
        jti = "apr_" + request_id.removeprefix("req_")
        return consume.consume(
            running.service, running.caller, jti, call_hash=told.call_hash, use_id=use_id
        )

    use("once")
    return past, use


def denied(running: Running, intruder: Intruder) -> tuple[Past, Again]:
    """A request was denied, and somebody else approves it."""
    request_id = running.opened("20.00")
    sequence(running.service)
    past = Past(intruder, request_id)
    running.decide("ben", request_id, "deny")
    return past, lambda: running.decide("ada", request_id)


def replaced(running: Running, intruder: Intruder) -> tuple[Past, Again]:
    """A loose bundle was replaced, and is in force again."""
    jwk = running.enforcer_key.public_jwk()
    loose = bundle_files(
        jwk, policies_payments_cedar='@id("all") permit(principal, action, resource);'
    )
    activate(running.service, tenant="default", files=loose, by="ops")
    sequence(running.service)
    past = Past(intruder, BUNDLES)
    activate(running.service, tenant="default", files=bundle_files(jwk), by="ops")
    running.service.forget_recent("default")
    assert not isinstance(running.submit("8888.00"), answers.Allowed)
    return past, lambda: running.submit("88888.00")


scenes = pytest.mark.parametrize("scene", [spent, denied, replaced])


def found(service: Service) -> str | None:
    with service.store.read() as tx:
        why = closed(service, tx)
    return None if why is None else why.code


def refused(do: Callable[[], object], code: str = "row_altered") -> None:
    """What is done is refused with this code."""
    with pytest.raises(AssentError) as caught:
        do()
    assert caught.value.code == code
