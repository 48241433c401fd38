from __future__ import annotations

import re
import sys
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.core import display
from approvals.core.decision.ceremony import Decision
from approvals.core.requests import State
from approvals.flow.deciding.look import RequestCard
from approvals.flow.telling.outbox import NoticeKind
from approvals.integrations.slack import blocks, notes
from approvals.integrations.slack.text import BAR, cost, escaped, fit, fit_barred
from tests.slack.briefs import NAUGHTY, REQUEST, URL, brief
from tests.slack.limits import check_message, check_view, text_objects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from approvals.flow.telling.brief import Brief

UNSEEN = frozenset({"Cf", "Cc", "Co", "Cs", "Cn"})
CONTROL = re.compile(r"<[^>]*>?")
OWN_CONTROL = re.compile(
    r"<!date\^[0-9]+\^\{date_short_pretty\} \{time\}\|[0-9: -]+UTC>|"
    rf"<{re.escape(URL)}\|[A-Za-z ]+>"
)


def render(told: Brief, kind: NoticeKind = NoticeKind.REQUEST, *, linked: bool = True) -> Any:
    """The message, which Slack would take."""
    made = blocks.message(told, kind, linked=linked)
    check_message(made["text"], made["blocks"])
    return made


def texts(made: dict[str, Any]) -> list[str]:
    return [made["text"], *(each["text"] for each in text_objects(made["blocks"]))]


def plain_texts(made: dict[str, Any]) -> str:
    return "\n".join(
        each["text"] for each in text_objects(made["blocks"]) if each["type"] == "plain_text"
    )


def buttons(made: dict[str, Any]) -> list[str]:
    return [
        element["text"]["text"]
        for block in made["blocks"]
        if block["type"] == "actions"
        for element in block["elements"]
    ]


def harmless(made: dict[str, Any]) -> None:
    """No mention, link, tag or emoji of anybody else's, and nothing that cannot be seen."""
    for text in texts(made):
        assert not [found for found in CONTROL.findall(text) if not OWN_CONTROL.fullmatch(found)]
        assert not re.search(r"&(?!amp;|lt;|gt;)", text)
        assert not [c for c in text if c != "\n" and unicodedata.category(c) in UNSEEN]
    for each in text_objects(made["blocks"]):
        if each["type"] == "plain_text":
            assert each["emoji"] is False
        else:
            assert each["verbatim"] is True
            # mrkdwn holds our own words and numbers: taking our links out leaves plain English.
            assert re.fullmatch(r"[A-Za-z0-9 ·,.]*", OWN_CONTROL.sub("", each["text"]))


def test_it_says_who_what_where_why_and_until_when() -> None:
    made = render(brief(repeats=2))
    shown = plain_texts(made)
    for fact in (
        "Your decision is needed: Transfer money",
        "billing-agent (owner: Cleo Marsh)",
        "Uma Reyes",
        "https://payments.example",
        "money-movement",
        "7K3M-9QXV-0A2B-CDEF",
        "Any transfer needs one person from finance (0 of 1)",
        f"Amount\n{BAR}750.00 EUR",
        f"To\n{BAR}vendor@example.com",
    ):
        assert fact in shown
    rest = "".join(texts(made))
    assert "<!date^1800000900^" in rest
    assert "Asked again 2 times" in rest
    assert made["text"].endswith(URL)


def test_what_was_agreed_on_for_the_buttons() -> None:
    assert buttons(render(brief())) == ["Open request", "Deny", "Approve"]
    for less in (
        render(brief(), linked=False),
        render(brief(may_click=False)),
        render(brief(hidden=1)),
    ):
        assert buttons(less) == ["Open request", "Deny"]
    (actions,) = [block for block in render(brief())["blocks"] if block["type"] == "actions"]
    assert [each.get("value", each.get("url")) for each in actions["elements"]] == [
        URL,
        REQUEST,
        REQUEST,
    ]


