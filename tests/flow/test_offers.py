"""What is offered once: invitations, challenges and codes that ended, and are put back."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from approvals.core.decision.occasion import Purpose
from approvals.core.errors import AssentError, Conflict, ProofError, Unavailable
from approvals.flow.deciding import look
from approvals.flow.integrity.rounds import sequence
from approvals.flow.operating.activate import activate
from approvals.flow.operating.restore import Ending, accept, checked
from approvals.flow.people import enrol, linking, passkeys, proof, signin
from approvals.flow.people.challenges import stored_id
from approvals.store.rows.calls import ApprovalRow, RequestRow
from approvals.store.rows.people import (
    CeremonyRow,
    HandleRow,
    InvitationRow,
    LinkCodeRow,
    SessionRow,
)
from tests.flow.lives import WITHOUT_ADA
from tests.flow.put_back import another_process
from tests.intruder import Intruder, Values, table_of
from tests.service import bundle_files
from tests.softkey import SoftKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Table

    from approvals.flow.people.challenges import Ceremony
    from approvals.flow.service import Service
    from approvals.store.rows.sealed import SealedRow
    from tests.service import Running

INVITATION, HANDLE = table_of(InvitationRow), table_of(HandleRow)
CEREMONY, CODE = table_of(CeremonyRow), table_of(LinkCodeRow)
SESSION = table_of(SessionRow)


def invited(service: Service, person: str) -> str:
    invitation = enrol.invite(service, tenant="default", person=person, replaces=False)
    return invitation.url.rsplit("/", 1)[1]


def enrolled(service: Service, token: str) -> str:
    begun = enrol.begin(service, token)
    return enrol.finish(service, begun.id, SoftKey("thief").register(begun.options))


def altered(act: Callable[[], object]) -> None:
    with pytest.raises(AssentError) as refused:
        act()
    assert refused.value.code == "row_altered"


def found(service: Service) -> set[str]:
    sequence(service)
    return {each.code for each in checked(service).findings}


def test_an_invitation_that_a_restore_ended_opens_nothing(
    running: Running, intruder: Intruder
) -> None:
    token = invited(running.service, "cleo")
    sequence(running.service)
    (before,) = (row for row in intruder.rows(INVITATION) if row["person"] == "cleo")
    with another_process(running) as shell:
        accept(shell, reason="the disk failed", ending=Ending())
        (now,) = (row for row in intruder.rows(INVITATION) if row["person"] == "cleo")
        intruder.edit(INVITATION, now, **before)
        altered(lambda: enrolled(shell, token))
        assert found(shell) == {"row_differs"}


def test_an_invitation_of_somebody_who_left_opens_nothing_when_they_return(
    running: Running, intruder: Intruder
) -> None:
    token = invited(running.service, "ada")
    (handle,) = (row for row in intruder.rows(HANDLE) if row["person"] == "ada")
    (before,) = (
        row
        for row in intruder.rows(INVITATION)
        if row["person"] == "ada" and row["state"] == "open"
    )
    jwk = running.enforcer_key.public_jwk()
    for files in (bundle_files(jwk, **WITHOUT_ADA), bundle_files(jwk)):
        activate(running.service, tenant="default", files=files, by="ops")
    running.service.forget_recent("default")
    intruder.insert(HANDLE, handle)
    (now,) = (row for row in intruder.rows(INVITATION) if row["token_hash"] == before["token_hash"])
    intruder.edit(INVITATION, now, **before)
    altered(lambda: enrolled(running.service, token))


def further(running: Running) -> Ceremony:
    here, session = running.service, running.session("ada")
    begun = enrol.begin_further(here, session)
    held = running.passkeys["ada"].authenticate(begun.options)
    return enrol.prove(here, session, begun.id, held)


def test_a_challenge_gives_one_passkey(running: Running, intruder: Intruder) -> None:
    here, session = running.service, running.session("ada")
    given = further(running)
    (before,) = (row for row in intruder.rows(CEREMONY) if row["id"] == stored_id(given.id))
    enrol.finish_further(here, session, given.id, SoftKey("second").register(given.options))
    for row in intruder.rows(CEREMONY):
        if row["id"] == stored_id(given.id):
            intruder.delete(CEREMONY, row)
    intruder.insert(CEREMONY, before)
    thief = SoftKey("thief").register(given.options)
    altered(lambda: enrol.finish_further(here, session, given.id, thief))
    assert len(look.passkeys(here, session)) == 2


def test_a_challenge_from_before_a_loss_gives_none(
    running: Running, intruder: Intruder, later: Callable[[int], None]
) -> None:
    given = further(running)
    (before,) = (row for row in intruder.rows(CEREMONY) if row["id"] == stored_id(given.id))
    later(2)
    running.enrol("ada", replaces=True, seed="new")
    for row in intruder.rows(CEREMONY):
        if row["id"] == stored_id(given.id):
            intruder.delete(CEREMONY, row)
    intruder.insert(CEREMONY, before)
    thief = SoftKey("thief").register(given.options)
    now = running.session("ada")
    altered(lambda: enrol.finish_further(running.service, now, given.id, thief))


def test_nothing_in_the_database_answers_a_challenge(running: Running, intruder: Intruder) -> None:
    """Somebody reads the rows and has a stolen session, while the person is on their way."""
    here, session = running.service, running.session("ada")
    given = further(running)
    (row,) = (
        row for row in intruder.rows(CEREMONY) if (row["person"], row["state"]) == ("ada", "open")
    )
    (handle,) = (row["handle"] for row in intruder.rows(HANDLE) if row["person"] == "ada")
    options = passkeys.creation_options(
        here.settings,
        challenge=row["challenge"],
        handle=handle,
        name="ada",
        display_name="Ada",
        known=(),
    )
    thief = SoftKey("thief").register(options)
    for known in (value for value in row.values() if isinstance(value, str)):
        assert given.id not in known
        with pytest.raises(Conflict, match="start again"):
            enrol.finish_further(here, session, known, thief)
    assert len(look.passkeys(here, session)) == 1
    enrol.finish_further(here, session, given.id, SoftKey("second").register(given.options))
    assert len(look.passkeys(here, session)) == 2


@pytest.mark.parametrize("how", ["replaced", "restored"])
def test_a_challenge_ends_with_what_its_person_had_in_the_same_second(
    running: Running, intruder: Intruder, how: str
) -> None:
    given = further(running)
    (before,) = (row for row in intruder.rows(CEREMONY) if row["id"] == stored_id(given.id))
    with ended(running, how):
        for row in intruder.rows(CEREMONY):
            if row["id"] == stored_id(given.id):
                intruder.delete(CEREMONY, row)
        intruder.insert(CEREMONY, before)
        assert found(running.service) == {"row_differs"}
        running.sign_in("ada")
        thief, now = SoftKey("thief").register(given.options), running.session("ada")
        altered(lambda: enrol.finish_further(running.service, now, given.id, thief))


@contextlib.contextmanager
def ended(running: Running, how: str) -> Iterator[None]:
    """All that Ada was given until now ends, in one of two ways."""
    sequence(running.service)
    with another_process(running) as shell:
        if how == "replaced":
            running.enrol("ada", replaces=True, seed="new")
        else:
            accept(shell, reason="the disk failed", ending=Ending())
        yield


def test_what_was_given_before_a_restore_ends_although_its_row_was_away(
    running: Running, intruder: Intruder
) -> None:
    """The rows are taken out before the restore is accepted, and put back afterwards."""
    here, old = running.service, running.session("ada")
    linking_code = code(running)
    challenge = further(running)
    unanswered = signin.begin(here)
    asked = proof.ask(here, old, purpose=Purpose.LINK)
    sequence(here)
    away = {table: intruder.rows(table) for table in (SESSION, CEREMONY, CODE)}
    for table, rows in away.items():
        for row in rows:
            intruder.delete(table, row)
    with another_process(running) as shell:
        accept(shell, reason="the disk failed", ending=Ending())
        sequence(shell)
        for table, rows in away.items():
            intruder.put_back(table, rows)
        differing = [each for each in checked(shell).findings if "a restore ended" in each.message]
        assert {each.place.split()[0] for each in differing} == {"session", "ceremony", "link_code"}
        altered(lambda: signin.session(shell, running.tokens["ada"]))
        altered(lambda: link(running, linking_code, "U2"))
        answer = running.passkeys["ada"].authenticate(unanswered.options)
        with pytest.raises(Conflict, match="start again"):
            signin.finish(shell, unanswered.id, answer)
        running.sign_in("ada")
        now, thief = running.session("ada"), SoftKey("thief").register(challenge.options)
        altered(lambda: enrol.finish_further(shell, now, challenge.id, thief))
        answer = running.passkeys["ada"].authenticate(asked.options)
        altered(lambda: linking.start_link(shell, now, "slack", asked.id, answer))


def test_a_restore_ends_what_was_given_in_every_tenant(
    running: Running, intruder: Intruder
) -> None:
    here = running.service
    jwk = running.enforcer_key.public_jwk()
    activate(here, tenant="other", files=bundle_files(jwk), by="ops")
    invitation = enrol.invite(here, tenant="other", person="ada").url
    begun = enrol.begin(here, invitation.rsplit("/", 1)[1])
    key = SoftKey("other ada")
    token = enrol.finish(here, begun.id, key.register(begun.options))
    session = signin.session(here, token)
    assert session is not None
    asked = proof.ask(here, session, purpose=Purpose.LINK)
    given = linking.start_link(here, session, "slack", asked.id, key.authenticate(asked.options))
    sequence(here)
    away = {table: intruder.rows(table) for table in (SESSION, CODE)}
    with another_process(running) as shell:
        accept(shell, reason="the disk failed", ending=Ending())
        for table, rows in away.items():
            intruder.put_back(table, rows)
        altered(lambda: signin.session(shell, token))
        altered(lambda: link(running, given.code, "U2"))


@pytest.mark.parametrize("how", ["missing", "altered"])
def test_a_restore_is_refused_while_the_handle_of_a_person_is_not_there(
    running: Running, intruder: Intruder, how: str
) -> None:
    running.session("ada")
    sequence(running.service)
    (handle,) = (row for row in intruder.rows(HANDLE) if row["person"] == "ada")
    if how == "missing":
        intruder.delete(HANDLE, handle)
    else:
        intruder.edit(HANDLE, handle, handle=bytes(32))
    with another_process(running) as shell:
        with pytest.raises(Unavailable, match=r"handle of ada .* put this row") as refused:
            accept(shell, reason="the disk failed", ending=Ending(everybody=True))
        assert refused.value.code == "row_altered"
        if how == "missing":
            intruder.insert(HANDLE, handle)
        else:
            intruder.edit(HANDLE, handle, handle=handle["handle"])
        accept(shell, reason="the disk failed", ending=Ending(everybody=True))


@pytest.mark.parametrize("row", [RequestRow, ApprovalRow, InvitationRow])
def test_a_restore_ends_what_has_no_row_and_comes_back(
    running: Running, intruder: Intruder, row: type[SealedRow]
) -> None:
    table = table_of(row)
    before = intruder.rows(table)
    if row is InvitationRow:
        invited(running.service, "cleo")
    elif row is RequestRow:
        running.opened("20.00")
    else:
        running.decide("ada", running.opened("20.00"))
    sequence(running.service)
    (away,) = (each for each in intruder.rows(table) if each not in before and is_open(each))
    intruder.delete(table, away)
    with another_process(running) as shell:
        accept(shell, reason="the disk failed", ending=Ending())
        assert "row_missing" in found(shell)
        intruder.insert(table, away)
        assert found(shell) == {"row_differs"}


@pytest.mark.parametrize("row", [RequestRow, InvitationRow])
def test_a_restore_is_refused_while_a_row_says_that_what_ended_is_open(
    running: Running, intruder: Intruder, row: type[SealedRow]
) -> None:
    table = table_of(row)
    before = intruder.rows(table)
    if row is InvitationRow:
        invited(running.service, "cleo")
    else:
        name = running.opened("20.00")
    (was,) = (each for each in intruder.rows(table) if each not in before and is_open(each))
    if row is InvitationRow:
        invited(running.service, "cleo")
    else:
        running.decide("ada", name, "deny")
    (now,) = (each for each in intruder.rows(table) if ended_as(table, each, was))
    sequence(running.service)
    intruder.edit(table, now, **was)
    with another_process(running) as shell:
        with pytest.raises(ProofError, match="put this row back") as refused:
            accept(shell, reason="the disk failed", ending=Ending())
        assert refused.value.code == "log_altered"
        intruder.edit(table, was, **now)
        accept(shell, reason="the disk failed", ending=Ending())


def ended_as(table: Table, one: Values, other: Values) -> bool:
    return all(one[key.name] == other[key.name] for key in table.primary_key.columns)


def is_open(row: Values) -> bool:
    return row["state"] in {"open", "pending", "live"}


def test_who_leaves_while_their_handle_is_away_loses_what_they_had_first(
    running: Running, intruder: Intruder
) -> None:
    running.session("ada")
    (handle,) = (row for row in intruder.rows(HANDLE) if row["person"] == "ada")
    intruder.delete(HANDLE, handle)
    jwk = running.enforcer_key.public_jwk()
    without = bundle_files(jwk, **WITHOUT_ADA)
    with pytest.raises(Unavailable, match="handle of ada"):
        activate(running.service, tenant="default", files=without, by="ops")
    activate(running.service, tenant="default", files=bundle_files(jwk), by="ops")  # ada stays
    intruder.insert(HANDLE, handle)
    activate(running.service, tenant="default", files=without, by="ops")


def code(running: Running) -> str:
    here, session = running.service, running.session("ada")
    asked = proof.ask(here, session, purpose=Purpose.LINK)
    answer = running.passkeys["ada"].authenticate(asked.options)
    return linking.start_link(here, session, "slack", asked.id, answer).code


def link(running: Running, given: str, account: str) -> str:
    return linking.finish_link(
        running.service, channel="slack", team="T1", account=account, code=given
    )


def test_only_the_newest_code_links(running: Running, intruder: Intruder) -> None:
    first = code(running)
    before = intruder.rows(CODE)
    second = code(running)
    for row in intruder.rows(CODE):
        if row["code_hash"] == before[0]["code_hash"]:
            intruder.edit(CODE, row, **before[0])
    assert found(running.service) == {"row_differs"}
    altered(lambda: link(running, first, "U2"))
    assert link(running, second, "U1") == "ada"


@pytest.mark.parametrize("how", ["replaced", "restored"])
def test_a_code_ends_with_what_its_person_had(
    running: Running, intruder: Intruder, how: str
) -> None:
    given = code(running)
    before = intruder.rows(CODE)
    with ended(running, how):
        with pytest.raises(Conflict):
            link(running, given, "U2")
        intruder.put_back(CODE, before)
        assert found(running.service) == {"row_differs"}
        altered(lambda: link(running, given, "U2"))


def test_a_code_links_one_account(running: Running, intruder: Intruder) -> None:
    here, session, key = running.service, running.session("ada"), running.passkeys["ada"]
    asked = proof.ask(here, session, purpose=Purpose.LINK)
    answer = key.authenticate(asked.options)
    link = linking.start_link(here, session, "slack", asked.id, answer)
    before = intruder.rows(CODE)
    linking.finish_link(here, channel="slack", team="T1", account="U1", code=link.code)
    asked = proof.ask(here, session, purpose=Purpose.UNLINK)
    linking.unlink(here, session, "slack", asked.id, key.authenticate(asked.options))
    intruder.put_back(CODE, before)
    altered(
        lambda: linking.finish_link(here, channel="slack", team="T1", account="U2", code=link.code)
    )
