"""All that the service grants, tried one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select, text

from approvals.core.calls import ToolCall, call_hash
from approvals.core.decision.ceremony import Decision
from approvals.core.errors import Unavailable
from approvals.flow.deciding import clicks, vote
from approvals.flow.granting.consume import consume
from approvals.flow.integrity.rounds import sequence
from approvals.flow.operating.activate import activate
from approvals.flow.people import enrol, linking, signin
from approvals.store.rows.calls import (
    ActivationRow,
    ApprovalRow,
    RequestRow,
    SpendRow,
    VerdictRow,
    VoteRow,
)
from approvals.store.rows.people import (
    AccountRow,
    CeremonyRow,
    InvitationRow,
    LinkCodeRow,
    PasskeyRow,
    SessionRow,
)
from tests.service import TARGET, Running, bundle_files
from tests.softkey import SoftKey

if TYPE_CHECKING:
    from collections.abc import Callable


class Everything:
    """Whatever grants something, each ready to be done once."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.request = running.opened("750.00")
        running.decide("ada", self.request)
        self.other = running.opened("760.00")
        self.clicked = running.opened("765.00")
        self.approval = running.submit("1", tool="balance").id
        invited = enrol.invite(running.service, tenant="default", person="cleo")
        invitation = invited.url.rsplit("/", 1)[1]
        self.enrolment = enrol.begin(running.service, invitation)
        invited = enrol.invite(running.service, tenant="default", person="uma")
        self.another_invitation = invited.url.rsplit("/", 1)[1]
        self.ada = ada = running.session("ada")
        self.key = key = running.passkeys["ada"]
        asked = linking.begin_link(running.service, ada)
        self.code = linking.start_link(
            running.service, ada, "slack", asked.id, key.authenticate(asked.options)
        ).code
        deciding = vote.begin(running.service, ada, running.opened("780.00"), Decision.DENY)
        self.signed = deciding.id, key.authenticate(deciding.options)
        asked = linking.begin_link(running.service, ada)
        self.linking = asked.id, key.authenticate(asked.options)
        self.proofs = [self.prove() for _ in range(2)]
        further = enrol.prove(running.service, ada, *self.prove())
        self.further = further.id, SoftKey("ada's other").register(further.options)
        begun = signin.begin(running.service)
        self.sign_in = begun.id, key.authenticate(begun.options)
        sequence(running.service)

    def prove(self) -> tuple[str, object]:
        """An answer by ada's passkey to the question for a further one."""
        asked = enrol.begin_further(self.running.service, self.ada)
        return asked.id, self.key.authenticate(asked.options)

    def attempts(self) -> dict[str, Callable[[], object]]:
        """What an enforcer and a person can do, by name."""
        return {
            "a call that policy allows": lambda: self.running.submit("2", tool="balance"),
            "a call that asks people": lambda: self.running.submit("770.00"),
            "the same call again": lambda: self.running.submit("760.00"),
            "the vote that decides": lambda: self.running.decide("ben", self.request),
            "a vote that does not": lambda: self.running.decide("ada", self.other),
            "a denial": lambda: self.running.decide("ben", self.other, "deny"),
            "the vote that was signed before": lambda: vote.finish(
                self.running.service, self.ada, *self.signed
            ),
            "spending": self.spend,
            "a passkey": self.enrol,
            "a challenge for a passkey": lambda: enrol.begin(
                self.running.service, self.another_invitation
            ),
            "a chat account": lambda: linking.finish_link(
                self.running.service, channel="slack", team="T1", account="U1", code=self.code
            ),
            "a code for a chat account": lambda: linking.start_link(
                self.running.service, self.ada, "another chat", *self.linking
            ),
            "a challenge for a further passkey": lambda: enrol.prove(
                self.running.service, self.ada, *self.proofs[0]
            ),
            "a further passkey": lambda: enrol.finish_further(
                self.running.service, self.ada, *self.further
            ),
            "a click": lambda: clicks.click(
                self.running.service,
                self.ada,
                self.clicked,
                Decision.DENY,
                reason=None,
                channel="slack",
            ),
            "a signed-in browser": lambda: signin.finish(self.running.service, *self.sign_in),
        }

    def administration(self) -> dict[str, Callable[[], object]]:
        """What an operator does in a shell that changes who may grant what, by name."""
        return {
            "an invitation": lambda: enrol.invite(
                self.running.service, tenant="default", person="ada", replaces=True
            ),
            "a bundle": lambda: activate(
                self.running.service,
                tenant="default",
                files=bundle_files(self.running.enforcer_key.public_jwk()),
                by="ops",
            ),
        }

    def enrol(self) -> object:
        settings = self.running.service.settings
        key = SoftKey("cleo", rp_id=settings.rp_id, origin=settings.url)
        made = key.register(self.enrolment.options)
        return enrol.finish(self.running.service, self.enrolment.id, made)

    def spend(self) -> object:
        return consume(
            self.running.service,
            self.running.caller,
            f"apr_{self.approval[4:]}",
            call_hash=call_hash(ToolCall(TARGET, "balance", {"account": "1"})),
            use_id="once",
        )

    def granted(self) -> list[int]:
        with self.running.service.store.read() as tx:
            return [
                tx.session.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (
                    VerdictRow,
                    RequestRow,
                    VoteRow,
                    ApprovalRow,
                    SpendRow,
                    PasskeyRow,
                    AccountRow,
                    LinkCodeRow,
                    SessionRow,
                    CeremonyRow,
                    InvitationRow,
                    ActivationRow,
                )
            ]

    def all_refused(self, *, shell: bool = True) -> bool:
        """Whether each attempt is refused as `closed`, in a `shell` too, and nothing is stored."""
        before = self.granted()
        for name, attempt in {
            **self.attempts(),
            **(self.administration() if shell else {}),
        }.items():
            with pytest.raises(Unavailable) as refused:
                attempt()
            assert refused.value.code == "closed", name
        return self.granted() == before

    def all_done(self) -> None:
        for attempt in {**self.attempts(), **self.administration()}.values():
            attempt()


def execute(running: Running, statement: str, **values: object) -> None:
    with running.service.store.begin() as tx:
        tx.session.execute(text(statement), values)
