"""No audit, no answer: nothing is granted while the log cannot tell of it."""

from __future__ import annotations

import ast
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from approvals import log
from approvals.core.errors import AssentError, ProofError
from approvals.flow.integrity.rounds import FINDINGS, sequence
from approvals.flow.service import Service
from approvals.keys.mark import Mark, Marked
from approvals.store import open_store
from tests.flow.everything import Everything, execute

if TYPE_CHECKING:
    from tests.service import Running


FLOW = Path(__file__).parents[2] / "approvals" / "flow"


@pytest.fixture
def everything(running: Running) -> Everything:
    return Everything(running)


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
    with running.service.store.read() as tx:  # since when the event waits that is first in line
        start = tx.session.execute(text("SELECT min(created) FROM staged")).scalar_one()
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
    ("asking/keep.py", "remember", "add_verdict"): "asking/submit.py:_decide",
    ("asking/submit.py", "_answer", "remember"): "_decide",
    ("people/enrol.py", "_enrol", "enrol"): "_enrol",
    ("people/linking.py", "finish_link", "link"): "finish_link",
    ("people/linking.py", "start_link", "put_code"): "start_link",
    ("people/signin.py", "open_session", "sign_in"): "open_session",
    ("people/enrol.py", "invite", "invite"): "invite",
    ("operating/activate.py", "activate", "activate"): "activate",
}
"""The one use of each way to grant, and the function before it with the gate, with its file if it
is another one."""


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
        file, _, before = gated.rpartition(":")
        (found,) = (
            node
            for node in ast.walk(ast.parse((FLOW / (file or name)).read_text()))
            if isinstance(node, ast.FunctionDef) and node.name == before
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
