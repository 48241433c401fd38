"""The enforcer's own floor holds whatever bundle, request and service say."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.core.decision.ceremony import StepUp
from approvals.core.errors import ApprovalRejected, Invalid
from approvals.core.floor import FILE_TYPE, Floor, Floors, RiskGroup
from approvals.core.names import are_alike, is_near
from approvals.verifier import Verifier
from tests.company import (
    CALL,
    GROUPS,
    NOW,
    ORIGIN,
    RP_ID,
    TWO_FROM_FINANCE,
    Company,
)
from tests.softkey import SoftKey

if TYPE_CHECKING:
    from collections.abc import Callable

COMPANY = Company()
TOOL = CALL.tool
FINANCE, MANAGERS = frozenset({"finance"}), frozenset({"managers"})


def asked(*people: str, quorum: int | None = None, step_up: StepUp = StepUp.PASSKEY) -> str:
    """The token of an approval that these people gave, as a loosened bundle asked for it."""
    requirement = replace(
        TWO_FROM_FINANCE,
        approvers=tuple(sorted(GROUPS)),
        eligible=tuple(sorted(GROUPS)),
        quorum=quorum or len(people),
        step_up=step_up,
    )
    document = COMPANY.request(requirement)
    votes = [COMPANY.vote(person, document) for person in people]
    return COMPANY.token(COMPANY.approval(document, votes))


def reason(token: str, floor: Any, **options: Any) -> str | None:
    try:
        COMPANY.verifier(floor=floor, **options).verify(token, CALL, now=NOW)
    except ApprovalRejected as error:
        return error.reason
    return None


def test_below_the_floor_nothing_is_approved() -> None:
    floor = {TOOL: Floor(quorum=2, groups={"finance"}, step_up="passkey")}
    assert reason(asked("ada", "ben"), floor) is None
    assert reason(asked("ada"), floor) == "floor"
    assert reason(asked("ada", "cleo"), floor) == "floor"
    assert reason(asked("ada", "ben", "dora"), floor) is None


def test_a_tool_on_which_the_floor_has_no_word_is_refused() -> None:
    """Would catch a misspelt entry, which protects nothing, beside the tool that was meant."""
    another = {"another": Floor(quorum=2)}
    assert reason(asked("dora"), another) == "floor"
    assert reason(asked("dora"), {**another, "*": Floor()}) is None
    assert reason(asked("dora"), another, unattended={TOOL}) is None


@pytest.mark.parametrize(
    "misspelt", ["trasnfer", "transfers", "tranfer", "transver", "Transfer", "TRANSFERS"]
)
def test_a_tool_that_a_misspelt_entry_may_mean_does_not_fall_to_every_tools_floor(
    misspelt: str,
) -> None:
    floor = {misspelt: Floor(quorum=2), "*": Floor()}
    assert reason(asked("dora"), floor) == "floor"
    with pytest.raises(ApprovalRejected, match=f"names {misspelt} and not {TOOL}"):
        COMPANY.verifier(floor=floor).verify_askable(TOOL, now=NOW)
    both = floor | {TOOL: Floor()}
    if are_alike(misspelt, TOOL):
        with pytest.raises(Invalid, match="can be taken for"):
            Floors(both)
    else:
        assert reason(asked("dora"), both) is None


@pytest.mark.parametrize("listed", [TOOL, TOOL.upper(), "tranSfer"])
def test_a_tool_with_a_floor_is_not_unattended_under_a_name_that_looks_like_its_own(
    listed: str,
) -> None:
    """Would catch a floor that is read as this tool's while the tool runs unattended."""
    with pytest.raises(Invalid, match="unattended"):
        COMPANY.verifier(floor={TOOL: Floor(quorum=2)}, unattended={listed})


@pytest.mark.parametrize("other", ["transfer.read", "trans", "refund", "export2"])
def test_tools_with_names_of_their_own_have_every_tools_floor(other: str) -> None:
    assert reason(asked("dora"), {other: Floor(quorum=2), "*": Floor()}) is None