@pytest.mark.parametrize("state", [state for state in State if state is not State.PENDING])
def test_what_is_over_says_so_and_has_no_button(state: State) -> None:
    made = render(brief(state=state, ended="It came to this"))
    assert buttons(made) == []
    assert "It came to this" in plain_texts(made)
    assert "Waits until" not in "".join(texts(made))


def test_who_has_decided_is_told() -> None:
    decided = (("Ada Okafor", Decision.APPROVE), ("Ben Silva", Decision.DENY))
    shown = plain_texts(render(brief(decided=decided, progress=(("Two people", 1, 2),))))
    assert "Ada Okafor approved\nBen Silva denied" in shown
    assert "Two people (1 of 2)" in shown


def test_what_is_only_on_the_page_is_counted() -> None:
    assert "3 more fields on the page" in "".join(texts(render(brief(hidden=3))))
    assert "1 more field on the page" in "".join(texts(render(brief(hidden=1))))


# Text that means harm


def payload(text: str) -> tuple[tuple[str, str], ...]:
    """A field as the display document has it: drawn."""
    return (("Memo", display.visible(text, lines=True)),)


@pytest.mark.parametrize("text", NAUGHTY, ids=range(len(NAUGHTY)))
def test_no_text_means_anything_wherever_it_stands(text: str) -> None:
    harmless(render(brief(fields=payload(text))))
    safe = display.visible(text)
    everywhere = brief(
        title=safe,
        agent=safe,
        agent_owner=safe,
        user=safe,
        target=safe,
        tool=safe,
        risk=(safe, safe),
        progress=((text, 0, 2),),
        fields=((safe, safe),),
        decided=((text, Decision.APPROVE),),
        ended=text,
        state=State.REVOKED,
    )
    harmless(render(everywhere))
    told = blocks.story(everywhere, told=0, ended=False)
    assert told is not None
    check_message(told["text"], told["blocks"])
    harmless(told)


@given(st.text(), st.text())
def test_whatever_the_payload_is(label: str, value: str) -> None:
    harmless(render(brief(fields=((display.visible(label), display.visible(value, lines=True)),))))


@given(st.text(alphabet="<>&@#!|^{}*_~`:\n\u202e\U000e0041⟦⟧U+12│ ", max_size=200))
def test_whatever_is_made_of_what_slack_reads(value: str) -> None:
    harmless(render(brief(fields=payload(value))))


@pytest.mark.slow
def test_every_code_point_that_cannot_be_seen_is_drawn() -> None:
    unseen = [
        chr(at) for at in range(sys.maxunicode + 1) if unicodedata.category(chr(at)) in UNSEEN
    ]
    assert len(unseen) > 900_000
    for chunk in _chunks(unseen, 200):
        made = render(brief(fields=payload(chunk)))
        # All of it is there, so all of it was drawn.
        assert buttons(made)[-1] == "Approve"
        drawn = made["blocks"][3]["text"]["text"].replace(f"\n{BAR}", "\n")
        assert display.original(drawn.removeprefix("Memo\n")) == chunk
        assert not [c for c in drawn if c != "\n" and unicodedata.category(c) in UNSEEN]


def _chunks(characters: list[str], size: int) -> Iterator[str]:
    for at in range(0, len(characters), size):
        yield "".join(characters[at : at + size])


def test_what_somebody_forgot_to_draw_is_drawn_here() -> None:
    made = render(brief(agent="bill\u202eing", user="a\nb", fields=(("Memo", "x\u200by\r"),)))
    harmless(made)
    shown = plain_texts(made)
    assert "bill⟦U+202E⟧ing" in shown
    assert "a⟦U+000A⟧b" in shown
    assert "x⟦U+200B⟧y⟦U+000D⟧" in shown


@given(st.text())
def test_what_is_drawn_already_stays_as_it_is(text: str) -> None:
    drawn = display.visible(text)
    assert fit(drawn, 1_000_000).text == escaped(drawn)


