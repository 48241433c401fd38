"""The floor: the enforcer's own minimum of people who must have approved a call of a tool.

Which people a request asks is decided by the service: by its bundle and its database. An enforcer
refuses an approval below its floor, even if somebody loosened the rules or edited the database. It
takes the groups from the directory that it pins, and the risk group of a tool from the floor's own
file. Neither is taken from the service.

A floor has a word on every tool: its own, that of `*`, or that it may run unattended. A tool on
which it has none is refused, so a misspelt entry makes nothing run unprotected.

A tool has places of its own, and those of each risk group that it belongs to. `verify` accepts an
approval only if distinct people fill all places of each such set. Each of them used a passkey of
the asked strength, and is entitled to the place. A stand-in counts only where the floor names them.

Follows docs/protocol.md, "Floor".
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from approvals.core import canonical, documents, names
from approvals.core.approval import MAX_VOTES
from approvals.core.decision.ceremony import Decision, StepUp
from approvals.core.decision.quorum import assign
from approvals.core.decision.requirement import Requirement
from approvals.core.decision.vote import Vote
from approvals.core.errors import AdmissionError, ApprovalRejected, Invalid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from approvals.core.approval import Approval
    from approvals.core.directory import Directory

FILE_TYPE: Final = "assent/floor/1"
EVERY_TOOL: Final = "*"
"""The name under which places stand for every tool that is not listed as unattended."""

MAX_FILE: Final = 256 * 1024
_MAX_TOML: Final = 16 * 1024
"""Bytes in TOML, which Python reads in a time that grows with the square of a key's length."""
_STEP_UPS: Final = (StepUp.PASSKEY, StepUp.HARDWARE)
_rank: Final = tuple(StepUp).index


@dataclass(frozen=True, slots=True)
class Floor:
    """Places that distinct persons must fill: how many, who may, and with which passkey.

    A person may fill one if they are in any of `groups` of the pinned directory or are named in
    `people`; where both are empty anybody in the directory may. `step_up` is `passkey` or
    `hardware-passkey`. Raises `Invalid` (`floor`) for what could never be meant.
    """

    quorum: int = 1
    groups: Collection[str] = frozenset()
    people: Collection[str] = frozenset()
    step_up: StepUp | str = StepUp.PASSKEY

    def __post_init__(self) -> None:
        if type(self.quorum) is not int or not 1 <= self.quorum <= MAX_VOTES:
            raise _wrong("quorum", f"not a number of people from 1 to {MAX_VOTES}")
        for name in ("groups", "people"):
            listed = _names(getattr(self, name), name)
            for it in listed:
                _check_id(it, name)
            object.__setattr__(self, name, listed)
        if self.step_up not in _STEP_UPS:
            wanted = " or ".join(it.value for it in _STEP_UPS)
            raise _wrong("step_up", f"not {wanted}: a floor counts passkeys and no clicks")
        object.__setattr__(self, "step_up", StepUp(self.step_up))


@dataclass(frozen=True, slots=True)
class RiskGroup:
    """The floor of several tools: each of `tools` needs `places`, beside what it has of its own."""

    tools: Collection[str]
    places: Sequence[Floor]

    def __post_init__(self) -> None:
        object.__setattr__(self, "tools", _names(self.tools, "tools"))
        object.__setattr__(self, "places", _places(self.places))
        if not self.tools:
            raise _wrong("tools", "a risk group without tools is a floor of nothing")


