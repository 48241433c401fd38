"""What cannot be seen does not work: one table, for what is reviewed and for what is approved."""

from __future__ import annotations

import json
import secrets
import sys
import unicodedata

import cedarpy
import pytest
import yaml

from approvals.core import unseen, unseen_table
from approvals.core.display import name, original, visible
from approvals.policy.bundle import Bundle, check
from tests import small_bundle as small
from tests.core import make_unseen_table, measure_unseen
from tests.web.browser import chromium

DATA = json.loads(measure_unseen.FILE.read_text("utf-8"))
# What some reader takes for the end of a line: Python, YAML 1.1, Unicode (UAX 14), editors.
LINE_ENDS = "\x0b\x0c\r\x1c\x1d\x1e\x85\u2028\u2029"
BEH, ALEF, KA, VIRAMA = "\u0628", "\u0627", "\u0915", "\u094d"
MI_RAVAM = "\u0645\u06cc\u200c\u0631\u0648\u0645"


def codes(files: dict[str, str]) -> list[tuple[str, int, str]]:
    return [(problem.file, problem.line, problem.code) for problem in check(files)]


# --- the table


def test_the_table_is_what_unicode_and_the_measurement_say() -> None:
    if unicodedata.unidata_version != unseen_table.UNICODE:
        pytest.skip(f"made from Unicode {unseen_table.UNICODE}")
    assert make_unseen_table.TABLE.read_text("utf-8") == make_unseen_table.module(DATA)


def test_the_table_holds_everything_that_is_unseen_to_this_python_or_was_to_the_browser() -> None:
    wanted = make_unseen_table.members(DATA["default_ignorable"]) | make_unseen_table.measured(DATA)
    wanted -= {0x20}
    assert {0xA0, 0x34F, 0x115F, 0x2800, 0x3164, 0xFE0F, 0xFFFC, 0x1D159} <= wanted
    assert not [code_point for code_point in wanted if not unseen.is_unseen(chr(code_point))]
    for code_point in range(sys.maxunicode + 1):
        character = chr(code_point)
        if unicodedata.category(character) in make_unseen_table.CATEGORIES and character != " ":
            assert unseen.is_unseen(character), f"{code_point:04X}"


def test_every_character_of_ascii_that_has_ink_is_seen() -> None:
    assert [chr(c) for c in range(128) if not unseen.is_unseen(chr(c))] == [
        chr(c) for c in range(0x20, 0x7F)
    ]


@pytest.mark.browser
def test_what_is_not_in_the_table_has_ink_in_the_browser_that_is_here() -> None:
    """Would catch a browser that no longer draws something which the table takes for seen."""
    step = 75
    start = secrets.randbelow(step)
    print("from", start)  # noqa: T201 - shown where the test fails
    seen = [c for c in range(sys.maxunicode + 1) if not unseen.is_unseen(chr(c)) and c != 0x20]
    with chromium() as browser:
        size = {
            "width": measure_unseen.COLUMNS * measure_unseen.WIDTH,
            "height": measure_unseen.ROWS * measure_unseen.HEIGHT,
        }
        page = browser.new_page(viewport=size)  # type: ignore[arg-type]
        nothing, blank = measure_unseen.measure(page, seen[start::step])
        # A mark that stands alone may be drawn beside its place.
        blank = [each for each in blank if unicodedata.category(chr(each))[0] != "M"]
        assert (nothing, blank) == ([], [])
        # That the measurement can tell: what Unicode says is nothing, and a blank.
        assert measure_unseen.measure(page, [0x41, 0x200B, 0xFFFC, 0xA0]) == (
            [0x200B, 0xFFFC],
            [0x200B, 0xFFFC, 0xA0],
        )


# --- in a bundle


@pytest.mark.parametrize("end", LINE_ENDS, ids=lambda end: f"U+{ord(end):04X}")
def test_only_a_line_feed_ends_a_line_of_a_bundle(end: str) -> None:
    """Would catch a key behind a `#` that is in force: readers of YAML and people disagree."""
    people = small.PEOPLE.replace("groups:", f"groups: # was:{end}  auditors: [ada]", 1)
    assert people != small.PEOPLE
    number = people[: people.index(end)].count("\n") + 1
    assert ("people.yaml", number, "invisible") in codes(small.files(people=people))
    rules = f'// seen{end}@id("unseen") permit (principal, action, resource);\n'
    found = codes({**small.files(), "policies/more.cedar": rules})
    assert ("policies/more.cedar", 1, "invisible") in found


