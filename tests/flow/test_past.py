"""What was decided is judged by the keys, people and groups of its time, with the pins of today."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from sqlalchemy import text

from approvals.core import b64, evidence_file, jws
from approvals.core import directory as directories
from approvals.core.approval import MAX_LIFE, MAX_SKEW
from approvals.core.decision.ceremony import StepUp
from approvals.core.errors import AssentError, Unavailable
from approvals.core.jws import KeySet
from approvals.flow import status
from approvals.flow.auditing.evidence import evidence
from approvals.flow.granting import consume
from approvals.flow.integrity.introduce import introduce
from approvals.flow.knowing.history import History
from approvals.flow.operating.activate import activate
from approvals.flow.people import retire
from approvals.flow.people.directory import directory
from approvals.flow.service import Service
from approvals.keys import Keyring
from approvals.keys.mark import Mark, Marked
from tests.service import PEOPLE, bundle_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from approvals.core.directory import Directory
    from tests.service import Running

WITHOUT_BEN = PEOPLE.replace("  ben: {name: Ben Silva}\n", "").replace(
    "[ada, ben, uma]", "[ada, cleo, uma]"
)
AGENTS_WITHOUT_BEN = """
agents:
  billing-agent: {owner: cleo, purpose: Pays, model: m, tier: 2, users: [ada, cleo, uma]}
"""
BEN_IS_A_MANAGER = PEOPLE.replace("[ada, ben, uma]", "[ada, uma]").replace("[cleo]", "[ben, cleo]")


def now(running: Running) -> int:
    with running.service.store.read() as tx:
        return tx.now


def pinned(running: Running) -> Directory:
    return directories.verify(
        directory(running.service, "default"), keys=running.service.keys.history()
    )


def wrong(running: Running, file: bytes, people: Directory | str | None = None) -> dict[str, str]:
    """The steps of a file that do not hold with today's pins."""
    findings = evidence_file.verify(
        file,
        jwks=running.service.keys.history(),
        vkeys=[running.service.keys.vkey],
        directory=people or directory(running.service, "default"),
        issuer=running.service.settings.url,
    )
    return {found.step: found.detail for found in findings if not found.ok}


def filed(running: Running, *people: str) -> bytes:
    """A transfer that these people approved and that ran; its evidence as a file."""
    request = running.opened("750.00" if len(people) > 1 else "20.00")
    for person in people:
        running.decide(person, request)
    jti, hashed = "apr_" + request[4:], status.status(running.service, running.caller, request)
    consume.consume(running.service, running.caller, jti, call_hash=hashed.call_hash, use_id="u")
    return orjson.dumps(evidence(running.service, running.caller, request))


def become(running: Running, **files: str) -> None:
    made = bundle_files(running.enforcer_key.public_jwk(), **files)
    activate(running.service, tenant="default", files=made, by="ops")


def restarted(running: Running) -> Running:
    """The same home and database in a new process, as far as memory goes."""
    old = running.service
    keys = Keyring.open(old.settings.home, now=int(time.time()))
    service = Service(store=old.store, keys=keys, settings=old.settings, mark=Mark(keys.folder))
    introduce(service)
    running.service = service
    return running


def test_every_file_ever_made_holds_with_todays_pins(
    running: Running, later: Callable[[int], None]
) -> None:
    files = [filed(running, "ada", "ben")]

    def rotated() -> None:
        running.service.keys.rotate(now(running), delay=0)
        introduce(running.service)
        later(60)

    rotated()
    files.append(filed(running, "ada", "ben"))
    later(60)
    become(running, people_yaml=WITHOUT_BEN, agents_yaml=AGENTS_WITHOUT_BEN)
    running.sessions.pop("ben")
    later(60)
    files.append(filed(running, "ada", "cleo"))
    rotated()
    become(running)
    later(60)
    running.enrol("ben", seed="returned")
    running.enrol("ada", seed="new phone", replaces=True)
    files.append(filed(running, "ada", "ben"))
    later(MAX_LIFE + MAX_SKEW)
    rotated()
    become(running, people_yaml=BEN_IS_A_MANAGER)
    files.append(filed(running, "ada"))
    running = restarted(running)
    later(MAX_LIFE + MAX_SKEW)
    assert [wrong(running, file) for file in files] == [{}] * 5
    people = pinned(running)
    listed: Any = running.service.keys.history()["keys"]
    live: Any = running.service.keys.jwks(now(running))["keys"]
    assert (len(listed), len(live)) == (4, 1)
    ended = {(it.person, it.key.since <= it.until) for it in people.former_keys}
    assert ended == {("ada", True), ("ben", True)}
    assert [place.groups for place in people.former_people if place.id == "ben"] == [
        ("finance",),
        ("finance",),
    ]
    ben = people.person("ben")
    assert ben is not None
    assert ben.groups == ("managers",)


