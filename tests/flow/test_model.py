"""Requests driven through votes, denials, withdrawal, expiry and spending, against a small model.

The laws: a request ends once and in one way; an approval exists exactly if people who were asked,
distinct and other than its user, filled every place in time; it is spent at most once and never
late; whatever happened is in the log, from which every state can be rebuilt. The bug it would
catch: any path on which two of these disagree.

The sequencer runs whenever time has passed, as it does in a service: without it nothing is granted.
One service serves every example, so the clock goes on from one to the next.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from approvals import log
from approvals.core.errors import AssentError
from approvals.core.history.leaves import parse_leaf
from approvals.flow import status
from approvals.flow.asking import cancel, expire
from approvals.flow.auditing.audit import audit
from approvals.flow.granting import consume
from tests.service import start

if TYPE_CHECKING:
    from tests.service import Running

PEOPLE = ("ada", "ben", "uma", "cleo")
FINANCE = {"ada", "ben", "uma"}
REQUEST_LIFE, APPROVAL_LIFE = 900, 300


class Requests(RuleBasedStateMachine):
    """One request for two of finance, made for one of its members."""

    running: Running
    began = 1_900_000_000

    @initialize(user=st.sampled_from(PEOPLE))
    def begin(self, user: str) -> None:
        self.offset = 0
        self.user = user
        store = self.running.service.store
        store._now = self.now  # type: ignore[method-assign]
        self.sequence()
        counter = type(self)._counter = getattr(type(self), "_counter", 0) + 1
        self.request = self.running.opened(f"{500 + counter}.00", user=user)
        self.jti = "apr_" + self.request[4:]
        self.call_hash = self.seen().call_hash
        self.state = "pending"
        self.yes: set[str] = set()
        self.voted: set[str] = set()
        self.approved_at = 0
        self.spent: str | None = None

    def now(self, session: object) -> int:  # noqa: ARG002 - the shape of the real one
        return self.began + self.offset

    def sequence(self) -> None:
        service = self.running.service
        while log.sequence(service.store, service.keys, now=self.began + self.offset):
            pass

    def seen(self) -> status.RequestStatus:
        return status.status(self.running.service, self.running.caller, self.request)

    def attempt(self, action: object, *args: object, **named: object) -> str:
        try:
            action(*args, **named)  # type: ignore[operator]  # a function of flow
        except AssentError as error:
            return error.code
        return "done"

    @rule(seconds=st.sampled_from([1, 60, 299, 300, 301, 899, 900]))
    def time_passes(self, seconds: int) -> None:
        self.offset += seconds
        self.sequence()
        if self.state == "pending" and self.offset >= REQUEST_LIFE:
            self.state = "expired"

    @rule(person=st.sampled_from(PEOPLE), decision=st.sampled_from(["approve", "approve", "deny"]))
    def decide(self, person: str, decision: str) -> None:
        result = self.attempt(self.running.decide, person, self.request, decision)
        asked = FINANCE - {self.user}
        if person not in asked or self.state != "pending" or person in self.voted:
            assert result != "done"
            return
        assert result == "done"
        self.voted.add(person)
        if decision == "deny":
            self.state = "denied"
            return
        self.yes.add(person)
        if len(self.yes) == 2:
            self.state, self.approved_at = "approved", self.offset

    @rule()
    def withdraw(self) -> None:
        result = self.attempt(
            cancel.cancel, self.running.service, self.running.caller, self.request
        )
        assert (result == "done") == (self.state == "pending")
        if result == "done":
            self.state = "cancelled"

    @rule(use_id=st.sampled_from(["one", "two"]))
    def spend(self, use_id: str) -> None:
        result = self.attempt(
            consume.consume,
            self.running.service,
            self.running.caller,
            self.jti,
            call_hash=self.call_hash,
            use_id=use_id,
        )
        fresh = self.state == "approved" and self.offset < self.approved_at + APPROVAL_LIFE
        if self.spent is not None:
            assert result == ("done" if use_id == self.spent else "consumed")
        else:
            assert (result == "done") == fresh
            if fresh:
                self.spent = use_id

    @rule()
    def jobs_run(self) -> None:
        expire.expire(self.running.service)
        self.sequence()

    @precondition(lambda self: hasattr(self, "state"))
    @invariant()
    def the_service_agrees(self) -> None:
        seen = self.seen()
        assert seen.state.value == self.state
        assert (seen.approval is not None) == (self.state == "approved")

    def teardown(self) -> None:
        if not hasattr(self, "state"):
            return
        service = self.running.service
        expire.expire(service)
        self.sequence()
        type(self).began += self.offset
        assert audit(service) == ()
        with service.store.read() as tx:
            about = tx.log.about(tenant="default", subject=self.request)
        told = [parse_leaf(leaf.leaf).event.TYPE for leaf in about]
        assert told[0] == "request.opened"
        ends = [name for name in told if name.startswith("request.") and name != told[0]]
        assert ends == ([] if self.state == "pending" else [f"request.{self.state}"])
        assert told.count("vote.approve") + told.count("vote.deny") == len(self.voted)
        assert told.count("approval.consumed") == (self.spent is not None)


def test_requests_agree_with_the_model() -> None:
    with tempfile.TemporaryDirectory() as folder:
        running = start(Path(folder), f"sqlite:///{folder}/a.db", people=PEOPLE)
        machine = type("Driven", (Requests,), {"running": running})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=60,
                stateful_step_count=14,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
        running.service.store.close()