def test_names_that_differ_in_a_digit_or_are_short_are_no_misspellings() -> None:
    pairs = (("export1", "export2"), ("export", "export2"), ("get", "set"), ("v1.read", "v2.read"))
    for one, other in pairs:
        assert not is_near(one, other)
        assert not is_near(other, one)
    for one, other in (("export", "exprot"), ("export", "exporta"), ("export", "Export")):
        assert is_near(one, other)
        assert is_near(other, one)


def test_policy_alone_never_reaches_a_floor() -> None:
    token = COMPANY.token(COMPANY.allowed())
    assert reason(token, {TOOL: Floor()}) == "floor"
    assert reason(token, Floors(risk_groups={"money": RiskGroup({TOOL}, [Floor()])})) == "floor"
    assert reason(token, {"*": Floor()}) == "floor"
    assert reason(token, {"another": Floor()}, unattended={TOOL}) is None


def test_every_tool_means_every_tool_but_those_that_run_unattended() -> None:
    floor = {"*": Floor(quorum=2)}
    assert reason(asked("ada"), floor) == "floor"
    assert reason(asked("ada", "dora"), floor) is None
    assert reason(asked("ada"), floor, unattended={TOOL}) is None


def test_a_place_takes_a_group_a_name_or_anybody() -> None:
    assert reason(asked("cleo"), {TOOL: Floor(groups={"managers"})}) is None
    assert reason(asked("dora"), {TOOL: Floor(groups={"managers"})}) == "floor"
    assert reason(asked("dora"), {TOOL: Floor(groups={"managers"}, people={"dora"})}) is None
    assert reason(asked("dora"), {TOOL: Floor()}) is None


def test_one_person_fills_one_place_of_a_floor() -> None:
    floor = {TOOL: [Floor(groups={"finance"}), Floor(groups={"managers"})]}
    assert reason(asked("ben"), floor) == "floor"  # in both groups
    assert reason(asked("ben", "dora"), floor) == "floor"
    assert reason(asked("ada", "ben"), floor) is None  # ben as the manager, not as finance
    assert reason(asked("ben", "cleo"), floor) is None


def test_the_floors_of_a_tool_and_of_its_risk_groups_hold_each_by_itself() -> None:
    floor = Floors(
        {TOOL: Floor(quorum=2, groups={"finance"})},
        {"money": RiskGroup({TOOL, "refund"}, [Floor(groups={"managers"})])},
    )
    assert reason(asked("ada", "ben"), floor) is None
    lone = Floors(risk_groups={"money": RiskGroup({TOOL}, [Floor(groups={"managers"})])})
    assert reason(asked("ada"), lone) == "floor"
    assert reason(asked("ada", "cleo"), lone) is None


def test_a_floor_of_hardware_is_not_filled_by_a_passkey_that_can_be_copied() -> None:
    floor = {TOOL: Floor(step_up="hardware-passkey")}
    assert reason(asked("ada"), floor) is None
    synced = Company(
        passkeys={
            person: SoftKey(person, rp_id=RP_ID, origin=ORIGIN, backup_eligible=True)
            for person in GROUPS
        }
    )
    document = synced.request(replace(TWO_FROM_FINANCE, quorum=1))
    token = synced.token(synced.approval(document, [synced.vote("ada", document)]))
    with pytest.raises(ApprovalRejected) as refused:
        synced.verifier(floor=floor).verify(token, CALL, now=NOW)
    assert refused.value.reason == "floor"


