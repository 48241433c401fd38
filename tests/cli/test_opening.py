"""Keys, database and address belong together, or nothing starts; what an operator can then do."""

from __future__ import annotations

import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest

from approvals import log
from approvals.cli import local
from approvals.core.calls import ToolCall, call_hash
from approvals.core.errors import Conflict
from approvals.core.history.events import Event, KeyRetired
from approvals.flow.acting.caller import Submission
from approvals.flow.asking.answers import Allowed, Opened
from approvals.flow.asking.submit import submit
from approvals.flow.granting.consume import consume
from approvals.flow.integrity.rounds import sequence
from approvals.flow.people import retire, signin
from approvals.flow.people.accounts import log_linked
from approvals.keys.mark import Mark
from approvals.store.accounts import Account
from tests.cli.refusing import refused
from tests.service import TARGET, Peopled, caller_of

if TYPE_CHECKING:
    from pathlib import Path

    from approvals.flow.asking.answers import Answer
    from approvals.flow.service import Service
    from tests.cli.conftest import Ended, Shell

BALANCE = ToolCall(TARGET, "balance", {"account": "1"})


def ask(service: Service, call: ToolCall = BALANCE) -> Answer:
    submission = Submission(
        call=call, agent="billing-agent", user="uma", body_digest=call_hash(call)
    )
    return submit(service, caller_of(service), submission)


def used(assent: Shell) -> str:
    """A home with an approval that nobody has spent and a request that waits; gives the first."""
    assent.initialised()
    with local.service(assent.home) as service:
        allowed = ask(service)
        assert isinstance(allowed, Allowed)
        waiting = ask(service, ToolCall(TARGET, "transfer", {"amount": "750.00", "to": "v"}))
        assert isinstance(waiting, Opened)
        sequence(service)
    return f"apr_{allowed.id[4:]}"


def spend(assent: Shell, approval: str, use_id: str) -> None:
    with local.service(assent.home) as service:
        consume(service, caller_of(service), approval, call_hash=call_hash(BALANCE), use_id=use_id)
        sequence(service)


def database(assent: Shell) -> Path:
    return assent.home / "assent.db"


def test_lost_keys_beside_a_database_with_a_history_are_not_made_anew(assent: Shell) -> None:
    used(assent)
    kept = assent.home / "keys"
    kept.rename(assent.home / "elsewhere")
    for command in (["init"], ["serve"], ["people", "invite", "ada"]):
        ended = assent(*command, "--json")
        assert (ended.code, ended.error["code"]) == (2, "keys_missing"), command
        assert not kept.exists()
    (assent.home / "elsewhere").rename(kept)
    assert assent("people", "invite", "ada").code == 0


def test_a_history_that_was_not_sequenced_yet_is_one(assent: Shell) -> None:
    assent.initialised()
    shutil.rmtree(assent.home / "keys")
    assert assent("init", "--json").error["code"] == "keys_missing"


def test_a_restored_backup_is_refused_until_an_operator_accepts_it(assent: Shell) -> None:
    approval = used(assent)
    backup = assent.folder / "backup.db"
    shutil.copy(database(assent), backup)
    spend(assent, approval, "first")
    assert assent("keys", "rotate", "--delay", "0").code == 0
    shutil.copy(backup, database(assent))
    refused(assent, "log_rolled_back")
    found = assent("log", "check", "--json")
    assert found.code == 1
    assert [each["code"] for each in found.document["findings"]] == ["log_truncated"]

    told = assent("log", "accept-restore", "--json")
    assert told.code == 1
    assert told.document["signed"] > told.document["size"]
    assert (told.document["pending"], told.document["unspent"]) == (1, 1)
    assert "Nothing was changed" in assent("log", "accept-restore").out
    refused(assent, "log_rolled_back")

    done = assent("log", "accept-restore", "--yes", "--reason", "the disk failed", "--json")
    assert (done.code, done.document["accepted"]) == (0, True)
    # The key that was made since the backup is told to the log that goes on.
    check = assent("log", "check", "--json")
    assert (check.code, check.document["findings"]) == (0, [])
    # What may have been spent before the restore cannot be spent after it.
    with pytest.raises(Conflict) as again:
        spend(assent, approval, "second")
    assert again.value.code in {"revoked", "expired"}
    with local.service(assent.home) as service:
        sequence(service)
        with service.store.read() as tx:
            assert not tx.requests.due(now=2**53, limit=1)
    check = assent("log", "check", "--json")
    assert (check.code, check.document["findings"]) == (0, [])
    # And the next restore of the same backup is found as well.
    shutil.copy(backup, database(assent))
    refused(assent, "database_changed")