def test_a_line_of_a_value_cannot_pass_for_a_label() -> None:
    made = render(brief(fields=payload("1.00\nTo\nfriend@example.com")))
    assert f"Memo\n{BAR}1.00\n{BAR}To\n{BAR}friend@example.com" in plain_texts(made)


# Limits


def value_block(made: dict[str, Any]) -> str:
    text: str = made["blocks"][3]["text"]["text"]
    return text


ROOM = 3000 - len("Memo\n") - 1 - len(BAR)


@pytest.mark.parametrize(
    ("unit", "width"), [("x", 1), ("漢", 1), ("\U0001d4b3", 2), ("&", 5), ('"', 2)]
)
def test_a_value_that_just_fits_and_one_that_does_not(unit: str, width: int) -> None:
    most = ROOM // width
    fits = render(brief(fields=payload(unit * most)))
    assert buttons(fits)[-1] == "Approve"
    assert value_block(fits) == f"Memo\n{BAR}{escaped(unit) * most}"
    over = render(brief(fields=payload(unit * (most + 1))))
    assert buttons(over) == ["Open request", "Deny"]
    assert f"Characters shown {most} of {most + 1}, all on the page." in plain_texts(over)


def test_a_mark_and_a_letter_with_its_accents_are_cut_whole_or_not_at_all() -> None:
    for unit in ("\u202e", "e\u0301\u0302", "⟦"):
        for start in range(12):
            made = render(brief(fields=payload("x" * (ROOM - start) + unit * 3)))
            harmless(made)
            shown = value_block(made).removeprefix(f"Memo\n{BAR}x").lstrip("x")
            drawn = display.visible("x" + unit).removeprefix("x")
            assert shown.replace(drawn, "") == ""


def test_line_feeds_cost_their_bars() -> None:
    made = render(brief(fields=payload("\n" * 5000)))
    assert "all on the page" in plain_texts(made)
    assert "Approve" not in buttons(made)


@pytest.mark.parametrize("count", [1, 20, 45, 60, 500])
def test_more_fields_than_there_is_room_for_are_counted(count: int) -> None:
    fields = tuple((f"Label {n}", f"value {n}") for n in range(count))
    made = render(brief(fields=fields))
    shown = sum(f"{BAR}value {n}" in plain_texts(made).split("\n") for n in range(count))
    if shown == count:
        assert buttons(made)[-1] == "Approve"
    else:
        assert f"Fields shown {shown} of {count}, all on the page." in plain_texts(made)
        assert buttons(made) == ["Open request", "Deny"]
    assert shown >= min(count, 30)


@pytest.mark.parametrize("name", ["title", "agent", "user", "target", "tool"])
@pytest.mark.parametrize("over", [0, 1, 5000])
def test_a_fact_that_does_not_fit_says_so_and_there_is_no_approving(name: str, over: int) -> None:
    beside = {"title": " (transfer)", "tool": "Transfer money ()", "agent": " (owner: Cleo Marsh)"}
    made = render(brief(**{name: "n" * (blocks.FACT - len(beside.get(name, "")) + over)}))
    assert ("Approve" in buttons(made)) is (over == 0)
    assert ("all on the page" in plain_texts(made)) is (over != 0)


def test_many_reasons_and_many_votes_are_counted() -> None:
    made = render(
        brief(
            progress=tuple((f"reason {n}", 0, 1) for n in range(300)),
            decided=tuple((f"Person {n}", Decision.APPROVE) for n in range(300)),
        )
    )
    assert plain_texts(made).count("of 300, all on the page") == 2
    assert "Approve" not in buttons(made)


def test_a_long_title_leaves_the_header_for_the_facts() -> None:
    just = 150 - len("Your decision is needed: ")
    assert render(brief(title="t" * just))["blocks"][0]["text"]["text"].endswith("t")
    long = render(brief(title="t" * (just + 1)))
    assert long["blocks"][0]["text"]["text"] == "Your decision is needed"
    assert f"{'t' * (just + 1)} (transfer)" in plain_texts(long)