@dataclass(frozen=True, slots=True)
class Floors:
    """All floors of one enforcer: by tool, or `*` for every tool, and by risk group.

    A tool's value is one `Floor`, or several whose places distinct persons fill together.
    """

    tools: Mapping[str, Floor | Sequence[Floor]] = field(default_factory=dict)
    risk_groups: Mapping[str, RiskGroup] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tools = {name: _places(places) for name, places in self.tools.items()}
        object.__setattr__(self, "tools", tools)
        object.__setattr__(self, "risk_groups", dict(self.risk_groups))
        for group in self.risk_groups:
            _check_id(group, "risk_groups")
        seen: dict[tuple[str, int], str] = {}
        for tool in sorted(self.named()):
            if not names.is_tool(tool):
                raise _wrong("tools", f"{tool!r} is no tool: its name has {names.TOOL_LETTERS}")
            for way, look in enumerate(names.looks(tool)):
                other = seen.setdefault((look, way), tool)
                if other != tool:
                    raise _wrong("tools", f"{tool!r} can be taken for {other!r}")

    def named(self) -> frozenset[str]:
        """The tools that have a floor under their own name."""
        listed = (group.tools for group in self.risk_groups.values())
        return (frozenset(self.tools) - {EVERY_TOOL}).union(*listed)

    def verify_tool(self, tool: str, *, unattended: Collection[str] = ()) -> None:
        """Refuse a tool on which the floor has no word, or perhaps a misspelt one.

        A tool that only `*` stands for is refused if its name is nearly one that the floor has:
        somebody may have meant more for it. Raises `Invalid` (`floor`) with the remedy.
        """
        named = self.named()
        if tool in named or tool in unattended:
            return
        near = sorted(it for it in named if names.is_near(it, tool))
        if near:
            raise _wrong(
                tool,
                f"the floor names {near[0]} and not {tool}; if it is no misspelling, name both",
            )
        if EVERY_TOOL not in self.tools:
            why = (
                f"the floor has no word on this tool; name it, or {EVERY_TOOL} for every tool, or "
            )
            raise _wrong(tool, f"{why}list it as unattended")

    def all(self) -> Iterator[tuple[str, Sequence[Floor]]]:
        """Every set of places, with what it is of in words."""
        for tool, places in self.tools.items():
            yield ("every tool" if tool == EVERY_TOOL else f"the tool {tool}"), _places(places)
        for name, group in self.risk_groups.items():
            yield f"the risk group {name}", group.places

    @classmethod
    def read(cls, raw: bytes) -> Floors:
        """Read a floor file, JSON or TOML; `Invalid` (`floor`) says where it is wrong."""
        if len(raw) > MAX_FILE:
            raise _wrong("file", f"larger than {MAX_FILE} bytes")
        try:
            if raw.lstrip().startswith(b"{"):
                document: object = canonical.parse(raw, max_bytes=MAX_FILE)
            elif len(raw) > _MAX_TOML:
                raise _wrong("file", f"TOML of more than {_MAX_TOML} bytes: write it as JSON")
            else:
                document = tomllib.loads(raw.decode())
        except AdmissionError as error:
            raise _wrong("file", f"not strict JSON: {error}") from error
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise _wrong("file", f"neither JSON nor TOML: {error}") from error
        except RecursionError as error:
            raise _wrong("file", "nested too deeply") from error
        return cls.from_document(document)

    @classmethod
    def from_document(cls, document: object) -> Floors:
        """Read the document of a floor file strictly; `Invalid` (`floor`) says where it is wrong.

        An empty floor is refused: who sets one means something by it.
        """
        try:
            it = _object(document, "floor", required={"typ"}, optional={"tools", "risk_groups"})
            if it["typ"] != FILE_TYPE:
                documents.refuse("floor.typ", f"not {FILE_TYPE}")
            tools = {
                name: _read_places(places, f"floor.tools.{name}")
                for name, places in _table(it.get("tools", {}), "floor.tools").items()
            }
            groups = {
                name: _read_group(group, f"floor.risk_groups.{name}")
                for name, group in _table(it.get("risk_groups", {}), "floor.risk_groups").items()
            }
            if not tools and not groups:
                documents.refuse("floor", "names no tool and no risk group")
            return cls(tools, groups)
        except Invalid as error:
            raise Invalid(error.message, code="floor", place=error.place) from error


