"""People are told when a passkey or a chat account becomes theirs or is theirs no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from approvals.flow.deciding import look
from approvals.flow.integrity.rounds import sequence
from approvals.flow.operating import restore
from approvals.flow.operating.activate import activate
from approvals.flow.people import enrol, linking, retire
from approvals.flow.telling.deliver import deliver
from tests.flow.lives import WITHOUT_ADA
from tests.flow.mailing import WITH_MAIL, Recorder
from tests.service import Running, bundle_files
from tests.softkey import SoftKey

if TYPE_CHECKING:
    from collections.abc import Callable


def use(running: Running, **files: str) -> None:
    key = running.enforcer_key.public_jwk()
    activate(running.service, tenant="default", files=bundle_files(key, **files), by="ops")


def answered(running: Running, ask: Callable[..., object], *more: object) -> tuple[str, object]:
    asked = ask(running.service, running.session("ada"), *more)
    answer = running.passkeys["ada"].authenticate(asked.options)  # type: ignore[attr-defined]
    return asked.id, answer  # type: ignore[attr-defined]


def held(running: Running) -> str:
    return look.passkeys(running.service, running.session("ada"))[0].credential_id


def further(running: Running) -> None:
    proven = answered(running, enrol.begin_further)
    begun = enrol.prove(running.service, running.session("ada"), *proven)
    made = SoftKey("ada's other").register(begun.options)
    enrol.finish_further(running.service, running.session("ada"), begun.id, made)


def own_revoke(running: Running) -> None:
    ended = held(running)
    proven = answered(running, retire.begin_revoke, ended)
    retire.finish_revoke(running.service, running.session("ada"), ended, *proven)


def link(running: Running) -> None:
    proven = answered(running, linking.begin_link)
    code = linking.start_link(running.service, running.session("ada"), "slack", *proven).code
    linking.finish_link(running.service, channel="slack", team="T1", account="U1", code=code)


def unlink(running: Running) -> None:
    proven = answered(running, linking.begin_unlink)
    linking.unlink(running.service, running.session("ada"), "slack", *proven)


def shell_revoke(running: Running) -> None:
    retire.revoke(running.service, tenant="default", person="ada", credential_id=held(running))


def replace(running: Running) -> None:
    enrol.invite(running.service, tenant="default", person="ada", replaces=True)


def told(running: Running) -> list[tuple[str, str, str]]:
    """What is sent by mail now: to whom, of which kind, and the path that it leads to."""
    mail = Recorder()
    while deliver(running.service, mail, worker="w"):
        pass
    origin = running.service.settings.url
    return sorted(
        (message.recipient.id, message.kind.value, message.url.removeprefix(origin))
        for message, _ in mail.sent
    )


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (further, "passkey.enrolled"),
        (own_revoke, "passkey.revoked"),
        (shell_revoke, "passkey.revoked"),
        (replace, "passkey.revoked"),
    ],
)
def test_a_person_is_told_once_of_a_passkey_that_is_added_or_ends(
    running: Running, act: Callable[[Running], None], kind: str
) -> None:
    """By a link that shows and signs nobody in: a stolen session or invitation is noticed."""
    use(running, people_yaml=WITH_MAIL)
    act(running)
    assert told(running) == [("ada", kind, "/me")]
    assert told(running) == []


def test_a_person_is_told_of_a_chat_account_that_becomes_theirs_and_is_theirs_no_more(
    running: Running,
) -> None:
    use(running, people_yaml=WITH_MAIL)
    link(running)
    assert told(running) == [("ada", "account.linked", "/me")]
    unlink(running)
    assert told(running) == [("ada", "account.unlinked", "/me")]


def test_a_person_is_told_what_an_operator_ends_who_accepts_a_restored_database(
    running: Running,
) -> None:
    use(running, people_yaml=WITH_MAIL)
    link(running)
    sequence(running.service)
    told(running)
    restore.accept(running.service, reason="restored", ending=restore.Ending(frozenset({"ada"})))
    assert told(running) == [("ada", "account.unlinked", "/me"), ("ada", "passkey.revoked", "/me")]


def test_several_passkeys_that_are_replaced_are_one_notice(running: Running) -> None:
    use(running, people_yaml=WITH_MAIL)
    further(running)
    told(running)
    replace(running)
    assert told(running) == [("ada", "passkey.revoked", "/me")]


def test_who_leaves_is_not_written_to(running: Running) -> None:
    use(running, people_yaml=WITH_MAIL)
    use(running, **WITHOUT_ADA)
    assert told(running) == []
