"""No audit, no answer: nothing is granted while the log cannot tell of it."""

from __future__ import annotations

import ast
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select, text

from approvals import log
from approvals.core.calls import ToolCall, call_hash
from approvals.core.decision.ceremony import Decision
from approvals.core.errors import AssentError, ProofError, Unavailable
from approvals.flow.deciding import clicks, vote
from approvals.flow.granting.consume import consume
from approvals.flow.integrity.rounds import FINDINGS, sequence
from approvals.flow.operating.activate import activate
from approvals.flow.people import enrol, linking, signin
from approvals.flow.service import Service
from approvals.keys.mark import Mark, Marked
from approvals.store import open_store
from approvals.store.rows import (
    AccountRow,
    ActivationRow,
    ApprovalRow,
    CeremonyRow,
    InvitationRow,
    LinkCodeRow,
    PasskeyRow,
    RequestRow,
    SessionRow,
    SpendRow,
    VerdictRow,
    VoteRow,
)
from tests.service import TARGET, Running, bundle_files
from tests.softkey import SoftKey

if TYPE_CHECKING:
    from collections.abc import Callable

FLOW = Path(__file__).parents[2] / "approvals" / "flow"


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
        key = SoftKey("cleo", rp_id=settings.rp_id, origin=settings.origin)
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


@pytest.fixture
def everything(running: Running) -> Everything:
    return Everything(running)


def execute(running: Running, statement: str, **values: object) -> None:
    with running.service.store.begin() as tx:
        tx.session.execute(text(statement), values)


def round_fails(running: Running) -> str:
    with pytest.raises(AssentError) as found:
        sequence(running.service)
    return found.value.code


def alter(running: Running) -> None:
    execute(running, 'UPDATE leaf SET hash = :hash WHERE "index" = 0', hash=bytes(32))


def test_with_its_log_whole_everything_is_granted(everything: Everything) -> None:
    everything.all_done()


def test_once_the_log_was_found_altered_nothing_is_granted_by_any_process(
    everything: Everything,
) -> None:
    running = everything.running
    alter(running)
    running.submit("3", tool="balance")  # before anybody has noticed
    assert round_fails(running) == "log_altered"
    # Another process, which has no sequencer of its own, on the same database.
    store = open_store(running.service.settings.database_url, mac=running.service.keys.seal)
    other = Service(store, running.service.keys, running.service.settings)
    here = running.service
    try:
        running.service = other
        assert everything.all_refused()
    finally:
        running.service = here
        store.close()
    assert everything.all_refused()


def test_a_finding_is_recorded_once_and_logged(everything: Everything) -> None:
    running = everything.running
    alter(running)
    running.submit("3", tool="balance")
    codes = [round_fails(running) for _ in range(3)]
    assert codes == ["log_altered"] * 3
    with running.service.store.read() as tx:
        told = [staged.leaf for staged in tx.log.staged(limit=100)]
        standing = tx.standing.look()
    assert standing is not None
    assert standing.closed == "log_altered"
    assert sum(b'"log.closed"' in leaf for leaf in told) == 1


def test_a_finding_stays_although_the_leaf_is_put_back(everything: Everything) -> None:
    """Whoever altered the log and covered it up again must not have made it go away."""
    running = everything.running
    with running.service.store.read() as tx:
        (whole,) = tx.log.hashes(0, 1)
    alter(running)
    running.submit("3", tool="balance")
    assert round_fails(running) == "log_altered"
    execute(running, 'UPDATE leaf SET hash = :hash WHERE "index" = 0', hash=whole)
    assert round_fails(running) == "log_altered"
    assert everything.all_refused()


