"""Text in a mail: nothing of it is lost, unseen, or made into a link by a mail program."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from linkify_it import LinkifyIt  # type: ignore[import-untyped]

from approvals.core.display import original, visible
from approvals.integrations.email.text import columns, drawn, has_link_drawn, wrapped
from tests import naughty

# What a mail program would make a link of, as eagerly as they come.
PROGRAM = LinkifyIt(options={"fuzzy_link": True, "fuzzy_email": True, "fuzzy_ip": False}).tlds(
    ["com", "example", "uk", "co", "рф", "xn--p1ai", "テスト"], keep_old=True
)
DRAWN_LINK = re.compile(r"⟦([^U])⟧")


def undrawn(text: str) -> str:
    return original(DRAWN_LINK.sub(r"\1", text))


@pytest.mark.parametrize("number", range(len(naughty.LINKS)))
def test_no_mail_program_makes_a_link_of_it(number: int) -> None:
    text = naughty.LINKS[number]
    for around in ("{}", "see {} now", "({})", "a{}", "{}a", "\n{}\n", '"{}"'):
        shown = drawn(visible(around.format(text), lines=True))
        assert not PROGRAM.match(shown), shown


@pytest.mark.parametrize(
    "text",
    [
        "750.00 EUR",
        "1.2.3",
        "e.g. this, i.e. that",
        "It ends. And goes on.",
        "14:32 UTC",
        "arn:aws:s3",
        "これは文です。次の文。",
        "C:\\users",
        "ada-and-ben",
        "note: x",
    ],
)
def test_what_is_no_link_stays_as_it_is(text: str) -> None:
    assert drawn(text) == text
    assert not has_link_drawn(text)


@pytest.mark.parametrize("number", range(len(naughty.ALL)))
def test_a_drawing_tells_the_original(number: int) -> None:
    text = naughty.ALL[number]
    shown = drawn(visible(text))
    assert undrawn(shown) == text
    assert not naughty.raw_unseen(shown, allowed="")


def test_every_code_point_that_cannot_be_seen_is_drawn() -> None:
    unseen = naughty.unseen_code_points()
    assert len(unseen) > 900_000
    shown = drawn("".join(unseen), lines=False)
    assert shown == "".join(f"⟦U+{ord(each):04X}⟧" for each in unseen)


@given(st.text(st.characters(codec=None)))
def test_no_text_draws_like_another(text: str) -> None:
    assert undrawn(drawn(visible(text))) == text


@given(st.text(st.characters(codec=None)))
def test_text_that_nobody_drew_before_is_drawn_here(text: str) -> None:
    assert not naughty.raw_unseen(drawn(text, lines=False), allowed="")
    assert not naughty.raw_unseen(drawn(text), allowed="\n")


def test_the_first_of_two_backslashes_is_drawn() -> None:
    assert drawn("\\\\host\\share") == "⟦\\⟧\\host\\share"
    assert drawn("https://a.example/x.pdf") == "https:⟦/⟧/a⟦.⟧example/x⟦.⟧pdf"


# Lines


@given(st.text(st.characters(codec="utf-8")), st.integers(0, 8), st.integers(20, 80))
def test_wrapping_loses_nothing_and_keeps_to_its_place(text: str, indent: int, width: int) -> None:
    shown = drawn(visible(text, lines=True))
    lines = wrapped(shown, " " * indent, width).split("\n")
    assert all(line.startswith(" " * indent) for line in lines)
    assert all(columns(line) <= width for line in lines)
    assert "".join(line[indent:] for line in lines) == shown.replace("\n", "")


def test_what_is_left_after_a_break_is_broken_again() -> None:
    assert wrapped("a bcdefg" + "漢", "", 7).split("\n") == ["a ", "bcdefg", "漢"]


def test_lines_break_after_a_blank_and_never_within_a_drawing() -> None:
    assert wrapped("one two three", "", 8).split("\n") == ["one two ", "three"]
    assert wrapped("abcdefghij", "", 4).split("\n") == ["abcd", "efgh", "ij"]
    assert wrapped("abcdefgh⟦U+202E⟧", "", 12).split("\n") == ["abcdefgh", "⟦U+202E⟧"]
    assert wrapped("", "  ", 12) == "  "
    assert wrapped("漢漢漢", "", 4).split("\n") == ["漢漢", "漢"]
