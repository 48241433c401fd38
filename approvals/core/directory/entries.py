"""What the directory says of one person or one passkey: who they are now, and what ended when.

Each kind of entry has its JSON form beside it, and a function that reads that form strictly:
`Invalid` names the member that is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from approvals.core import b64, documents
from approvals.core.decision.ceremony import AAGUID_LENGTH, StepUp

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from approvals.core.canonical import Json


OVERLAP: Final = 30
"""Seconds by which the times of transactions that overlap may differ from their order."""


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


def read_approver(document: object, place: str) -> Approver:
    """A person who may be asked, read strictly; errors name the member under `place`."""
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


def read_former_place(document: object, place: str) -> FormerPlace:
    """A place that a person had, read strictly; errors name the member under `place`."""
    it = documents.read(document, _FORMER_PLACE, place)
    return FormerPlace(
        id=it["id"],
        groups=documents.strings(it["groups"], f"{place}.groups"),
        stand_ins=documents.strings(it["stand_ins"], f"{place}.stand_ins"),
        since=documents.moment(it["from"], f"{place}.from"),
        until=documents.moment(it["until"], f"{place}.until"),
    )


def read_former_key(document: object, place: str) -> FormerKey:
    """A passkey that ended, read strictly; errors name the member under `place`."""
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
