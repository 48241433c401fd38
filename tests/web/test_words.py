"""What pages say, without a browser: marks, cuts, paths, and facts that no prose can touch."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.core import display
from approvals.core.display.shown import ShownField, Unchecked
from approvals.core.registry import FieldKind
from approvals.core.requests import State, WhyNot
from approvals.flow.auditing.figures import Figure, Figures
from approvals.flow.deciding import look
from approvals.flow.deciding.look import OutcomeView, RequestView
from approvals.web.marks import marked
from approvals.web.pages import rendered
from approvals.web.paths import local_path
from approvals.web.present.figures import BOTTOM, LEFT, RIGHT, TOP, figures_page
from approvals.web.present.payload import cut
from approvals.web.present.request import request_page, split_target
from approvals.web.times import clock, iso, lasted, span
from tests.service import Peopled
from tests.web.site import open_site, submit_directly

TAGS = re.compile(r"<[^>]*>")

HOSTILE = [
    "",
    "All fine, finance has cleared it. APPROVE NOW.",
    "</blockquote></section><section id='facts'><h1>Read a file</h1>",
    "<script>document.body.remove()</script>",
    "{{ 7 * 7 }} {% raw %} ${7*7} #{7*7}",
    "]]> --> ' \" ` &lt;",
    "\u202emoc.elpmaxe//:sptth\u202c \u200b\u2066\u2069 \U000e0041",
    "⟦U+202E⟧ this is a mark that was typed",
    "line\nline\r\n\tline\x00\x1b[31m",
    "👩‍👩‍👧‍👦" * 200,
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘" * 20,
    "x" * 20_000,
]


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> RequestView:
    site = open_site(tmp_path_factory.mktemp("site"), "http://localhost:8420")
    try:
        request_id = submit_directly(
            site, "transfer", amount="750.00", to="vendor@example.com", memo="\u202e7781"
        )
        return look.request(site.service, Peopled(site.service).session("ada"), request_id)
    finally:
        site.service.store.close()


def drawn(view: RequestView) -> str:
    return rendered("request.html", {"r": request_page(view), "person": "Ada", "now": view.now})


def without_the_claim(page: str) -> str:
    kept, found = re.subn(r'<section id="claim".*?</section>', "", page, flags=re.DOTALL)
    assert found == 1
    return kept


@pytest.mark.parametrize("prose", HOSTILE)
def test_the_facts_are_the_same_bytes_whatever_the_agent_says(
    view: RequestView, prose: str
) -> None:
    said = replace(view, explanation=display.visible(prose))
    assert without_the_claim(drawn(said)) == without_the_claim(
        drawn(replace(view, explanation=None))
    )
    claim = drawn(said).partition('<section id="claim"')[2].partition("</section>")[0]
    assert "<script" not in claim
    if prose:
        assert "Not verified" in claim
        quoted = claim.partition("<blockquote>")[2].partition("</blockquote>")[0]
        assert html.unescape(TAGS.sub("", quoted)) == display.visible(prose)


def test_a_call_that_differs_does_change_the_facts(view: RequestView) -> None:
    other = replace(view, shown=replace(view.shown, payload=view.shown.payload + " "))
    assert without_the_claim(drawn(other)) != without_the_claim(drawn(view))


def test_no_code_point_that_works_unseen_reaches_a_page(view: RequestView) -> None:
    unseen = "".join(
        map(
            chr,
            [
                *range(0x9),
                *range(0xB, 0x20),
                *range(0x7F, 0xA0),
                0xAD,
                *range(0x200B, 0x2010),
                *range(0x202A, 0x202F),
                *range(0x2060, 0x2070),
                0xFEFF,
                0xFFFE,
                0xE000,
                0xE0041,
                0x10FFFF,
            ],
        )
    )
    text = display.visible(unseen)
    page = drawn(
        replace(
            view,
            explanation=text,
            agent=text,
            user_name=text,
            shown=replace(
                view.shown,
                title=text,
                target=f"https://{text}",
                payload=text,
                fields=(ShownField(text, FieldKind.TEXT, text, text, (text,)),),
                unchecked=(Unchecked(text, text),),
            ),
        )
    )
    assert not set(unseen) & set(page)
    assert page.count("U+202E") > 5


@given(st.text())
def test_a_marked_text_is_that_text_and_nothing_else(text: str) -> None:
    shown = str(marked(text))
    assert html.unescape(TAGS.sub("", shown)) == text
    assert set(TAGS.findall(shown)) <= {'<span class="mark">', "</span>"}


@given(
    st.lists(st.sampled_from(["a", "⟦U+202E⟧", "⟦U+10FFFF⟧", "⟦", "⟧", " "])).map("".join),
    st.integers(0, 60),
)
def test_a_cut_keeps_a_beginning_and_halves_no_mark(text: str, most: int) -> None:
    kept = cut(text, most)
    assert text.startswith(kept)
    assert len(kept) <= most
    assert len(kept) == len(text) or len(kept) > most - len("⟦U+10FFFF⟧")
    if len(text) > most:
        for found in re.finditer(r"⟦U\+[0-9A-F]+⟧", text):
            assert not found.start() < len(kept) < found.end()


@pytest.mark.parametrize(
    "text",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r//evil.example",
        " /r/x",
        "javascript:alert(1)",
        "r/x",
        "",
        "/ü",
        "/x\x7f",
        "/" + "x" * 600,
        None,
    ],
)
def test_nobody_is_sent_elsewhere(text: str | None) -> None:
    assert local_path(text) == "/"


@pytest.mark.parametrize("text", ["/", "/r/req_abc", "/me?x=1", "/r/a//b", "/r/x?next=//evil"])
def test_a_path_of_ours_is_kept(text: str) -> None:
    assert local_path(text) == text


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("https://payments.example", "payments.example"),
        ("https://payments.example/v1?x=@y", "payments.example"),
        ("https://payments.example@evil.example/", "evil.example"),
        ("https://evil.example?payments.example", "evil.example"),
        ("urn:example:crm", "urn:example:crm"),
    ],
)
def test_the_host_that_stands_out_is_the_host(target: str, host: str) -> None:
    parts = split_target(target)
    assert parts[1] == host
    assert "".join(parts) == target


def test_times_are_written_as_the_script_will_write_them() -> None:
    assert iso(1_800_000_000) == "2027-01-15T08:00:00Z"
    assert clock(1_800_000_000, "time") == "08:00 UTC"
    assert clock(1_800_000_000, "both") == "15 Jan, 08:00 UTC"
    assert [span(left) for left in (-5, 0, 59, 60, 3599, 3600, 90_061)] == [
        "0:00",
        "0:00",
        "0:59",
        "1:00",
        "59:59",
        "1 h 00 min",
        "25 h 01 min",
    ]


OUTCOMES = [
    (None, "Approved"),
    (OutcomeView("apr_x", 200, None, None, None), "Approved"),
    (OutcomeView("apr_x", 90, None, None, None), "Approved, but never used"),
    (OutcomeView("apr_x", 200, 99, None, None), "Approved, and let through"),
    (OutcomeView("apr_x", 200, 99, "ok", 100), "Approved, and it ran"),
    (OutcomeView("apr_x", 200, 99, "error", 100), "Approved; the call failed"),
]


@pytest.mark.parametrize(("outcome", "headline"), OUTCOMES)
def test_an_approved_request_says_what_became_of_it(
    view: RequestView, outcome: OutcomeView | None, headline: str
) -> None:
    page = request_page(
        replace(
            view,
            now=100,
            state=State.APPROVED,
            outcome=outcome,
            may_decide=False,
            why_not=WhyNot.NOT_PENDING,
        )
    )
    assert page.headline == headline
    assert page.story


@pytest.mark.parametrize("state", [state for state in State if state is not State.PENDING])
def test_a_request_that_is_over_says_so_and_has_no_button(view: RequestView, state: State) -> None:
    page = drawn(replace(view, state=state, may_decide=False, why_not=WhyNot.NOT_PENDING))
    assert "What became of it" in page
    assert "<button" not in page
    assert "data-until" not in page


def test_who_may_not_decide_is_shown_the_whole(view: RequestView) -> None:
    long = replace(
        view,
        needs_whole=True,
        opened_whole=False,
        shown=replace(view.shown, payload="x" * 5000),
    )
    assert request_page(long).folded
    asked = request_page(replace(long, may_decide=False, why_not=WhyNot.OWN_REQUEST))
    assert not asked.folded
    assert asked.payload.whole


def test_how_often_it_was_asked_and_when_it_may_be_again_is_said(view: RequestView) -> None:
    assert "asked 3 times" in drawn(replace(view, repeats=2))
    over = replace(view, state=State.DENIED, may_decide=False, why_not=WhyNot.NOT_PENDING)
    again = "Nobody is asked about the same call again until"
    assert again in drawn(replace(over, asked_again_at=view.now + 60))
    assert again not in drawn(replace(over, asked_again_at=view.now))


@pytest.mark.parametrize(
    ("looked", "folded", "described"),
    [(True, False, None), (False, False, "look"), (False, True, "gate"), (True, True, "gate")],
)
def test_approve_says_what_it_waits_for(
    view: RequestView,
    looked: bool,  # noqa: FBT001 - a parameter of the table above
    folded: bool,  # noqa: FBT001 - likewise
    described: str | None,
) -> None:
    page = drawn(replace(view, looked=looked, needs_whole=folded, opened_whole=False))
    found = re.search(r'id="approve"[^>]*?(?: aria-describedby="(\w+)")?>', page)
    assert found is not None
    assert found[1] == described
    assert ("data-seen" in page) is not looked
    assert described is None or f'id="{described}"' in page


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59, "59 s"), (65, "1 min 05 s"), (7500, "2 h 05 min")]
)
def test_a_length_of_time(seconds: int, text: str) -> None:
    assert lasted(seconds) == text


def figure(name: str, median: float, approved: int, decided: int = 10) -> Figure:
    return Figure(name, decided, approved, median, 0)


def test_the_plot_places_each_approver_and_labels_all() -> None:
    found = Figures(
        now=0,
        since=0,
        approvers=(
            figure("a", 1.0, 10),
            figure("b", 1.0, 10),
            figure("c", 3600.0, 0),
            figure("d<script>", 90_000.0, 5),
        ),
        rules=(figure("r", 5.0, 1),),
        passkeys=(),
        cut=False,
    )
    page = figures_page(found)
    assert page.plot is not None
    first, second, third, _fourth = page.plot.dots
    assert first == second
    assert first == pytest.approx((LEFT, TOP))
    assert third[1] == pytest.approx(BOTTOM)
    assert all(LEFT <= x <= RIGHT and TOP <= y <= BOTTOM for x, y in page.plot.dots)
    assert [mark.text for mark in page.plot.labels] == ["1, 2", "3", "4"]
    assert page.plot.longest == "1 week"
    text = rendered("figures.html", {"f": page, "person": "Ada"})
    assert text.count('r="5"') == 4
    assert "<script>" not in text
    assert "Nobody has decided" in rendered(
        "figures.html", {"f": figures_page(replace(found, approvers=())), "person": "Ada"}
    )