def put_back(assent: Shell) -> dict[str, str]:
    """A home whose database is a backup from before ada's passkey was revoked.

    Gives the tokens of the browsers of ada and ben, who were signed in then.
    """
    assent.initialised()
    with local.service(assent.home) as service:
        people = Peopled(service)
        for person, number in (("ada", "U1"), ("ben", "U2")):
            people.enrol(person)
            with service.store.begin() as tx:
                account = Account("slack", "T1", number, "default", person, tx.now)
                assert tx.accounts.link(account)
                log_linked(tx, account, code_hash="0" * 64)
        sequence(service)
    shutil.copy(database(assent), assent.folder / "backup.db")
    with local.service(assent.home) as service:
        (held,) = passkeys_of(service, "ada")
        retire.revoke(service, tenant="default", person="ada", credential_id=held)
        sequence(service)
    shutil.copy(assent.folder / "backup.db", database(assent))
    return people.tokens


def passkeys_of(service: Service, person: str) -> list[str]:
    with service.store.read() as tx:
        held = tx.passkeys.active(tenant="default", person=person)
        return [passkey.credential_id for passkey in held]


def accept(assent: Shell, *decision: str) -> Ended:
    return assent("log", "accept-restore", "--yes", *decision, "--reason", "a test", "--json")


def test_a_restore_is_accepted_only_with_a_decision_on_passkeys_that_are_there_again(
    assent: Shell,
) -> None:
    put_back(assent)
    told = assent("log", "accept-restore", "--json")
    assert told.code == 1
    assert [
        (each["person"], each["passkeys"], each["browsers"], each["accounts"])
        for each in told.document["access"]
    ] == [("ada", 1, 1, 1), ("ben", 1, 1, 1)]
    said = assent("log", "accept-restore").out
    assert all(option in said for option in ("--end-passkeys", "--end-all-", "--keep-passkeys"))
    for decision, code in (
        ((), "passkeys_undecided"),
        (("--end-passkeys", "adda"), "unknown_person"),
        (("--keep-passkeys", "--end-passkeys", "ada"), "usage"),
        (("--keep-passkeys", "--end-all-passkeys"), "usage"),
    ):
        ended = accept(assent, *decision)
        assert (ended.code, ended.error["code"]) == (2, code), decision
        refused(assent, "log_rolled_back")  # nothing was changed


@pytest.mark.parametrize(
    ("decision", "kept"),
    [
        (("--end-passkeys", "ada"), ["ben"]),
        (("--end-passkeys", "ada", "--end-passkeys", "ben"), []),
        (("--end-all-passkeys",), []),
        (("--keep-passkeys",), ["ada", "ben"]),
    ],
)
def test_what_an_operator_ends_at_a_restore_is_ended_and_logged_and_the_rest_stays(
    assent: Shell, decision: tuple[str, ...], kept: list[str]
) -> None:
    tokens = put_back(assent)
    done = accept(assent, *decision)
    assert (done.code, done.document["accepted"]) == (0, True)
    with local.service(assent.home) as service:
        for person in ("ada", "ben"):
            assert bool(passkeys_of(service, person)) == (person in kept)
            assert signin.session(service, tokens[person]) is None
            with service.store.read() as tx:
                account = tx.accounts.of(tenant="default", channel="slack", person=person)
            assert (account is not None) == (person in kept)
        sequence(service)
        with service.store.read() as tx:
            leaves = b"".join(leaf.leaf for leaf in tx.log.leaves(0, 1000))
    assert (
        leaves.count(b'"passkey.revoked"') == leaves.count(b'"account.unlinked"') == 2 - len(kept)
    )
    assert leaves.count(b'"session.ended"') == 2
    check = assent("log", "check", "--json")
    assert (check.code, check.document["findings"]) == (0, [])


def test_a_fork_is_refused(assent: Shell) -> None:
    used(assent)
    backup = assent.folder / "backup.db"
    shutil.copy(database(assent), backup)
    with local.service(assent.home) as service:
        ask(service)
        sequence(service)
    mark = (assent.home / "keys" / "mark.json").read_bytes()
    shutil.copy(backup, database(assent))
    with local.service(assent.home, checked=False) as service:
        # Who knows nothing of what was signed signs something else.
        service.mark.stored(service.mark.marked)  # type: ignore[arg-type]
        service.mark._folder = None
        service.mark._marked = None
        for number in range(3):
            with service.store.begin() as tx:
                log.append(tx, _other(number))
        sequence(service)
    (assent.home / "keys" / "mark.json").write_bytes(mark)
    refused(assent, "log_forked")


def _other(number: int) -> Event:
    return KeyRetired(time=number, tenant="default", subject="key_k", kid="k", retires=number)


