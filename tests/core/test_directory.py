"""The directory of approvers' keys: who is who, and no key that is two people's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from approvals.core import directory as directories
from approvals.core import jws
from approvals.core.directory import OVERLAP, Approver, Directory, FormerKey, FormerPlace
from approvals.core.errors import Invalid, JwsError
from tests.company import NOW, Company, enrolled, make_signing_key
from tests.softkey import SoftKey

COMPANY = Company()
DIRECTORY = COMPANY.directory
DAY = 86_400


def with_people(*people: Approver) -> Directory:
    return replace(DIRECTORY, people=people)


def test_it_reads_back_as_itself() -> None:
    assert Directory.from_document(DIRECTORY.document()) == DIRECTORY


def test_it_is_published_signed() -> None:
    token = directories.sign(DIRECTORY, key=COMPANY.key)
    assert directories.verify(token, keys=COMPANY.jwks) == DIRECTORY
    with pytest.raises(JwsError) as caught:
        directories.verify(token, keys={"keys": [make_signing_key().public_jwk()]})
    assert caught.value.reason == "unknown_key"
    other = jws.sign(DIRECTORY.document(), key=COMPANY.key, typ="JWT")
    with pytest.raises(JwsError) as caught:
        directories.verify(other, keys=COMPANY.jwks)
    assert caught.value.reason == "type"


def test_members_are_a_groups_or_the_person_named() -> None:
    assert DIRECTORY.members("finance") == {"ada", "ben"}
    assert DIRECTORY.members("managers") == {"ben", "cleo"}
    assert DIRECTORY.members("dora") == {"dora"}
    assert DIRECTORY.members("nobody") == frozenset()


def test_the_members_of_a_group_are_looked_up_and_not_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Approver, "groups", property(lambda _: pytest.fail("everybody was read")))
    assert DIRECTORY.members("finance") == {"ada", "ben"}


@pytest.mark.parametrize(
    ("time", "ada", "emil"),
    [
        (0, None, (("finance",), 0)),
        (NOW - DAY, (("managers",), 2), (("finance",), 1)),
        (NOW - OVERLAP - 1, (("managers",), 2), (("finance",), 1)),
        (NOW, (("finance", "managers"), 2), (("finance",), 1)),
        (NOW + OVERLAP, (("finance", "managers"), 1), None),
        (NOW + OVERLAP + 1, (("finance",), 1), None),
    ],
)
def test_one_person_of_the_past_is_who_they_are_among_all_of_the_past(
    time: int, ada: tuple[tuple[str, ...], int] | None, emil: tuple[tuple[str, ...], int] | None
) -> None:
    changed = replace(
        DIRECTORY,
        people=(replace(DIRECTORY.people[0], since=NOW), *DIRECTORY.people[1:]),
        former_people=(
            FormerPlace(id="ada", groups=("managers",), stand_ins=(), since=NOW - DAY, until=NOW),
            FormerPlace(id="emil", groups=("finance",), stand_ins=(), since=0, until=NOW - 1),
        ),
        former_keys=(
            FormerKey(person="emil", key=enrolled(SoftKey("emil")), until=NOW),
            FormerKey(person="ada", key=replace(enrolled(SoftKey("old")), since=0), until=NOW),
        ),
    )
    then = changed.at(time)
    for person, held in (("ada", ada), ("emil", emil), ("nobody", None)):
        found = changed.person_at(person, time)
        assert found == then.person(person)
        assert (None if found is None else (found.groups, len(found.keys))) == held


def test_people_and_keys_are_found_by_their_ids() -> None:
    ada = DIRECTORY.person("ada")
    assert ada is not None
    assert ada.key(COMPANY.passkeys["ada"].credential_id) == ada.keys[0]
    assert ada.key(COMPANY.passkeys["ben"].credential_id) is None
    assert DIRECTORY.person("mallory") is None


def test_a_key_belongs_to_one_person() -> None:
    ada, ben = DIRECTORY.people[:2]
    same_credential = replace(ben.keys[0], credential_id=ada.keys[0].credential_id)
    same_public_key = replace(ben.keys[0], public_key=ada.keys[0].public_key)
    for key in (ada.keys[0], same_credential, same_public_key):
        with pytest.raises(Invalid) as caught:
            with_people(ada, replace(ben, keys=(key,)))
        assert caught.value.place == "directory.people[1].keys"


def test_a_person_may_have_several_keys_and_none() -> None:
    ada = DIRECTORY.people[0]
    more = replace(ada, keys=(*ada.keys, enrolled(SoftKey("second"))))
    assert with_people(more, Approver(id="zoe", groups=(), keys=(), since=1)).people[0] == more


def test_a_person_stands_there_once() -> None:
    ada = DIRECTORY.people[0]
    with pytest.raises(Invalid) as caught:
        with_people(ada, replace(ada, keys=()))
    assert caught.value.place == "directory.people[1].id"


def test_a_group_is_not_named_like_a_person() -> None:
    ada, ben = DIRECTORY.people[:2]
    with pytest.raises(Invalid) as caught:
        with_people(ada, replace(ben, groups=("ada",)))
    assert caught.value.place == "directory.people[1].groups"


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (("typ",), "assent/directory/2", "directory.typ"),
        (("iat",), -1, "directory.iat"),
        (("number",), -1, "directory.number"),
        (("number",), True, "directory.number"),
        (("number",), 2**53, "directory.number"),
        (("former",), [], "directory.former"),
        (("former", "people"), [{}], "directory.former.people[0].from"),
        (("former", "keys"), [{}], "directory.former.keys[0].aaguid"),
        (("people", 0, "from"), -1, "directory.people[0].from"),
        (("people", 0, "keys", 0, "from"), None, "directory.people[0].keys[0].from"),
        (("origins",), "https://a.example", "directory.origins"),
        (("origins",), [None], "directory.origins[0]"),
        (("surprise",), 1, "directory.surprise"),
        (("people", 0), [], "directory.people[0]"),
        (("people", 0, "groups"), [1], "directory.people[0].groups[0]"),
        (("people", 0, "name"), "Ada", "directory.people[0].name"),
        (("people", 0, "keys", 0, "aaguid"), "AA", "directory.people[0].keys[0].aaguid"),
        (("people", 0, "keys", 0, "public_key"), "=", "directory.people[0].keys[0].public_key"),
        (
            ("people", 0, "keys", 0, "backup_eligible"),
            0,
            "directory.people[0].keys[0].backup_eligible",
        ),
        (("people", 0, "keys", 0, "step_up"), "session", "directory.people[0].keys[0].step_up"),
        (("people", 0, "keys", 0, "step_up"), "hardware", "directory.people[0].keys[0].step_up"),
        # Listed as hardware in this company; a key that can be copied is none.
        (("people", 0, "keys", 0, "backup_eligible"), True, "directory.people[0].keys[0].step_up"),
    ],
)
def test_a_document_that_is_not_exact_is_refused(
    path: tuple[str | int, ...], value: object, place: str
) -> None:
    document: Any = DIRECTORY.document()
    inner = document
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(Invalid) as caught:
        Directory.from_document(document)
    assert (caught.value.code, caught.value.place) == ("malformed", place)