def test_who_stands_in_counts_only_where_the_floor_names_them() -> None:
    away = replace(TWO_FROM_FINANCE, eligible=("ada", "dora"), stand_ins=(("dora", "ben"),))
    document = COMPANY.request(away)
    votes = [COMPANY.vote("ada", document), COMPANY.vote("dora", document)]
    token = COMPANY.token(COMPANY.approval(document, votes))
    assert reason(token, {"*": Floor()}) is None
    assert reason(token, {TOOL: Floor(quorum=2, groups={"finance"})}) == "floor"
    assert reason(token, {TOOL: Floor(quorum=2, groups={"finance"}, people={"dora"})}) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: Floor(quorum=0),
        lambda: Floor(quorum=101),
        lambda: Floor(quorum=True),
        lambda: Floor(quorum="2"),  # type: ignore[arg-type]
        lambda: Floor(groups="finance"),
        lambda: Floor(groups=[""]),
        lambda: Floor(people=[1]),  # type: ignore[list-item]
        lambda: Floor(step_up="session"),
        lambda: Floor(step_up="passkeys"),
        lambda: Floors({TOOL: []}),
        lambda: Floor(groups=["fin\u0430nce"]),
        lambda: Floor(people=["ada,ben"]),
        lambda: Floors({"tr\u0430nsfer": Floor()}),
        lambda: Floors({f" {TOOL}": Floor()}),
        lambda: Floors(risk_groups={"m y": RiskGroup({TOOL}, [Floor()])}),
        lambda: Floors({TOOL: Floor()}, {"m": RiskGroup({TOOL.upper()}, [Floor()])}),
        lambda: Floors({TOOL: 2}),  # type: ignore[dict-item]
        lambda: RiskGroup(set(), [Floor()]),
        lambda: RiskGroup(TOOL, [Floor()]),
        lambda: RiskGroup({TOOL}, []),
        lambda: Floors(risk_groups={"money": RiskGroup({"*"}, [Floor()])}),
    ],
)
def test_what_cannot_be_meant_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(Invalid) as refused:
        make()
    assert refused.value.code == "floor"