def test_an_older_pin_than_the_file_says_so(running: Running, later: Callable[[int], None]) -> None:
    old = pinned(running)
    later(5)
    running.enrol("cleo")
    running.enrol("ben", seed="another", replaces=True)
    file = filed(running, "ada", "ben")
    assert wrong(running, file) == {}
    found = wrong(running, file, old)
    assert "pin a newer one" in found["votes[1]"]


@pytest.mark.parametrize("reason", ["revoked", "left"])
def test_a_decision_after_a_passkey_ended_does_not_hold(
    running: Running, later: Callable[[int], None], reason: str
) -> None:
    """As whoever stole passkey and signing key would make it: the time of the end decides."""
    later(5)
    file = filed(running, "ada", "ben")
    later(5)
    if reason == "left":
        become(running, people_yaml=WITHOUT_BEN, agents_yaml=AGENTS_WITHOUT_BEN)
    else:
        credential = b64.encode(running.passkeys["ben"].credential_id)
        retire.revoke(running.service, tenant="default", person="ben", credential_id=credential)
    people = pinned(running)
    assert wrong(running, file, people) == {}
    (ended,) = people.former_keys
    document = people.document()
    former = document["former"]
    assert isinstance(former, dict)
    former["keys"] = [{**ended.document(), "until": ended.until - 6}]
    earlier = directories.Directory.from_document(document)
    assert wrong(running, file, earlier).keys() >= {"votes[1]", "approval"}


