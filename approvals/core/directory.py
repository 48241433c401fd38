"""The directory of approvers' keys, which an enforcer pins so as not to have to trust the service.

What holds of a directory that was read:
1. Person ids and group names are told apart, and no credential and no public key is there twice, so
   that distinct persons are distinct keys.
2. `people` is who may approve now, and with which passkeys. `former` is what held before, and until
   when: passkeys that ended, and places that people had. Only `at` looks at it, to judge what was
   decided then; a call that is about to run is judged by `people` alone.
3. `number` grows with every change, so of two directories the newer one is known.

The service publishes it as a JWS; how an enforcer comes to believe one (a signature it knows, a
review, a file) is its own decision.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from approvals.core import b64, canonical, documents, jws, sizes
from approvals.core.decision.ceremony import AAGUID_LENGTH, StepUp
from approvals.core.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from approvals.core.canonical import Json

DOCUMENT_TYPE: Final = "assent/directory/3"
TOKEN_TYPE: Final = "assent-directory+jwt"  # noqa: S105 - a media type, not a secret
OVERLAP: Final = 30
"""Seconds by which the times of transactions that overlap may differ from their order."""

_LAST_NUMBER: Final = 2**53 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledKey:
    """A passkey as it was enrolled at `since`; `public_key` is its COSE_Key.

    `step_up` is the strongest step-up that it makes: `passkey`, or `hardware-passkey` where the
    maker of its device attested to it under a root that the service's operator trusts.
    """

    credential_id: bytes
    public_key: bytes
    aaguid: bytes
    backup_eligible: bool
    step_up: StepUp
    since: int

    def document(self) -> dict[str, Json]:
        """The JSON form, byte strings as base64url without padding."""
        return {
            "credential_id": b64.encode(self.credential_id),
            "public_key": b64.encode(self.public_key),
            "aaguid": b64.encode(self.aaguid),
            "backup_eligible": self.backup_eligible,
            "step_up": self.step_up.value,
            "from": self.since,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerKey:
    """A passkey that was this person's until it ended: revoked, replaced, or gone with them."""

    person: str
    key: EnrolledKey
    until: int

    def held_at(self, time: int) -> bool:
        """Whether it could decide at `time`. It still could in the second in which it ended."""
        return self.key.since <= time <= self.until

    def document(self) -> dict[str, Json]:
        """The JSON form."""
        return {"person": self.person, **self.key.document(), "until": self.until}


@dataclass(frozen=True, slots=True, kw_only=True)
class Approver:
    """A person who may be asked: their groups, the passkeys they decide with, their stand-ins.

    `stand_ins` are all who may ever fill this person's place while they are away. Groups and
    stand-ins have been these from `since` on.
    """

    id: str
    groups: tuple[str, ...]
    keys: tuple[EnrolledKey, ...]
    stand_ins: tuple[str, ...] = ()
    since: int

    def key(self, credential_id: bytes) -> EnrolledKey | None:
        """This person's key of that credential id."""
        return next((key for key in self.keys if key.credential_id == credential_id), None)

    def document(self) -> dict[str, Json]:
        """The JSON form."""
        return {
            "id": self.id,
            "groups": list(self.groups),
            "keys": [key.document() for key in self.keys],
            "stand_ins": list(self.stand_ins),
            "from": self.since,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerPlace:
    """The groups and stand-ins that a person had for a time, before they changed or left."""

    id: str
    groups: tuple[str, ...]
    stand_ins: tuple[str, ...]
    since: int
    until: int

    def held_at(self, time: int) -> bool:
        """Whether a request of `time` may rest on it."""
        return self.since - OVERLAP <= time <= self.until + OVERLAP

    def document(self) -> dict[str, Json]:
        """The JSON form."""
        return {
            "id": self.id,
            "groups": list(self.groups),
            "stand_ins": list(self.stand_ins),
            "from": self.since,
            "until": self.until,
        }


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
_PLACE: Mapping[str, tuple[type, ...]] = {
    "id": (str,),
    "groups": (list,),
    "stand_ins": (list,),
    "from": (int,),
}
_PERSON: Mapping[str, tuple[type, ...]] = {**_PLACE, "keys": (list,)}
_FORMER_PLACE: Mapping[str, tuple[type, ...]] = {**_PLACE, "until": (int,)}
_KEY: Mapping[str, tuple[type, ...]] = {
    "credential_id": (str,),
    "public_key": (str,),
    "aaguid": (str,),
    "backup_eligible": (bool,),
    "step_up": (str,),
    "from": (int,),
}
_FORMER_KEY: Mapping[str, tuple[type, ...]] = {**_KEY, "person": (str,), "until": (int,)}
_STEP_UPS = frozenset({StepUp.PASSKEY, StepUp.HARDWARE})


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

    def person(self, person_id: str) -> Approver | None:
        """The person of that id."""
        return self._by_id.get(person_id)

    def members(self, name: str) -> frozenset[str]:
        """The ids of the persons in a group, or of the one person named."""
        if name in self._by_id:
            return frozenset((name,))
        return frozenset(person.id for person in self.people if name in person.groups)

    def at(self, time: int) -> Directory:
        """The directory of those who held places and passkeys at `time`, and of nobody else."""
        places = [place for place in self.former_people if place.held_at(time)] + [
            FormerPlace(
                id=person.id,
                groups=person.groups,
                stand_ins=person.stand_ins,
                since=person.since,
                until=time,
            )
            for person in self.people
            if person.since - OVERLAP <= time
        ]
        keys: dict[str, list[EnrolledKey]] = {}
        for person in self.people:
            keys[person.id] = [key for key in person.keys if key.since <= time]
        for ended in self.former_keys:
            if ended.held_at(time):
                keys.setdefault(ended.person, []).append(ended.key)
        found: dict[str, Approver] = {}
        for place in places:
            other = found.get(place.id)
            # Who changed places in that very moment had both.
            found[place.id] = Approver(
                id=place.id,
                groups=_both(place.groups, () if other is None else other.groups),
                stand_ins=_both(place.stand_ins, () if other is None else other.stand_ins),
                keys=tuple(keys.get(place.id, ())),
                since=place.since,
            )
        return replace(self, people=tuple(found.values()), former_people=(), former_keys=())

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
                _person(item, f"{place}.people[{index}]") for index, item in enumerate(it["people"])
            ),
            former_people=tuple(
                _former_place(item, f"{place}.former.people[{index}]")
                for index, item in enumerate(former["people"])
            ),
            former_keys=tuple(
                _former_key(item, f"{place}.former.keys[{index}]")
                for index, item in enumerate(former["keys"])
            ),
        )


