"""The directory of approvers: who may approve in one tenant, and who could before.

What holds of a directory that was read:
1. Person ids and group names are told apart, and no credential and no public key is there twice, so
   that distinct persons are distinct keys.
2. `people` is who may approve now, and with which passkeys. `former` is what held before, and until
   when: passkeys that ended, and places that people had. Only `at` looks at it, to judge what was
   decided then; a call that is about to run is judged by `people` alone.
3. `number` grows with every change, so of two directories the newer one is known.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from approvals.core import canonical, documents
from approvals.core.directory.entries import (
    OVERLAP,
    Approver,
    EnrolledKey,
    FormerKey,
    FormerPlace,
    read_approver,
    read_former_key,
    read_former_place,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from approvals.core.canonical import Json

DOCUMENT_TYPE: Final = "assent/directory/3"
_LAST_NUMBER: Final = 2**53 - 1
_DIRECTORY: Mapping[str, tuple[type, ...]] = {
    "typ": (str,),
    "issuer": (str,),
    "tenant": (str,),
    "number": (int,),
    "iat": (int,),
    "rp_id": (str,),
    "origins": (list,),
    "people": (list,),
    "former": (dict,),
}
_FORMER: Mapping[str, tuple[type, ...]] = {"people": (list,), "keys": (list,)}


@dataclass(frozen=True, slots=True)
class _Former:
    """What one person had before."""

    places: list[FormerPlace] = field(default_factory=list)
    keys: list[FormerKey] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Who may approve in one tenant of one service, as of `issued`, and who could before.

    Refused with `Invalid`: a person or credential or public key twice, a group named like a person.
    """

    issuer: str
    tenant: str
    number: int
    issued: int
    rp_id: str
    origins: tuple[str, ...]
    people: tuple[Approver, ...]
    former_people: tuple[FormerPlace, ...] = ()
    former_keys: tuple[FormerKey, ...] = ()
    _by_id: Mapping[str, Approver] = field(init=False, repr=False, compare=False)
    _by_group: Mapping[str, frozenset[str]] = field(init=False, repr=False, compare=False)
    _former: Mapping[str, _Former] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_id: dict[str, Approver] = {}
        credentials: set[bytes] = set()
        public_keys: set[bytes] = set()

        def once(key: EnrolledKey, place: str) -> None:
            # Two persons with one key would be two votes by whoever holds it.
            if key.credential_id in credentials or key.public_key in public_keys:
                documents.refuse(place, "a key twice")
            credentials.add(key.credential_id)
            public_keys.add(key.public_key)

        for index, person in enumerate(self.people):
            place = f"directory.people[{index}]"
            if person.id in by_id:
                documents.refuse(f"{place}.id", "a person twice")
            by_id[person.id] = person
            for key in person.keys:
                once(key, f"{place}.keys")
        for index, ended in enumerate(self.former_keys):
            once(ended.key, f"directory.former.keys[{index}]")
        for index, person in enumerate(self.people):
            # A group called like a person would let its members stand in for that person.
            if any(group in by_id for group in person.groups):
                documents.refuse(f"directory.people[{index}].groups", "a group named like a person")
        object.__setattr__(self, "_by_id", by_id)
        object.__setattr__(self, "_by_group", _by_group(self.people))
        object.__setattr__(self, "_former", _former(self.former_people, self.former_keys))

    def person(self, person_id: str) -> Approver | None:
        """The person of that id."""
        return self._by_id.get(person_id)

    def members(self, name: str) -> frozenset[str]:
        """The ids of the persons in a group, or of the one person named."""
        if name in self._by_id:
            return frozenset((name,))
        return self._by_group.get(name, frozenset())

    def person_at(self, person_id: str, time: int) -> Approver | None:
        """The person of that id with the places and passkeys that they held at `time`."""
        now = self._by_id.get(person_id)
        former = self._former.get(person_id, _Former())
        places: list[FormerPlace | Approver] = [
            place for place in former.places if place.held_at(time)
        ]
        keys = [ended.key for ended in former.keys if ended.held_at(time)]
        if now is not None:
            keys = [key for key in now.keys if key.since <= time] + keys
            if now.since - OVERLAP <= time:
                places.append(now)
        if not places:
            return None
        # Who changed places in that very moment had both.
        places.reverse()
        return Approver(
            id=person_id,
            groups=tuple(dict.fromkeys(group for place in places for group in place.groups)),
            stand_ins=tuple(dict.fromkeys(other for place in places for other in place.stand_ins)),
            keys=tuple(keys),
            since=places[0].since,
        )

    def at(self, time: int) -> Directory:
        """The directory of those who held places and passkeys at `time`, and of nobody else."""
        everybody = dict.fromkeys((*self._former, *self._by_id))
        found = (self.person_at(person_id, time) for person_id in everybody)
        people = tuple(person for person in found if person is not None)
        return replace(self, people=people, former_people=(), former_keys=())

    def document(self) -> dict[str, Json]:
        """The JSON form."""
        return {
            "typ": DOCUMENT_TYPE,
            "issuer": self.issuer,
            "tenant": self.tenant,
            "number": self.number,
            "iat": self.issued,
            "rp_id": self.rp_id,
            "origins": list(self.origins),
            "people": [person.document() for person in self.people],
            "former": {
                "people": [place.document() for place in self.former_people],
                "keys": [ended.document() for ended in self.former_keys],
            },
        }

    def content(self) -> str:
        """The digest of all that it says but for when: equal for two of one number."""
        return canonical.digest({**self.document(), "iat": 0})

    @classmethod
    def from_document(cls, document: object, place: str = "directory") -> Directory:
        """Read a directory strictly; `Invalid` names the member that is wrong."""
        it = documents.read(document, _DIRECTORY, place)
        if it["typ"] != DOCUMENT_TYPE:
            documents.refuse(f"{place}.typ", f"not {DOCUMENT_TYPE}")
        if not 0 <= it["number"] <= _LAST_NUMBER:
            documents.refuse(f"{place}.number", "not a number that JSON can hold exactly")
        former = documents.read(it["former"], _FORMER, f"{place}.former")
        return cls(
            issuer=it["issuer"],
            tenant=it["tenant"],
            number=it["number"],
            issued=documents.moment(it["iat"], f"{place}.iat"),
            rp_id=it["rp_id"],
            origins=documents.strings(it["origins"], f"{place}.origins"),
            people=tuple(
                read_approver(item, f"{place}.people[{index}]")
                for index, item in enumerate(it["people"])
            ),
            former_people=tuple(
                read_former_place(item, f"{place}.former.people[{index}]")
                for index, item in enumerate(former["people"])
            ),
            former_keys=tuple(
                read_former_key(item, f"{place}.former.keys[{index}]")
                for index, item in enumerate(former["keys"])
            ),
        )


def _by_group(people: Sequence[Approver]) -> dict[str, frozenset[str]]:
    grouped: dict[str, set[str]] = {}
    for person in people:
        for group in person.groups:
            grouped.setdefault(group, set()).add(person.id)
    return {group: frozenset(members) for group, members in grouped.items()}


def _former(places: Sequence[FormerPlace], keys: Sequence[FormerKey]) -> dict[str, _Former]:
    former: dict[str, _Former] = {}
    for place in places:
        former.setdefault(place.id, _Former()).places.append(place)
    for ended in keys:
        former.setdefault(ended.person, _Former()).keys.append(ended)
    return former
