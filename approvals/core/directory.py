"""The directory of approvers' keys, which an enforcer pins so as not to have to trust the service.

What holds of a directory that was read: person ids and group names are told apart, and no
credential and no public key belongs to two persons, so that distinct persons are distinct keys. The
service publishes it as a JWS; how an enforcer comes to believe one (a signature it knows, a review,
a file) is its own decision.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from approvals.core import b64, canonical, documents, jws, sizes
from approvals.core.ceremony import AAGUID_LENGTH, StepUp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.canonical import Json

DOCUMENT_TYPE = "assent/directory/2"
TOKEN_TYPE = "assent-directory+jwt"  # noqa: S105 - a media type, not a secret


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledKey:
    """A passkey as it was enrolled; `public_key` is its COSE_Key.

    `step_up` is the strongest step-up that it makes: `passkey`, or `hardware-passkey` where the
    maker of its device attested to it under a root that the service's operator trusts.
    """

    credential_id: bytes
    public_key: bytes
    aaguid: bytes
    backup_eligible: bool
    step_up: StepUp

    def document(self) -> dict[str, Json]:
        """The JSON form, byte strings as base64url without padding."""
        return {
            "credential_id": b64.encode(self.credential_id),
            "public_key": b64.encode(self.public_key),
            "aaguid": b64.encode(self.aaguid),
            "backup_eligible": self.backup_eligible,
            "step_up": self.step_up.value,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Approver:
    """A person who may be asked: their groups, the passkeys they decide with, their stand-ins.

    `stand_ins` are all who may ever fill this person's place while they are away.
    """

    id: str
    groups: tuple[str, ...]
    keys: tuple[EnrolledKey, ...]
    stand_ins: tuple[str, ...] = ()

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
        }


_DIRECTORY: Mapping[str, tuple[type, ...]] = {
    "typ": (str,),
    "issuer": (str,),
    "tenant": (str,),
    "time": (int,),
    "rp_id": (str,),
    "origins": (list,),
    "people": (list,),
}
_PERSON: Mapping[str, tuple[type, ...]] = {
    "id": (str,),
    "groups": (list,),
    "keys": (list,),
    "stand_ins": (list,),
}
_KEY: Mapping[str, tuple[type, ...]] = {
    "credential_id": (str,),
    "public_key": (str,),
    "aaguid": (str,),
    "backup_eligible": (bool,),
    "step_up": (str,),
}
_STEP_UPS = frozenset({StepUp.PASSKEY, StepUp.HARDWARE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Who may approve in one tenant of one service, as of `time`.

    Refused with `Invalid`: a person or credential or public key twice, a group named like a person.
    """

    issuer: str
    tenant: str
    time: int
    rp_id: str
    origins: tuple[str, ...]
    people: tuple[Approver, ...]
    _by_id: Mapping[str, Approver] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_id: dict[str, Approver] = {}
        credentials: set[bytes] = set()
        public_keys: set[bytes] = set()
        for index, person in enumerate(self.people):
            place = f"directory.people[{index}]"
            if person.id in by_id:
                documents.refuse(f"{place}.id", "a person twice")
            by_id[person.id] = person
            for key in person.keys:
                # Two persons with one key would be two votes by whoever holds it.
                if key.credential_id in credentials or key.public_key in public_keys:
                    documents.refuse(f"{place}.keys", "a key twice")
                credentials.add(key.credential_id)
                public_keys.add(key.public_key)
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

    def document(self) -> dict[str, Json]:
        """The JSON form."""
        return {
            "typ": DOCUMENT_TYPE,
            "issuer": self.issuer,
            "tenant": self.tenant,
            "time": self.time,
            "rp_id": self.rp_id,
            "origins": list(self.origins),
            "people": [person.document() for person in self.people],
        }

    @classmethod
    def from_document(cls, document: object, place: str = "directory") -> Directory:
        """Read a directory strictly; `Invalid` names the member that is wrong."""
        it = documents.read(document, _DIRECTORY, place)
        if it["typ"] != DOCUMENT_TYPE:
            documents.refuse(f"{place}.typ", f"not {DOCUMENT_TYPE}")
        return cls(
            issuer=it["issuer"],
            tenant=it["tenant"],
            time=documents.moment(it["time"], f"{place}.time"),
            rp_id=it["rp_id"],
            origins=documents.strings(it["origins"], f"{place}.origins"),
            people=tuple(
                _person(item, f"{place}.people[{index}]") for index, item in enumerate(it["people"])
            ),
        )


def _person(document: object, place: str) -> Approver:
    it = documents.read(document, _PERSON, place)
    return Approver(
        id=it["id"],
        groups=documents.strings(it["groups"], f"{place}.groups"),
        keys=tuple(_key(item, f"{place}.keys[{index}]") for index, item in enumerate(it["keys"])),
        stand_ins=documents.strings(it["stand_ins"], f"{place}.stand_ins"),
    )


def _key(document: object, place: str) -> EnrolledKey:
    it = documents.read(document, _KEY, place)
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
    _, payload = jws.verify(token, keys=keys, typ=TOKEN_TYPE, max_length=sizes.DIRECTORY)
    return Directory.from_document(payload)