@pytest.mark.parametrize(
    ("floor", "options", "says"),
    [
        ({TOOL: Floor(groups={"finanse"})}, {}, "finanse"),
        ({TOOL: Floor(people={"zoe"})}, {}, "zoe"),
        ({TOOL: Floor(groups={"ada"})}, {}, "ada"),  # a person is no group
        ({TOOL: Floor(people={"finance"})}, {}, "finance"),
        ({TOOL: Floor(quorum=3, groups={"finance"})}, {}, "fill"),
        ({TOOL: [Floor(quorum=2, groups={"finance"}), Floor(people={"ada"})]}, {}, "fill"),
        ({TOOL: Floor()}, {"unattended": {TOOL}}, "unattended"),
        (
            Floors(risk_groups={"m": RiskGroup({TOOL}, [Floor()])}),
            {"unattended": {TOOL}},
            "unattended",
        ),
        ({TOOL: Floor()}, {"people": None}, "pinned"),
    ],
)
def test_a_floor_that_can_hold_nothing_stops_the_start(
    floor: Any, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(Invalid, match=says) as refused:
        COMPANY.verifier(floor=floor, **options)
    assert refused.value.code == "floor"


TOML = f"""\
typ = "{FILE_TYPE}"

[[tools.transfer]]
quorum = 2
groups = ["finance"]
step_up = "passkey"

[[tools."*"]]
quorum = 1

[risk_groups.money-movement]
tools = ["transfer", "refund"]

[[risk_groups.money-movement.places]]
quorum = 1
people = ["ada", "cleo"]
"""
DOCUMENT: dict[str, Any] = {
    "typ": FILE_TYPE,
    "tools": {
        "transfer": [{"quorum": 2, "groups": ["finance"], "step_up": "passkey"}],
        "*": [{"quorum": 1}],
    },
    "risk_groups": {
        "money-movement": {
            "tools": ["transfer", "refund"],
            "places": [{"quorum": 1, "people": ["ada", "cleo"]}],
        }
    },
}


def test_a_file_says_the_same_in_json_and_in_toml() -> None:
    read = Floors.read(TOML.encode())
    assert read == Floors.read(json.dumps(DOCUMENT).encode()) == Floors.from_document(DOCUMENT)
    assert read == Floors(
        {"transfer": Floor(2, {"finance"}), "*": Floor()},
        {"money-movement": RiskGroup(["refund", "transfer"], [Floor(1, people=("ada", "cleo"))])},
    )


def changed(**members: Any) -> bytes:
    return json.dumps({**DOCUMENT, **members}).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"{}",
        b"[]",
        b"{",
        b"tools = ",
        b"\xff",
        b"typ = 1979-05-27",
        f'typ = "{FILE_TYPE}"'.encode(),
        TOML.replace("[[tools.transfer]]", "[tools.transfer]").encode(),
        TOML.replace("quorum = 2", "qourum = 2").encode(),
        TOML.replace("quorum = 2", "").encode(),
        TOML.replace("quorum = 2", "quorum = 2.0").encode(),
        TOML.replace("groups =", "group =").encode(),
        TOML.replace('["finance"]', "[]").encode(),
        TOML.replace('["finance"]', '"finance"').encode(),
        TOML.replace("risk_groups", "risk-groups").encode(),
        TOML.replace('step_up = "passkey"', 'step_up = "session"').encode(),
        TOML.replace(FILE_TYPE, "assent/floor/2").encode(),
        TOML.encode() + b'typ = "twice"',
        changed(tools=None),
        changed(tools={}, risk_groups={}),
        changed(tools={"transfer": []}),
        changed(tools={"": [{"quorum": 1}]}),
        changed(tools={"transfer": {"quorum": 1}}),
        changed(tools={"transfer": [{"quorum": True}]}),
        changed(tools={"transfer": [1]}),
        changed(risk_groups={"m": {"tools": [], "places": [{"quorum": 1}]}}),
        changed(risk_groups={"m": {"tools": ["*"], "places": [{"quorum": 1}]}}),
        changed(risk_groups={"m": {"tools": "transfer", "places": [{"quorum": 1}]}}),
        changed(risk_groups={"m": {"tools": ["transfer"]}}),
        changed(surprise=1),
        b'{"typ": "' + FILE_TYPE.encode() + b'", "tools": {}, "tools": {}}',
        b" " * (256 * 1024 + 1),
        b"a = " + b"[" * 100_000,
    ],
)
def test_a_file_that_is_not_exactly_one_is_refused(raw: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        Floors.read(raw)
    assert refused.value.code == "floor"
    assert refused.value.place


people = st.sets(st.sampled_from(sorted(GROUPS)), min_size=1)
names = st.sets(st.sampled_from(["finance", "managers", "engineering"]), max_size=2)
places = st.lists(
    st.builds(
        Floor,
        quorum=st.integers(1, 3),
        groups=names,
        people=st.sets(st.sampled_from(sorted(GROUPS)), max_size=2),
    ),
    min_size=1,
    max_size=3,
)


def fills(voters: set[str], wanted: list[Floor]) -> bool:
    """By trying everything: whether distinct voters can take all places."""
    slots = [place for place in wanted for _ in range(place.quorum)]
    if not slots:
        return True
    first, *rest = slots
    for voter in voters:
        named = not first.groups and not first.people
        entitled = named or voter in first.people or set(GROUPS[voter]) & set(first.groups)
        if entitled and fills(voters - {voter}, [replace(place, quorum=1) for place in rest]):
            return True
    return False


TOKENS: dict[tuple[str, ...], str] = {}


@settings(max_examples=150, deadline=None)
@given(voters=people, wanted=places)
def test_a_floor_is_met_exactly_when_distinct_people_can_take_all_places(
    voters: set[str], wanted: list[Floor]
) -> None:
    named = tuple(sorted(voters))
    token = TOKENS.setdefault(named, "") or asked(*named)
    TOKENS[named] = token
    if not fills(set(GROUPS), wanted):
        with pytest.raises(Invalid):
            COMPANY.verifier(floor={TOOL: wanted})
        return
    assert reason(token, {TOOL: wanted}) == (None if fills(voters, wanted) else "floor")


def test_a_long_file_in_toml_is_refused_before_it_is_parsed_and_can_be_json() -> None:
    """One key of many parts, in a file of this size, takes Python's reader minutes."""
    pad = 16 * 1024 - len(TOML.encode()) - 2
    assert Floors.read(f"{TOML}\n#{' ' * pad}".encode()) == Floors.read(TOML.encode())
    for long in (f"{TOML}\n#{' ' * (pad + 1)}", "a." * 8192 + "a = 1"):
        with pytest.raises(Invalid, match="16384 bytes: write it as JSON"):
            Floors.read(long.encode())
    text = json.dumps(DOCUMENT)
    assert Floors.read(text.encode() + b" " * 100_000) == Floors.read(TOML.encode())


def test_it_is_for_the_verifier_to_have() -> None:
    assert isinstance(COMPANY.verifier(floor={TOOL: Floor()}), Verifier)