@dataclass(frozen=True, slots=True)
class PinnedFloor:
    """Floors with the persons of a pinned directory in them: ready to hold approvals against.

    Raises `Invalid` (`floor`) for a name that the directory does not know, for places that its
    people could never fill, and for a tool that is also to run unattended, under this name or one
    that can be taken for it.
    """

    floors: Floors
    people: Directory
    unattended: frozenset[str]
    _by_tool: Mapping[str, tuple[tuple[Requirement, ...], ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        named = self.floors.named()
        for tool in sorted(self.unattended):
            if tool in named:
                raise _wrong("unattended", f"{tool} has a floor, so take it off the list")
            alike = sorted(it for it in named if names.are_alike(it, tool))
            if alike:
                why = f"{tool} can be taken for {alike[0]}, which has a floor: one is misspelt"
                raise _wrong("unattended", why)
        for what, places in self.floors.all():
            self._check(what, places)
        by_tool: dict[str, list[tuple[Requirement, ...]]] = {
            name: [self._requirements(_places(places))]
            for name, places in self.floors.tools.items()
        }
        for group in self.floors.risk_groups.values():
            for tool in group.tools:
                by_tool.setdefault(tool, []).append(self._requirements(group.places))
        prepared = {tool: tuple(sets) for tool, sets in by_tool.items()}
        object.__setattr__(self, "_by_tool", prepared)

    def of(self, tool: str) -> tuple[tuple[Requirement, ...], ...]:
        """Every set of places that an approval of this tool must fill.

        Raises `ApprovalRejected` (`floor`) for a tool that `verify_tool` refuses.
        """
        try:
            self.floors.verify_tool(tool, unattended=self.unattended)
        except Invalid as error:
            raise ApprovalRejected("floor", error.message, place=error.place) from error
        everywhere = () if tool in self.unattended else self._by_tool.get(EVERY_TOOL, ())
        return self._by_tool.get(tool, ()) + everywhere

    def verify_fillable(self, tool: str, *, user: str | None) -> None:
        """Check that people can fill the floor of this tool, if all whom it names approve.

        Each counts with the strongest passkey that the directory has of them, and `user`, for whom
        the call is, does not count. Raises `ApprovalRejected` (`floor`).
        """
        strongest = {
            person.id: _vote(person.id, max((key.step_up for key in person.keys), key=_rank))
            for person in self.people.people
            if person.keys and person.id != user
        }
        for requirements in self.of(tool):
            # A place for which there are as many people as places can always be filled last.
            enough = sum(it.quorum for it in requirements)
            votes: dict[str, Vote] = {}
            for it in requirements:
                given = (strongest[name] for name in it.eligible if name in strongest)
                able = (vote for vote in given if it.admits(vote))
                votes |= {vote.approver: vote for vote in islice(able, enough)}
            if assign(requirements, list(votes.values())) is None:
                without = "" if user is None else f" without {user}, for whom the call is"
                raise ApprovalRejected(
                    "floor",
                    f"the people whose passkeys are pinned cannot fill the floor{without}: let "
                    "them enrol, pin the directory anew (assent keys directory), or change the "
                    "floor",
                    place=tool,
                )

    def verify(self, approval: Approval) -> None:
        """Check that distinct persons fill the floor of this approval's tool.

        The approval's evidence must have been verified against the same directory. Raises
        `ApprovalRejected` (`floor`).
        """
        votes = [counted.vote() for counted in approval.approvals]
        # Nobody approves for themselves, whatever the floor names.
        votes = [vote for vote in votes if vote.approver != approval.user]
        for requirements in self.of(approval.tool):
            if assign(requirements, votes) is None:
                raise ApprovalRejected("floor", place="approvals")

    def _requirements(self, places: Sequence[Floor]) -> tuple[Requirement, ...]:
        return tuple(
            Requirement(
                rule="floor",
                reason="",
                approvers=(),
                eligible=tuple(sorted(self._members(place))),
                quorum=place.quorum,
                step_up=StepUp(place.step_up),
            )
            for place in places
        )

    def _members(self, place: Floor) -> frozenset[str]:
        if not place.groups and not place.people:
            return frozenset(person.id for person in self.people.people)
        in_groups = (
            person.id
            for person in self.people.people
            if not frozenset(place.groups).isdisjoint(person.groups)
        )
        return frozenset(place.people).union(in_groups)

    def _check(self, what: str, places: Sequence[Floor]) -> None:
        known = {person.id for person in self.people.people}
        grouped = {group for person in self.people.people for group in person.groups}
        for place in places:
            for kind, listed, there in (
                ("group", place.groups, grouped),
                ("person", place.people, known),
            ):
                missing = sorted(frozenset(listed) - there)
                if missing:
                    raise _wrong(
                        what, f"names the {kind} {missing[0]}, which the pinned directory lacks"
                    )
        everybody = [_vote(person.id, StepUp.HARDWARE) for person in self.people.people]
        if assign(self._requirements(places), everybody) is None:
            raise _wrong(what, "not even all people of the directory together can fill it")


def _vote(person: str, step_up: StepUp) -> Vote:
    return Vote(approver=person, decision=Decision.APPROVE, step_up=step_up, time=0)


def _wrong(place: str, message: str) -> Invalid:
    return Invalid(message, code="floor", place=place)


def _check_id(name: str, place: str) -> None:
    if not names.is_id(name):
        raise _wrong(place, f"{name!r} is no id: it has {names.ID_LETTERS}")


def _names(value: object, place: str) -> frozenset[str]:
    # A string is a collection of its characters, and "finance" is not seven groups.
    if isinstance(value, str) or not isinstance(value, (list, tuple, set, frozenset)):
        raise _wrong(place, "not a list of names")
    if not all(isinstance(name, str) and name for name in value):
        raise _wrong(place, "not a list of names")
    return frozenset(value)


def _places(value: object) -> tuple[Floor, ...]:
    places = (value,) if isinstance(value, Floor) else value
    if not isinstance(places, (list, tuple)) or not places:
        raise _wrong("places", "not a floor, nor a list of floors")
    if not all(isinstance(place, Floor) for place in places):
        raise _wrong("places", "not a floor, nor a list of floors")
    return tuple(places)


def _object(value: object, place: str, *, required: set[str], optional: set[str]) -> dict[str, Any]:
    """An object with these members and no other: a misspelt one would leave its meaning out."""
    table = _table(value, place)
    for name in sorted(table.keys() - required - optional):
        documents.refuse(f"{place}.{name}", "not a member of a floor; is it misspelt?")
    for name in sorted(required - table.keys()):
        documents.refuse(f"{place}.{name}", "missing")
    return table


def _table(value: object, place: str) -> dict[str, Any]:
    if type(value) is not dict or not all(value):
        documents.refuse(place, "not an object with named members")
    return value


def _read_group(value: object, place: str) -> RiskGroup:
    it = _object(value, place, required={"tools", "places"}, optional=set())
    if type(it["tools"]) is not list or not it["tools"]:
        documents.refuse(f"{place}.tools", "not a list of tools")
    tools = documents.strings(it["tools"], f"{place}.tools")
    return RiskGroup(tools, _read_places(it["places"], f"{place}.places"))


def _read_places(value: object, place: str) -> tuple[Floor, ...]:
    if type(value) is not list or not value:
        documents.refuse(place, "not a list of places; in TOML each starts with [[…]]")
    return tuple(_read_place(item, f"{place}[{index}]") for index, item in enumerate(value))


def _read_place(value: object, place: str) -> Floor:
    it = _object(value, place, required={"quorum"}, optional={"groups", "people", "step_up"})
    for name in ("groups", "people"):
        # An empty list reads as "nobody" and would mean "anybody".
        if name in it and (type(it[name]) is not list or not it[name]):
            documents.refuse(f"{place}.{name}", "not a list of names; leave it out for anybody")
    try:
        return Floor(**it)
    except Invalid as error:
        documents.refuse(f"{place}.{error.place}", error.message)