def test_yaml_and_cedar_end_a_line_at_nothing_that_a_bundle_may_hold() -> None:
    """Would catch a further line end of PyYAML or of Cedar, now or in a later version."""
    for code_point in range(sys.maxunicode + 1):
        character = chr(code_point)
        if unseen.is_unseen(character):
            continue
        assert len(f"a{character}b".splitlines()) == 1
    some = "".join(chr(c) for c in range(0x80, 0x10000) if not unseen.is_unseen(chr(c)))
    assert len(some) > 40_000
    assert yaml.safe_load(f"a: 1 # {some}\n") == {"a": 1}
    rule = '@id("a") permit (principal, action, resource);'
    found = json.loads(cedarpy.policies_to_json_str(f"// {some}{rule}\n{rule}"))
    assert len(found["staticPolicies"]) == 1


@pytest.mark.parametrize("code_point", [0xA0, 0x34F, 0x115F, 0x2800, 0x3164, 0xFE0F, 0xFFFC])
def test_what_a_browser_draws_as_nothing_is_refused_in_a_bundle(code_point: int) -> None:
    people = small.PEOPLE.replace("name: Ada", f"name: A{chr(code_point)}da", 1)
    assert [code for _, _, code in codes(small.files(people=people))] == ["invisible"]


@pytest.mark.parametrize("end", ["\r", "\r\r\n", "\n\r"])
def test_a_carriage_return_stands_only_before_a_line_feed(end: str) -> None:
    people = small.PEOPLE.replace("\n", "\r\n")
    assert codes(small.files(people=people)) == []
    assert "invisible" in {code for _, _, code in codes(small.files(people=small.PEOPLE + end))}


@pytest.mark.parametrize(
    "written",
    ['"A\\u202Eda"', '"A\\u200Bda"', '"A\\nda"', '"A\\u2028da"', "|\n      Ada\n      Ben"],
)
def test_an_escape_brings_nothing_unseen_into_a_line_of_text(written: str) -> None:
    """Would catch what is visible in the file and hidden where it is shown."""
    people = small.PEOPLE.replace("{name: Ada}", f"\n    name: {written}", 1)
    assert people != small.PEOPLE
    assert {code for _, _, code in codes(small.files(people=people))} == {"invisible"}


def test_an_annotation_holds_nothing_unseen() -> None:
    rule = '@id("hidden") @reason("a\\u{202e}b") forbid (principal, action, resource);'
    assert codes({**small.files(), "policies/more.cedar": rule}) == [
        ("policies/more.cedar", 1, "invisible")
    ]


# --- names of people


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        (MI_RAVAM, True),
        (f"{BEH}\u0650\u200c\u0650{BEH}", True),  # vowel signs are transparent
        (f"{KA}{VIRAMA}\u200c{KA}", True),
        (f"{KA}{VIRAMA}\u200d{KA}", True),
        (f"{KA}\u200d{KA}", False),
        (f"{ALEF}\u200c{BEH}", False),  # an alef never joins what follows
        (f"{BEH}\u200d{BEH}", False),
        (f"{BEH}\u200c\u200c{BEH}", False),
        (f"{BEH}\u200c", False),
        (f"\u200c{BEH}", False),
        ("Ada\u200cBen", False),
        ("Ada\u200dBen", False),
    ],
)
def test_a_joiner_is_needed_where_rfc_5892_says_so(text: str, *, needed: bool) -> None:
    assert (unseen.find(text, joiners=True) is None) is needed
    assert unseen.find(text) is not None
    people = small.PEOPLE.replace("name: Ada", f"name: {text}", 1)
    assert (codes(small.files(people=people)) == []) is needed


def test_a_name_is_shown_as_its_script_writes_it_and_a_payload_with_its_joiner_marked() -> None:
    assert name(MI_RAVAM) == MI_RAVAM
    assert visible(MI_RAVAM) == MI_RAVAM.replace("\u200c", "⟦U+200C⟧")
    assert name("Ada\u200cBen") == "Ada⟦U+200C⟧Ben"
    assert original(visible(MI_RAVAM)) == MI_RAVAM


@pytest.mark.parametrize(
    ("one", "other"),
    [(MI_RAVAM, unseen.without_joiners(MI_RAVAM)), ("Jos\u00e9", "Jose\u0301")],
)
def test_two_names_that_look_the_same_are_not_in_one_bundle(one: str, other: str) -> None:
    """Would catch two people whom nobody, or only a reader of the script, can tell apart."""
    twins = small.PEOPLE.replace("name: Ada", f"name: {one}", 1)
    twins = twins.replace("name: Ben", f"name: {other}", 1)
    assert [code for _, _, code in codes(small.files(people=twins))] == ["lookalike"]
    namesakes = small.PEOPLE.replace("name: Ben", "name: Ada", 1)
    assert Bundle.load(small.files(people=namesakes)).people["ben"].name == "Ada"


def test_joiners_are_for_names_of_people_alone() -> None:
    agents = small.AGENTS.replace("purpose: ", f"purpose: {MI_RAVAM} ", 1)
    assert agents != small.AGENTS
    assert {code for _, _, code in codes(small.files(agents=agents))} == {"invisible"}
