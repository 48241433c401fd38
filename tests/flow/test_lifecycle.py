"""Passkeys, browsers and chat accounts have an end: lost, replaced, left; and none comes back."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from approvals.core import b64, directory
from approvals.core.decision.ceremony import Decision
from approvals.core.errors import AssentError, Conflict, NotFound, Unauthenticated
from approvals.flow.acting import sight
from approvals.flow.deciding import look, vote
from approvals.flow.operating.activate import activate
from approvals.flow.people import enrol, linking, retire, signin
from approvals.flow.people.directory import directory as signed_directory
from approvals.store.accounts import Account
from tests.flow.lives import WITHOUT_ADA, code_of, events, sign_in
from tests.service import TOOLS, bundle_files
from tests.softkey import SoftKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Running


def change(running: Running, *, by: str = "ops", **files: str) -> str:
    key = running.enforcer_key.public_jwk()
    return activate(running.service, tenant="default", files=bundle_files(key, **files), by=by)


def test_an_invitation_that_replaces_ends_the_lost_passkey_at_once(running: Running) -> None:
    lost, browser = running.passkeys["ada"], running.tokens["ada"]
    invited = enrol.invite(running.service, tenant="default", person="ada", replaces=True)
    assert (invited.replaces, invited.ended_passkeys, invited.ended_sessions) == (True, 1, 1)
    # Nobody waits for the new one: whoever has the device decides nothing more.
    assert code_of(lambda: sign_in(running, lost)) == "unknown_passkey"
    assert signin.session(running.service, browser) is None
    told = enrol.invitation(running.service, invited.url.rsplit("/", 1)[1])
    assert (told.replaces, told.passkeys) == (True, 0)
    begun = enrol.begin(running.service, invited.url.rsplit("/", 1)[1])
    new = SoftKey("ada's new telephone")
    enrol.finish(running.service, begun.id, new.register(begun.options))
    assert sign_in(running, new)
    assert code_of(lambda: sign_in(running, lost)) == "unknown_passkey"
    ((_, opened),) = events(running, "passkey.revoked")
    assert opened["reason"] == "replaced"
    assert (opened["person"], opened["credential"]) == ("ada", b64.encode(lost.credential_id))


def test_an_invitation_that_adds_leaves_what_there_is(running: Running) -> None:
    first = running.passkeys["ada"]
    running.enrol("ada", replaces=False, seed="another")
    assert sign_in(running, first)
    assert sign_in(running, running.passkeys["ada"])
    assert events(running, "passkey.revoked") == []


def test_who_has_a_passkey_is_invited_to_add_or_to_replace_never_silently(
    running: Running,
) -> None:
    with pytest.raises(Conflict) as caught:
        enrol.invite(running.service, tenant="default", person="ada")
    assert caught.value.code == "passkeys"
    assert "--replace" in caught.value.message
    assert sign_in(running, running.passkeys["ada"])


def test_once_a_replacing_invitation_is_used_its_passkey_is_the_only_one(
    running: Running,
) -> None:
    """Also where something else was enrolled between the two, by whichever way."""
    invited = enrol.invite(running.service, tenant="default", person="ada", replaces=True)
    begun = enrol.begin(running.service, invited.url.rsplit("/", 1)[1])
    with running.service.store.begin() as tx:  # stands for any that came by another way
        (held,) = tx.passkeys.active(tenant="default", person="ben")
        other = replace(held, credential_id="other", public_key=b"other", person="ada")
        tx.passkeys.enrol(other)
    new = SoftKey("new")
    enrol.finish(running.service, begun.id, new.register(begun.options))
    with running.service.store.read() as tx:
        (only,) = tx.passkeys.active(tenant="default", person="ada")
    assert only.credential_id == b64.encode(new.credential_id)


def test_what_was_begun_with_a_passkey_that_ended_is_not_finished(running: Running) -> None:
    ada, key = running.sessions["ada"], running.passkeys["ada"]
    request = running.opened("20.00")
    sight.seen(running.service, ada, request)
    decision = vote.begin(running.service, ada, request, Decision.APPROVE)
    further = enrol.begin_further(running.service, ada)
    proved = enrol.prove(running.service, ada, further.id, key.authenticate(further.options))
    link = linking.begin_link(running.service, ada)
    enrol.invite(running.service, tenant="default", person="ada", replaces=True)
    answers = {
        "decide": lambda: vote.finish(
            running.service, ada, decision.id, key.authenticate(decision.options)
        ),
        "enrol": lambda: enrol.finish_further(
            running.service, ada, proved.id, SoftKey("thief").register(proved.options)
        ),
        "link": lambda: linking.start_link(
            running.service, ada, "slack", link.id, key.authenticate(link.options)
        ),
    }
    assert {name: code_of(act) for name, act in answers.items()} == {
        "decide": "statement_used",
        "enrol": "ceremony_used",
        "link": "ceremony_used",
    }


def test_an_operator_ends_one_passkey_and_its_owners_browsers(running: Running) -> None:
    first, browser = running.passkeys["ada"], running.tokens["ada"]
    running.enrol("ada", replaces=False, seed="second")
    ended = retire.revoke(
        running.service,
        tenant="default",
        person="ada",
        credential_id=b64.encode(first.credential_id),
    )
    assert (ended.passkeys, ended.sessions) == (1, 2)
    assert signin.session(running.service, browser) is None
    assert code_of(lambda: sign_in(running, first)) == "unknown_passkey"
    assert sign_in(running, running.passkeys["ada"])
    with pytest.raises(NotFound):
        retire.revoke(
            running.service,
            tenant="default",
            person="ada",
            credential_id=b64.encode(first.credential_id),
        )
    with pytest.raises(NotFound):
        retire.revoke(
            running.service,
            tenant="default",
            person="ada",
            credential_id=b64.encode(running.passkeys["ben"].credential_id),
        )
    assert sign_in(running, running.passkeys["ben"])


def test_a_person_ends_a_passkey_of_theirs_with_another(running: Running) -> None:
    lost = running.passkeys["ada"]
    running.enrol("ada", replaces=False, seed="second")
    ada, kept = running.sessions["ada"], running.passkeys["ada"]
    target = b64.encode(lost.credential_id)
    begun = retire.begin_revoke(running.service, ada, target)
    answer = kept.authenticate(begun.options)
    other = b64.encode(kept.credential_id)
    assert (
        code_of(lambda: retire.finish_revoke(running.service, ada, other, begun.id, answer))
        == "ceremony_used"
    )
    begun = retire.begin_revoke(running.service, ada, target)
    retire.finish_revoke(running.service, ada, target, begun.id, kept.authenticate(begun.options))
    assert code_of(lambda: sign_in(running, lost)) == "unknown_passkey"
    assert sign_in(running, kept)


def test_nobody_ends_a_passkey_of_somebody_else(running: Running) -> None:
    ada, target = running.sessions["ada"], b64.encode(running.passkeys["ben"].credential_id)
    begun = retire.begin_revoke(running.service, ada, target)
    answer = running.passkeys["ada"].authenticate(begun.options)
    assert (
        code_of(lambda: retire.finish_revoke(running.service, ada, target, begun.id, answer))
        == "unknown_passkey"
    )
    assert sign_in(running, running.passkeys["ben"])


def test_a_passkey_that_ended_cannot_be_enrolled_again(running: Running) -> None:
    lost = running.passkeys["ada"]
    invited = enrol.invite(running.service, tenant="default", person="ada", replaces=True)
    begun = enrol.begin(running.service, invited.url.rsplit("/", 1)[1])
    answer = lost.register(begun.options)
    assert code_of(lambda: enrol.finish(running.service, begun.id, answer)) == "passkey_known"


def test_who_leaves_and_returns_has_nothing_of_what_they_had(running: Running) -> None:
    old, browser = running.passkeys["ada"], running.tokens["ada"]
    pending = enrol.invite(running.service, tenant="default", person="ada", replaces=False)
    with running.service.store.begin() as tx:
        tx.accounts.link(Account("slack", "T1", "U1", "default", "ada", tx.now))
    change(running, **WITHOUT_ADA)
    change(running)
    assert signin.session(running.service, browser) is None
    assert code_of(lambda: sign_in(running, old)) == "unknown_passkey"
    assert (
        code_of(lambda: enrol.invitation(running.service, pending.url.rsplit("/", 1)[1]))
        == "invitation_used"
    )
    assert linking.person_of(running.service, channel="slack", team="T1", account="U1") is None
    token = signed_directory(running.service, "default")
    listed = directory.verify(token, keys=running.service.keys.jwks(_now(running)))
    ada = listed.person("ada")
    assert ada is not None
    assert ada.keys == ()
    ((_, opened),) = events(running, "passkey.revoked")
    assert (opened["reason"], opened["person"]) == ("left", "ada")
    assert len(events(running, "account.unlinked")) == 1
    # Invited anew, they are enrolled anew, under another handle.
    before = old.user_handle
    running.enrol("ada", seed="returned")
    assert running.passkeys["ada"].user_handle != before
    assert sign_in(running, running.passkeys["ada"])


def _now(running: Running) -> int:
    with running.service.store.read() as tx:
        return tx.now


def test_those_who_stay_keep_what_they_have(running: Running) -> None:
    change(running, **WITHOUT_ADA)
    assert sign_in(running, running.passkeys["ben"])
    assert signin.session(running.service, running.tokens["ben"]) is not None


def test_a_refused_activation_ends_nothing(running: Running) -> None:
    with pytest.raises(AssentError):
        change(running, by="mallory", **WITHOUT_ADA)
    assert sign_in(running, running.passkeys["ada"])


def at_once(acts: list[Callable[[], object]]) -> list[BaseException]:
    """Do all of it at the same moment; gives what went wrong and was not a declared refusal."""
    unexpected: list[BaseException] = []
    gate = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> None:
        gate.wait()
        try:
            act()
        except (Conflict, NotFound, Unauthenticated):
            pass
        except BaseException as error:  # noqa: BLE001 - told by the test
            unexpected.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return unexpected


def test_who_is_enrolled_or_signed_in_while_a_bundle_goes_without_them_keeps_nothing(
    running: Running,
) -> None:
    """Either the activation comes first and they are refused, or it ends what they were given."""
    for round_ in range(4):
        change(running)
        with running.service.store.read() as tx:
            enrolled = bool(tx.passkeys.active(tenant="default", person="ada"))
        if not enrolled:
            running.enrol("ada", seed=f"round {round_}")
        key = running.passkeys["ada"]
        invited = enrol.invite(running.service, tenant="default", person="ada", replaces=False)
        begun = enrol.begin(running.service, invited.url.rsplit("/", 1)[1])
        answer = SoftKey(f"further {round_}").register(begun.options)
        acts: list[Callable[[], object]] = [
            lambda: change(running, **WITHOUT_ADA),
            lambda id_=begun.id, it=answer: enrol.finish(running.service, id_, it),  # type: ignore[misc]
            lambda it=key: sign_in(running, it),  # type: ignore[misc]
        ]
        assert at_once(acts) == []
        with running.service.store.read() as tx:
            assert tx.passkeys.active(tenant="default", person="ada") == []
        change(running)
        assert code_of(lambda it=key: sign_in(running, it)) == "unknown_passkey"  # type: ignore[misc]


def asked(running: Running, amount: str) -> tuple[str, ...]:
    request = running.opened(amount)
    (requirement,) = look.request(running.service, running.sessions["ben"], request).requirements
    return requirement.people


def test_who_activated_a_text_stays_excluded_by_it_whoever_activates_it_again(
    running: Running,
) -> None:
    assert "Ada Okafor" in asked(running, "20.00")
    change(running, by="ada")
    assert "Ada Okafor" not in asked(running, "21.00")
    change(running, by="ops")
    assert "Ada Okafor" not in asked(running, "22.00")
    # Another text in between does not wash it off; a text that somebody else activated is theirs.
    other = {"policies_payments_cedar": '@id("all")\npermit (principal, action, resource);\n'}
    change(running, by="ops", **other)
    change(running, by="cleo")
    assert "Ada Okafor" not in asked(running, "23.00")
    change(running, by="cleo", tools_yaml=_retitled())
    assert "Ada Okafor" in asked(running, "24.00")


def _retitled() -> str:
    return TOOLS.replace("title: Transfer money", "title: Transfer funds")


def test_an_activation_names_a_person_of_the_bundle(running: Running) -> None:
    assert code_of(lambda: change(running, by="root")) == "unknown_person"
    change(running, by="cleo")
    *_, (_, opened) = events(running, "bundle.activated")
    assert opened["by"] == "cleo"
    assert opened["former"] == opened["bundle"]


def test_a_stolen_browser_unlinks_nothing(running: Running) -> None:
    with running.service.store.begin() as tx:
        tx.accounts.link(Account("slack", "T1", "U1", "default", "ada", tx.now))
    ada = running.sessions["ada"]
    begun = linking.begin_unlink(running.service, ada)
    for wrong, code in (
        (running.passkeys["ben"].authenticate(begun.options), "unknown_passkey"),
        (
            running.passkeys["ada"].authenticate(linking.begin_link(running.service, ada).options),
            "",
        ),
    ):
        begun = linking.begin_unlink(running.service, ada)
        found = code_of(
            lambda id_=begun.id, it=wrong: linking.unlink(running.service, ada, "slack", id_, it)  # type: ignore[misc]
        )
        assert found == code or found in {"challenge", "client_data"}
    assert linking.linked(running.service, ada, "slack") is not None
    begun = linking.begin_unlink(running.service, ada)
    answer = running.passkeys["ada"].authenticate(begun.options)
    linking.unlink(running.service, ada, "slack", begun.id, answer)
    assert linking.linked(running.service, ada, "slack") is None