def test_while_events_wait_too_long_nothing_is_granted(
    everything: Everything, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when no process sequences: nobody is there to find anything or to record it."""
    running = everything.running
    running.submit("3", tool="balance")
    here = running.service
    patience = 30
    settings = here.settings.model_copy(update={"log_patience": patience})
    running.service = Service(here.store, here.keys, settings, here.mark)
    clock = [0]
    with running.service.store.read() as tx:
        start = tx.now
    monkeypatch.setattr(running.service.store, "_now", lambda _session: start + clock[0])
    clock[0] = patience
    running.submit("4", tool="balance")
    clock[0] = patience + 1
    assert everything.all_refused(shell=False)
    sequence(running.service)
    running.submit("5", tool="balance")


def test_without_the_row_that_identifies_the_database_nothing_is_granted(
    everything: Everything,
) -> None:
    execute(everything.running, "DELETE FROM standing")
    assert everything.all_refused()
    assert round_fails(everything.running) == "database_changed"


def test_in_another_database_nothing_is_granted(everything: Everything) -> None:
    execute(everything.running, "UPDATE standing SET identity = 'another'")
    assert everything.all_refused()
    assert round_fails(everything.running) == "database_changed"


def test_in_an_older_state_of_the_database_nothing_is_granted(everything: Everything) -> None:
    """What a restored backup looks like: shorter, and in itself whole."""
    running = everything.running
    with running.service.store.read() as tx:
        last = tx.log.latest_checkpoint()
    assert last is not None
    running.submit("3", tool="balance")
    sequence(running.service)
    execute(running, "DELETE FROM checkpoint WHERE size > :size", size=last.size)
    execute(running, 'DELETE FROM leaf WHERE "index" >= :size', size=last.size)
    assert everything.all_refused()
    assert round_fails(running) == "log_rolled_back"
    execute(running, "UPDATE standing SET closed = NULL")
    assert round_fails(running) == "log_rolled_back"


def test_an_older_state_that_grew_again_is_a_fork_and_is_not_continued(
    everything: Everything,
) -> None:
    running = everything.running
    with running.service.store.read() as tx:
        last = tx.log.latest_checkpoint()
    assert last is not None
    running.submit("3", tool="balance")
    sequence(running.service)
    execute(running, "DELETE FROM checkpoint WHERE size > :size", size=last.size)
    execute(running, 'DELETE FROM leaf WHERE "index" >= :size', size=last.size)
    # A process that knows nothing of what was there signs another history of the same length.
    ignorant = Service(running.service.store, running.service.keys, running.service.settings)
    here = running.service
    running.service = ignorant
    for number in range(4, 8):
        running.submit(str(number), tool="balance")
    sequence(ignorant)
    running.service = here
    assert everything.all_refused()
    assert round_fails(running) in {"log_forked", "log_rolled_back"}
    with running.service.store.read() as tx:
        size = tx.log.latest_checkpoint()
    assert round_fails(running) in {"log_forked", "log_rolled_back"}
    with running.service.store.read() as tx:
        assert tx.log.latest_checkpoint() == size


def test_a_log_that_another_process_made_longer_is_followed(running: Running) -> None:
    sequence(running.service)
    other = Service(running.service.store, running.service.keys, running.service.settings)
    here = running.service
    for number in range(3):
        running.service = other
        running.submit(str(number), tool="balance")
        assert sequence(other)
        running.service = here
        running.submit(str(10 + number), tool="balance")
        assert sequence(here)


def test_a_checkpoint_that_cannot_be_marked_is_not_signed(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.submit("1", tool="balance")

    def full(*_: object, **__: object) -> None:
        raise AssentError("No space left on device", code="keys_unreadable")

    with monkeypatch.context() as patch:
        patch.setattr(type(running.service.mark), "signing", full)
        assert round_fails(running) == "keys_unreadable"
    with running.service.store.read() as tx:
        assert tx.log.latest_checkpoint() is None
    assert sequence(running.service)
    with running.service.store.read() as tx:
        assert tx.log.latest_checkpoint() is not None


def test_a_finding_has_a_code_that_the_log_gives(running: Running) -> None:
    """Another error of a round, a database that is away, closes nothing for others."""
    assert issubclass(ProofError, AssentError)
    assert log.verify_extends is not None
    assert "unavailable" not in FINDINGS
    with running.service.store.read() as tx:
        standing = tx.standing.look()
    assert standing is not None
    assert standing.closed is None


GATED = {
    ("granting/issue.py", "issue", "issue"): "issue",
    ("granting/consume.py", "_spend", "spend"): "consume",
    ("deciding/vote.py", "count", "add_vote"): "count",
    ("asking/submit.py", "_remember", "add_verdict"): "_decide",
    ("people/enrol.py", "_enrol", "enrol"): "_enrol",
    ("people/linking.py", "finish_link", "link"): "finish_link",
    ("people/linking.py", "start_link", "put_code"): "start_link",
    ("people/signin.py", "open_session", "sign_in"): "open_session",
    ("people/enrol.py", "invite", "invite"): "invite",
    ("operating/activate.py", "activate", "activate"): "activate",
}
"""The one use of each of the store's ways to grant, and the function before it with the gate."""


def test_what_grants_is_reached_through_the_gate_alone() -> None:
    """The store's ways to grant are used in functions behind the gate, once each.

    A further use, in a flow that is still to be written, has to come past this list.
    """
    granting = {grants for _, _, grants in GATED}
    uses = set()
    for path in sorted(FLOW.rglob("*.py")):
        tree = ast.parse(path.read_text())
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr in granting
                ):
                    uses.add((path.relative_to(FLOW).as_posix(), function.name, node.func.attr))
    assert uses == set(GATED)
    for (name, _, grants), gated in GATED.items():
        (found,) = (
            node
            for node in ast.walk(ast.parse((FLOW / name).read_text()))
            if isinstance(node, ast.FunctionDef) and node.name == gated
        )
        calls = [
            node.func.id
            for node in ast.walk(found)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        shell = grants in {"invite", "activate"}
        assert ("require_trusted" if shell else "require_open") in calls, gated


def test_threads_and_processes_that_sequence_at_once_find_nothing(
    running: Running,
) -> None:
    """What one has just signed is not missing for another whose snapshot is a moment older."""
    folder = running.service.keys.folder
    here = running.service
    services = [Service(here.store, here.keys, here.settings, Mark(folder)) for _ in range(2)]
    found: list[str] = []
    running.submit("0", tool="balance")

    def rounds(service: Service) -> None:
        for _ in range(40):
            try:
                sequence(service)
            except AssentError as error:
                found.append(error.code)

    threads = [
        threading.Thread(target=rounds, args=(service,)) for service in services for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for number in range(1, 15):
        running.submit(str(number), tool="balance")
    for thread in threads:
        thread.join()
    assert found == []
    assert Mark(folder).marked is not None


def test_a_mark_that_another_process_moved_on_is_taken_in(running: Running) -> None:
    folder = running.service.keys.folder
    ours, theirs = Mark(folder), Mark(folder)
    first, second = (Marked("one", size, bytes(32), "note") for size in (1, 2))
    ours.stored(first)
    theirs.stored(second)
    theirs.keep()
    ours.keep()
    assert ours.marked == second
    assert Mark(folder).marked == second