def _both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return (*one, *(name for name in other if name not in one))


def _person(document: object, place: str) -> Approver:
    it = documents.read(document, _PERSON, place)
    return Approver(
        id=it["id"],
        groups=documents.strings(it["groups"], f"{place}.groups"),
        keys=tuple(
            _key(documents.read(item, _KEY, at), at)
            for at, item in ((f"{place}.keys[{n}]", item) for n, item in enumerate(it["keys"]))
        ),
        stand_ins=documents.strings(it["stand_ins"], f"{place}.stand_ins"),
        since=documents.moment(it["from"], f"{place}.from"),
    )


def _former_place(document: object, place: str) -> FormerPlace:
    it = documents.read(document, _FORMER_PLACE, place)
    return FormerPlace(
        id=it["id"],
        groups=documents.strings(it["groups"], f"{place}.groups"),
        stand_ins=documents.strings(it["stand_ins"], f"{place}.stand_ins"),
        since=documents.moment(it["from"], f"{place}.from"),
        until=documents.moment(it["until"], f"{place}.until"),
    )


def _former_key(document: object, place: str) -> FormerKey:
    it = documents.read(document, _FORMER_KEY, place)
    return FormerKey(
        person=it["person"],
        key=_key(it, place),
        until=documents.moment(it["until"], f"{place}.until"),
    )


def _key(it: dict[str, Any], place: str) -> EnrolledKey:
    aaguid = documents.octets(it["aaguid"], f"{place}.aaguid")
    if len(aaguid) != AAGUID_LENGTH:
        documents.refuse(f"{place}.aaguid", f"not {AAGUID_LENGTH} bytes")
    if it["step_up"] not in _STEP_UPS:
        documents.refuse(f"{place}.step_up", "neither passkey nor hardware-passkey")
    if it["step_up"] == StepUp.HARDWARE and it["backup_eligible"]:
        documents.refuse(f"{place}.step_up", "a key that can be copied is not a hardware passkey")
    return EnrolledKey(
        credential_id=documents.octets(it["credential_id"], f"{place}.credential_id"),
        public_key=documents.octets(it["public_key"], f"{place}.public_key"),
        aaguid=aaguid,
        backup_eligible=it["backup_eligible"],
        step_up=StepUp(it["step_up"]),
        since=documents.moment(it["from"], f"{place}.from"),
    )


def sign(directory: Directory, *, key: jws.SigningKey) -> str:
    """The directory as the service publishes it: a compact JWS."""
    return jws.sign(directory.document(), key=key, typ=TOKEN_TYPE)


def read_pinned(
    pinned: Directory | Mapping[str, Json] | str, *, keys: jws.KeySet | Mapping[str, Json]
) -> Directory:
    """A directory in any form in which it is pinned: read already, a document, its JSON, a token.

    Raises:
        AdmissionError: text that is neither strict JSON nor a token.
        Invalid: not a directory.
        JwsError: a token that none of `keys` signed.
    """
    if isinstance(pinned, Directory):
        return pinned
    if not isinstance(pinned, str):
        return Directory.from_document(pinned)
    text = pinned.strip()
    if text.startswith("{"):
        return Directory.from_document(canonical.parse(text.encode(), max_bytes=sizes.DIRECTORY))
    return verify(text, keys=keys)


def verify(token: str, *, keys: jws.KeySet | Mapping[str, Json]) -> Directory:
    """The directory in a token signed by one of `keys` (`JwsError`, `Invalid`)."""
    _, payload = jws.verify(
        token, keys=keys, typ=TOKEN_TYPE, max_length=sizes.DIRECTORY, signed_at="iat"
    )
    return Directory.from_document(payload)


def verify_successor(new: Directory, *, number: int, content: str | None = None) -> Directory:
    """The directory, once it may take the place of one that had `number` and said `content`.

    Raises:
        Invalid: `directory_older`: it is older, or another one of the same number.
    """
    if new.number < number:
        raise Invalid(
            f"this is directory number {new.number}, and number {number} was pinned before: "
            "an older one would bring back keys that ended since",
            code="directory_older",
        )
    if new.number == number and content is not None and new.content() != content:
        raise Invalid(
            f"this is another directory than the one that was pinned before, of the same number "
            f"{number}",
            code="directory_older",
        )
    return new
