"""A service whose database has rows in every table, each written by the service itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from approvals import log
from approvals.core.decision.ceremony import Decision
from approvals.flow.acting import sight
from approvals.flow.asking import answers, cancel
from approvals.flow.deciding import vote
from approvals.flow.granting import consume, report
from approvals.flow.operating.activate import activate
from approvals.flow.people import enrol, linking, retire, signin
from approvals.flow.status import status
from tests.service import PEOPLE, bundle_files, start
from tests.softkey import SoftKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.service import Running


def populated(home: Path, database: str, **settings: Any) -> Running:
    """At least two rows in each table that grants something, and most of their states."""
    running = start(home, database, people=("ada", "ben", "cleo"), **settings)
    for _ in Life(running).steps():
        pass
    return running


@dataclass
class Life:
    """What happens in the service, step by step, for whoever wants to look between the steps."""

    running: Running
    requests: dict[str, str] = field(default_factory=dict)

    def steps(self) -> Iterator[str]:
        """Do one thing after another, and name what was done."""
        yield from self._bundles()
        yield from self._requests()
        yield from self._people()
        running = self.running
        with running.service.store.read() as tx:
            now = tx.now
        while log.sequence(running.service.store, running.service.keys, now=now) == log.BATCH:
            pass
        yield "sequenced"
        # What follows waits in line: nobody gives it its place.
        spent(running, running.opened("8.00"))
        yield "spent, in line"

    def _bundles(self) -> Iterator[str]:
        running = self.running
        files = bundle_files(running.enforcer_key.public_jwk())
        later = {**files, "people.yaml": PEOPLE + "\n"}
        activate(running.service, tenant="default", files=later, by="cleo")
        yield "another bundle"
        activate(running.service, tenant="default", files=files, by="cleo")
        yield "the first bundle again"

    def _requests(self) -> Iterator[str]:
        running = self.running
        for number in (1, 2):
            request_id = running.opened(
                f"{number}.00", idempotency_key=f"key {number}", explanation="Due today"
            )
            running.opened(f"{number}.00")
            yield "asked and asked again"
            running.decide("ada", request_id)
            yield "approved"
            spent(running, request_id, decided=True)
            yield "spent"
            assert isinstance(running.submit(f"account {number}", tool="balance"), answers.Allowed)
            assert isinstance(running.submit(f"{number}00000.00"), answers.Denied)
            yield "allowed and denied"
        denied = running.opened("3.00")
        yield "opened"
        running.decide("ben", denied, "deny", reason="Not this one")
        yield "denied by a person"
        cancel.cancel(running.service, running.caller, running.opened("4.00"))
        running.decide("ada", running.opened("800.00"))
        running.decide("ada", running.opened("5.00"))
        yield "one of two has approved, and an approval waits"

    def _people(self) -> Iterator[str]:
        running, service = self.running, self.running.service
        for person, account in (("ada", "U1"), ("ben", "U2"), ("cleo", "U3")):
            yield from self._link(person, account)
            signin.begin(service)
            enrol.invite(service, tenant="default", person=person, replaces=False)
            yield "linked and invited"
            enrol.invite(service, tenant="default", person=person, replaces=False)
            yield "invited again"
        yield from self._link("ada", "U4", only_code=True)
        waits = running.opened("7.00")
        yield "waits"
        sight.seen(service, running.session("ada"), waits)
        vote.begin(service, running.session("ada"), waits, Decision.APPROVE)
        yield "a statement to sign"
        begun = linking.begin_unlink(service, running.session("cleo"))
        answer = running.passkeys["cleo"].authenticate(begun.options)
        linking.unlink(service, running.session("cleo"), "slack", begun.id, answer)
        yield "unlinked"
        begun = signin.begin(service)
        signin.finish(service, begun.id, running.passkeys["ben"].authenticate(begun.options))
        yield "signed in twice"
        signin.end(service, running.tokens["ben"])
        yield "signed out"
        begun = enrol.begin_further(service, running.session("ada"))
        answer = running.passkeys["ada"].authenticate(begun.options)
        offered = enrol.prove(service, running.session("ada"), begun.id, answer)
        yield "a further passkey is asked for"
        further = SoftKey("ada's second", rp_id=service.settings.rp_id, origin=service.settings.url)
        enrol.finish_further(
            service, running.session("ada"), offered.id, further.register(offered.options)
        )
        yield "a further passkey"
        with service.store.read() as tx:
            (held,) = tx.passkeys.active(tenant="default", person="cleo")
        retire.revoke(service, tenant="default", person="cleo", credential_id=held.credential_id)
        yield "a passkey ended"

    def _link(self, person: str, account: str, *, only_code: bool = False) -> Iterator[str]:
        service, session = self.running.service, self.running.session(person)
        begun = linking.begin_link(service, session)
        credential = self.running.passkeys[person].authenticate(begun.options)
        code = linking.start_link(service, session, "slack", begun.id, credential)
        yield "a code"
        if not only_code:
            linking.finish_link(service, channel="slack", team="T", account=account, code=code.code)


def spent(running: Running, request_id: str, *, decided: bool = False) -> str:
    """Approve a request and spend the approval; gives its id."""
    if not decided:
        running.decide("ada", request_id)
    told = status(running.service, running.caller, request_id)
    jti = "apr_" + request_id.removeprefix("req_")
    consume.consume(
        running.service, running.caller, jti, call_hash=told.call_hash, use_id=f"use {jti}"
    )
    report.report(running.service, running.caller, jti, status="ok", output_hash="A" * 43)
    return jti