def test_all_together_stay_within_what_slack_takes() -> None:
    full = "漢" * 5000
    made = render(
        brief(
            title=full,
            agent=full,
            agent_owner=full,
            user=full,
            target=full,
            risk=(full,) * 50,
            progress=((full, 0, 9),) * 50,
            decided=((full, Decision.APPROVE),) * 50,
            fields=((full, full),) * 50,
            repeats=99,
            hidden=99,
        )
    )
    assert cost(str(made["blocks"])) < 12_000


@given(st.text(max_size=400), st.integers(min_value=0, max_value=300))
def test_what_is_fitted_fits_and_is_a_beginning(text: str, limit: int) -> None:
    drawn = display.visible(text, lines=True)
    fitted = fit_barred(drawn, limit + cost(BAR))
    assert cost(fitted.text) <= limit + cost(BAR)
    assert fitted.of == len(drawn)
    begun = fitted.text.removeprefix(BAR).replace(f"\n{BAR}", "\n")
    assert begun == escaped(drawn[: fitted.shown])
    assert fitted.whole == (fitted.shown == len(drawn))


# The other messages


def test_the_story_tells_what_is_new_and_nothing_twice() -> None:
    one = brief(decided=(("Ada", Decision.APPROVE),), progress=(("Two people", 1, 2),))
    assert blocks.story(brief(), told=0, ended=False) is None
    first = blocks.story(one, told=0, ended=False)
    assert first is not None
    assert first["text"] == "Ada approved\n1 of 2 so far"
    assert blocks.story(one, told=1, ended=False) is None
    over = replace(
        one,
        state=State.APPROVED,
        ended="Approved by Ada, Ben",
        decided=(*one.decided, ("Ben", Decision.APPROVE)),
    )
    last = blocks.story(over, told=1, ended=False)
    assert last is not None
    assert last["text"] == "Ben approved\nApproved by Ada, Ben"
    assert blocks.story(over, told=2, ended=True) is None


def test_a_reminder_says_that_it_is_one() -> None:
    assert render(brief(), NoticeKind.REMINDER)["text"].startswith("Still waiting")


@pytest.mark.parametrize("kind", list(NoticeKind))
@pytest.mark.parametrize("lines", [(), ("3 waiting for an answer",), NAUGHTY])
def test_notes_are_taken_and_harmless(kind: NoticeKind, lines: tuple[str, ...]) -> None:
    made = notes.note(kind, lines, URL)
    check_message(made["text"], made["blocks"])
    harmless(made)


def test_the_form_carries_the_request_and_nothing_else() -> None:
    form = notes.deny_form(REQUEST)
    check_view(form)
    assert form["private_metadata"] == REQUEST


@pytest.mark.parametrize("count", [0, 1, 10, 11, 200])
def test_the_list_of_what_waits_is_taken_and_complete_or_says_so(count: int) -> None:
    cards = [
        RequestCard(
            id=REQUEST,
            title=display.visible(NAUGHTY[n % len(NAUGHTY)]),
            gist=("canary",),
            agent="billing-agent",
            user="Uma",
            target="https://payments.example",
            tool="transfer",
            fingerprint="7K3M",
            state=State.PENDING,
            created=1,
            expires=1_800_000_000,
            waits=True,
        )
        for n in range(count)
    ]
    made = notes.waiting(cards, page=URL, address=URL.removesuffix(REQUEST))
    check_message(made["text"], made["blocks"])
    harmless(made)
    assert "canary" not in str(made)
    assert ("all on the page" in str(made)) is (count > 10)


def test_the_bare_message_is_taken() -> None:
    made = blocks.bare(brief(), NoticeKind.REQUEST)
    check_message(made["text"], made["blocks"])
    harmless(made)