def test_a_passkey_ends_after_what_it_did_whatever_the_clock_of_its_transaction(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction has the time of its beginning, and may wait for one that began later."""
    file = filed(running, "ada", "ben")
    began = now(running) - 20
    monkeypatch.setattr(running.service.store, "_now", lambda _session: began)
    credential = b64.encode(running.passkeys["ben"].credential_id)
    retire.revoke(running.service, tenant="default", person="ben", credential_id=credential)
    monkeypatch.undo()
    assert wrong(running, file) == {}


# -- the number


def test_each_change_has_a_greater_number_and_no_change_has_another_content(
    running: Running,
) -> None:
    numbers = [pinned(running)]
    running.enrol("cleo")
    numbers.append(pinned(running))
    become(running, people_yaml=BEN_IS_A_MANAGER)
    numbers.append(pinned(running))
    retire.revoke(
        running.service,
        tenant="default",
        person="ada",
        credential_id=b64.encode(running.passkeys["ada"].credential_id),
    )
    numbers.append(pinned(running))
    assert [it.number for it in numbers] == sorted({it.number for it in numbers})
    again = pinned(running)
    assert again.number == numbers[-1].number
    assert again.content() == numbers[-1].content()


def test_nothing_is_published_that_has_no_place_in_the_log(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.enrol("cleo")
    with monkeypatch.context() as patch:
        patch.setattr("approvals.flow.people.directory.sequence", lambda _service: 0)
        with pytest.raises(Unavailable) as refused:
            directory(running.service, "default")
    assert refused.value.code == "not_logged"
    assert pinned(running).person("cleo") is not None


def test_a_database_that_was_put_back_lowers_no_number(tmp_path: Path) -> None:
    """Twice, and each time to before the former restore."""
    keys = Keyring.open(tmp_path, now=1)
    mark = Mark(keys.folder)

    def number(size: int) -> int:
        return mark.lost + size

    mark.stored(Marked("a", 100, bytes(32), "n"))
    mark.keep()
    mark.signing(Marked("a", 120, bytes(32), "n"), after=Marked("a", 100, bytes(32), "n"))
    highest = number(120)
    mark.accept(Marked("b", 50, bytes(32), "n"))
    assert number(50) >= highest
    mark.stored(Marked("b", 60, bytes(32), "n"))
    mark.keep()
    highest = number(60)
    other = Mark(keys.folder)
    other.accept(Marked("c", 10, bytes(32), "n"))
    mark.reload()
    assert (number(10), other.lost) == (other.lost + 10, mark.lost)
    assert number(10) >= highest
    assert Mark(keys.folder).lost == mark.lost


# -- rows


@pytest.mark.parametrize(
    "edit",
    [
        "DELETE FROM activation WHERE number = 1",
        "UPDATE activation SET created = created + 1 WHERE number = 1",
        "UPDATE passkey SET ended = ended + 100 WHERE state = 'revoked'",
        "UPDATE passkey SET created = created - 100 WHERE state = 'revoked'",
    ],
)
def test_a_past_that_was_edited_is_not_published(running: Running, edit: str) -> None:
    running.enrol("ada", seed="new", replaces=True)
    become(running, people_yaml=BEN_IS_A_MANAGER)
    become(running)
    directory(running.service, "default")
    with running.service.store.begin() as tx:
        tx.session.execute(text(edit))
    object.__setattr__(running.service, "history", History())
    with pytest.raises(AssentError) as refused:
        directory(running.service, "default")
    assert refused.value.code == "row_altered"


def test_what_was_read_of_another_state_of_the_database_is_read_again(running: Running) -> None:
    history = History()
    with running.service.store.read() as tx:
        before = history.places(tx, "default")
    become(running, people_yaml=BEN_IS_A_MANAGER)
    with running.service.store.read() as tx:
        after = history.places(tx, "default")
        fresh = History().places(tx, "default")
    assert after == fresh
    assert before is not None
    assert after is not None
    assert after.last.number == before.last.number + 1
    # As after a restore to before what is remembered, and to a history that went on differently.
    for number in (after.last.number + 5, after.last.number):
        other = History()
        other._places["default"] = replace(
            after, last=replace(after.last, number=number, version="other")
        )
        with running.service.store.read() as tx:
            assert other.places(tx, "default") == fresh


# -- keys


def test_a_published_key_says_its_time_and_a_set_keeps_it(running: Running) -> None:
    keys = running.service.keys
    keys.rotate(now(running), delay=3600)
    published = KeySet.from_jwks(keys.jwks(now(running))).jwks()
    assert published == keys.history()
    listed: Any = published["keys"]
    first, second = listed
    assert "nbf" not in first
    assert first["exp"] == second["nbf"] + MAX_LIFE + MAX_SKEW
    assert "exp" not in second


def test_what_a_stolen_retired_key_signs_is_not_in_the_log(
    running: Running, later: Callable[[int], None]
) -> None:
    """Another approval of the same time, by the key of that time: no event tells of it."""
    file = orjson.loads(filed(running, "ada", "ben"))
    stolen = running.service.keys.signer(now(running))
    running.service.keys.rotate(now(running), delay=0)
    introduce(running.service)
    later(MAX_LIFE + MAX_SKEW + 60)
    _, claims = jws.verify(
        file["approval"], keys=running.service.keys.history(), typ="agent-approval+jwt"
    )
    forged = {
        **file,
        "approval": jws.sign(
            {**claims, "exp": int(str(claims["exp"])) - 1}, key=stolen, typ="agent-approval+jwt"
        ),
    }
    found = wrong(running, orjson.dumps(forged))
    assert "approval" not in found
    assert "story" in found
    later_claims = {**claims, "iat": now(running), "nbf": now(running), "exp": now(running) + 60}
    forged["approval"] = jws.sign(later_claims, key=stolen, typ="agent-approval+jwt")
    assert "approval" in wrong(running, orjson.dumps(forged))


def test_hardware_is_hardware_in_the_past_too(running: Running) -> None:
    running.enrol("ada", seed="new", replaces=True)
    assert [it.key.step_up for it in pinned(running).former_keys] == [StepUp.PASSKEY]