def test_an_empty_database_beside_used_keys_is_refused(assent: Shell) -> None:
    used(assent)
    database(assent).unlink()
    refused(assent, "database_changed")


def test_a_database_of_other_keys_is_refused(assent: Shell) -> None:
    used(assent)
    shutil.move(assent.home, assent.folder / "other")
    used(assent)
    shutil.copy(assent.folder / "other" / "assent.db", database(assent))
    refused(assent, "keys_foreign")


def test_without_their_mark_keys_are_refused(assent: Shell) -> None:
    used(assent)
    (assent.home / "keys" / "mark.json").unlink()
    refused(assent, "mark_missing")
    assert assent("log", "accept-restore", "--yes").code == 2  # why?
    assert assent("log", "accept-restore", "--yes", "--reason", "a test").code == 0
    assert assent("people", "invite", "ada").code == 0


@pytest.mark.parametrize("written", ["", "{}", "[]", '{"identity": 7, "signed": {}, "signing": 1}'])
def test_a_damaged_mark_is_refused(assent: Shell, written: str) -> None:
    used(assent)
    (assent.home / "keys" / "mark.json").write_text(written)
    refused(assent, "keys_unreadable")


def test_a_closed_service_is_reopened_when_the_log_is_whole_again(assent: Shell) -> None:
    used(assent)
    assert assent("log", "reopen", "--reason", "-", "--json").error["code"] == "not_closed"
    with sqlite3.connect(database(assent)) as raw:
        (whole,) = raw.execute('SELECT hash FROM leaf WHERE "index" = 0').fetchone()
        raw.execute('UPDATE leaf SET hash = ? WHERE "index" = 0', (bytes(32),))
        raw.execute("UPDATE standing SET closed = 'log_altered', reason = 'found', since = 1")
    raw.close()
    closed = assent("log", "reopen", "--reason", "looked", "--json")
    assert (closed.code, closed.document["reopened"]) == (1, False)
    assert closed.document["findings"]
    assert "stays closed" in assent("log", "reopen", "--reason", "looked").out
    with sqlite3.connect(database(assent)) as raw:
        raw.execute('UPDATE leaf SET hash = ? WHERE "index" = 0', (whole,))
    raw.close()
    assert assent("log", "reopen", "--reason", "put back").code == 0
    with local.service(assent.home) as service:
        ask(service)
        sequence(service)
        with service.store.read() as tx:
            leaves = [leaf.leaf for leaf in tx.log.leaves(0, 1000)]
    assert sum(b'"log.reopened"' in leaf for leaf in leaves) == 1
    assert not any(b"put back" in leaf for leaf in leaves)


def test_a_changed_host_is_refused_once_passkeys_are_bound_to_it(
    assent: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assent.initialised()
    monkeypatch.setenv("ASSENT_URL", "https://other.example")
    assert assent("people", "invite", "ada").code == 0  # nobody has a passkey yet
    with local.service(assent.home) as service:
        Peopled(service).enrol("ada")
    monkeypatch.setenv("ASSENT_URL", "https://third.example")
    refused(assent, "address_changed")
    assert assent("init", "--move").code == 0
    assert assent("people", "invite", "uma").code == 0
    monkeypatch.setenv("ASSENT_URL", "https://third.example:8443")
    assert assent("people", "invite", "uma").code == 0  # the same passkeys can be used


def test_a_clock_before_the_keys_is_refused(assent: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assent.initialised()
    with monkeypatch.context() as patch:
        real = local.now()
        patch.setattr("time.time", lambda: float(real - 3600))
        ended = assent("people", "invite", "ada", "--json")
    assert ended.error["code"] == "clock_backwards"


def test_a_restore_that_was_interrupted_is_accepted_with_the_same_words_again(
    assent: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose passkeys ended before the interruption has none left, and is named again."""
    put_back(assent)
    decision = ("--end-passkeys", "ada")
    with monkeypatch.context() as interrupted:
        interrupted.setattr(Mark, "accept", _broken_off)
        assert accept(assent, *decision).code != 0
    with local.service(assent.home, checked=False) as service:
        assert passkeys_of(service, "ada") == []
    refused(assent, "database_changed")
    stranger = accept(assent, *decision, "--end-passkeys", "adda")
    assert (stranger.code, stranger.error["code"]) == (2, "unknown_person")
    done = accept(assent, *decision)
    assert (done.code, done.document["accepted"]) == (0, True)
    with local.service(assent.home) as service:
        assert (len(passkeys_of(service, "ada")), len(passkeys_of(service, "ben"))) == (0, 1)


def _broken_off(*_: object) -> None:
    raise KeyboardInterrupt
