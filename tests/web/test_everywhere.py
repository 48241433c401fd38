"""One payload, three places where people read it: the page, Slack and a mail, of a real service."""

from __future__ import annotations

import html
import re
import unicodedata
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from linkify_it import LinkifyIt  # type: ignore[import-untyped]

from approvals.core import canonical
from approvals.core.errors import AdmissionError
from tests import naughty
from tests.email.mails import Html, part
from tests.slack.limits import text_objects
from tests.web.notified import ADA, Office, office
from tests.web.site import TOOLS, submit_directly
from tests.web.visits import Visit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.draws import Draws

FIELDS = 5
AT_ONCE = 136
"""As many marks as five fields may have each, to be whole in a mail and in Slack."""
PARTS = 2

NOTES = """\
  - name: mail
    target: https://payments.example
    title: Write notes
    groups: [external-email]
    owner: finance
    schema:
      type: object
      additionalProperties: false
      required: []
      properties:
""" + "".join(f"        n{n}: {{type: string}}\n" for n in range(FIELDS))
NOTES += "    display:\n" + "".join(
    f"      - {{path: /n{n}, label: Note {n}, kind: text, summary: true}}\n" for n in range(FIELDS)
)
MARK = re.compile(r"⟦U\+([0-9A-F]{4,6})⟧")
MAIL_PROGRAM = LinkifyIt(options={"fuzzy_link": True, "fuzzy_email": True, "fuzzy_ip": False}).tlds(
    ["com", "example", "uk", "co", "рф", "xn--p1ai", "テスト"], keep_old=True
)
OWN_CONTROL = re.compile(
    r"<!date\^[0-9]+\^\{date_short_pretty\} \{time\}\|[0-9: -]+UTC>"
    r"|<http://localhost:[0-9]+/[\w/]+\|[A-Za-z ]+>"
)


@dataclass
class Reader:
    """Ada, who gets everything."""

    place: Office
    visit: Visit

    def told(self, request_id: str) -> Shown:
        """What she is shown of a request, everywhere, with the whole of it opened on the page."""
        self.place.deliver()
        assert self.visit.post(f"/r/{request_id}/opened").status_code == 200
        (mail,) = [each for each in self.place.post.mails[-2:] if request_id in part(each, "plain")]
        (message,) = [
            each for each in self.place.slack.posted(ADA)[-2:] if request_id in each.shown
        ]
        shown = Shown(
            page=self.visit.get(f"/r/{request_id}").text,
            slack=message.arguments,
            plain=part(mail, "plain"),
            markup=part(mail, "html"),
            headers=[f"{name}: {value}" for name, value in mail.items()],
            link=f"{self.place.site.url}/r/{request_id}",
        )
        assert mail.defects == []
        assert mail["To"] == "ada@mail.example"
        return shown


@dataclass
class Shown:
    """A request on its page, in Slack and in a mail."""

    page: str
    slack: dict[str, Any]
    plain: str
    markup: str
    headers: list[str]
    link: str

    @property
    def slack_texts(self) -> list[str]:
        return [self.slack["text"], *(each["text"] for each in text_objects(self.slack["blocks"]))]

    @property
    def forms(self) -> list[str]:
        """Every form in which a text can be read."""
        return [
            self.page,
            html.unescape(self.page),
            *self.slack_texts,
            *map(html.unescape, self.slack_texts),
            self.plain,
            self.markup,
            Html(self.markup).text,
            *self.headers,
        ]


@pytest.fixture
def ada(tmp_path: Path) -> Iterator[Reader]:
    """A company with a tool whose every argument goes into notices."""
    tools = TOOLS.partition("  - name: mail")[0] + NOTES
    with (
        office(tmp_path, ada="slack, email", tools=tools) as place,
        closing(Visit(place.site)) as visit,
    ):
        visit.enrol("ada")
        yield Reader(place, visit)


def ask(ada: Reader, *notes: str, **more: Any) -> str:
    args = {f"n{number}": text for number, text in enumerate(notes)}
    return submit_directly(ada.place.site, "mail", **more, **args)


def nothing_unseen(shown: Shown) -> None:
    for form in shown.forms:
        assert not naughty.raw_unseen(form, allowed="\r\n")


def nothing_of_its_own(shown: Shown) -> None:
    """No link, mention, tag or attribute but ours, anywhere."""
    nothing_unseen(shown)
    for text in shown.slack_texts:
        assert "<" not in OWN_CONTROL.sub("", text)
        assert not re.search(r"&(?!amp;|lt;|gt;)", text)
    for each in text_objects(shown.slack["blocks"]):
        if each["type"] == "plain_text":
            assert each["emoji"] is False
        else:  # mrkdwn holds our own words and numbers only
            assert each["verbatim"] is True
            assert re.fullmatch(r"[A-Za-z0-9 ·,.]*", OWN_CONTROL.sub("", each["text"]))
    assert shown.slack["unfurl_links"] is shown.slack["unfurl_media"] is False

    links = [found.url for found in MAIL_PROGRAM.match(shown.plain) or ()]
    assert links == [shown.link]
    mail = Html(shown.markup)
    assert [attributes["href"] for tag, attributes in mail.elements if tag == "a"] == [shown.link]
    assert mail.odd == []

    page = Html(shown.page)
    for tag, attributes in page.elements:
        assert re.match(r"/(?!/)|#", attributes.get("href") or "#"), attributes
        assert "src" not in attributes or str(attributes["src"]).startswith("/static/"), attributes
        assert not any(name.startswith("on") for name in attributes), attributes
        assert tag not in {"iframe", "object", "embed", "base", "img", "style"}


def elements(markup: str) -> list[tuple[str, list[str]]]:
    """What HTML is made of, without what differs from text to text."""
    return [
        (tag, sorted(attributes))
        for tag, attributes in Html(markup).elements
        if tag not in {"br", "span"}
    ]


def test_hostile_text_means_nothing_on_the_page_in_slack_and_in_mail(
    ada: Reader, draws: Draws
) -> None:
    harmless = ada.told(ask(ada, "plain"))
    nothing_of_its_own(harmless)
    said = draws.of("hostile").sample(
        naughty.ALL, draws.count(sample=60, complete=len(naughty.ALL))
    )
    for number, text in enumerate(said):
        shown = ada.told(ask(ada, text, task=f"t{number}"))
        nothing_of_its_own(shown)
        if len(text) < 100 and text.strip():
            # No text makes, takes away or ends an element.
            assert elements(shown.markup) == elements(harmless.markup)


@pytest.mark.slow
@pytest.mark.parametrize("share", range(PARTS))
def test_no_code_point_that_cannot_be_seen_is_raw_anywhere(
    ada: Reader, share: int, draws: Draws
) -> None:
    """Every one of Cf, Cc, Co and Cn is drawn in all three places; of Cs none gets that far.

    Every one that has a meaning (Cf, Cc) is shown in each run. Of the 940,000 others, private or
    not assigned, some are drawn.
    """
    points = [point for point in naughty.unseen_code_points() if not 0xD800 <= ord(point) < 0xE000]
    assert len(points) > 900_000
    points.remove("\n")  # which is seen, as the end of a line
    meant = [point for point in points if unicodedata.category(point) in {"Cf", "Cc"}]
    others = sorted(set(points) - set(meant))
    if not draws.complete:
        others = draws.of("code points").sample(others, 20_000)
    points = [*meant, *others]
    chunks = ["".join(points[at : at + AT_ONCE]) for at in range(0, len(points), AT_ONCE)]
    for at in range(share * FIELDS, len(chunks), PARTS * FIELDS):
        notes = chunks[at : at + FIELDS]
        shown = ada.told(ask(ada, *notes))
        nothing_unseen(shown)
        wanted = {f"{ord(point):04X}" for note in notes for point in note}
        slack = "".join(shown.slack_texts)
        for place in (shown.plain, Html(shown.markup).text, slack, Html(shown.page).text):
            assert wanted <= set(MARK.findall(place)), hex(ord(notes[0][0]))


def test_half_of_a_pair_is_refused_before_anybody_is_asked() -> None:
    for number in range(0xD800, 0xE000):
        with pytest.raises(AdmissionError) as caught:
            canonical.parse_object(b'{"n0":"\\u%04x"}' % number)
        assert caught.value.code == "lone_surrogate"


def test_the_facts_are_the_same_bytes_whatever_the_agent_says(ada: Reader, draws: Draws) -> None:
    seen = set()
    said = draws.of("prose").sample(naughty.ALL, draws.count(sample=40, complete=len(naughty.ALL)))
    for number, prose in enumerate((None, *said)):
        request_id = ask(ada, "20.00", task=f"t{number}", explanation=prose and prose[:1000])
        shown = ada.told(request_id)
        nothing_unseen(shown)
        exactly = shown.page.partition('<section id="exactly"')[2].partition("</section>")[0]
        head = shown.page.partition('<div id="facts"')[2].partition("</div>\n\n")[0]
        assert "20.00" in exactly
        assert "dunning-bot" in head
        slack = "\n".join(shown.slack_texts)
        facts = (exactly, head, slack, shown.plain, shown.markup)
        seen.add(tuple(_timeless(fact, request_id) for fact in facts))
        assert ada.visit.decide(request_id, "deny").json() == {"state": "denied"}
        ada.place.deliver()
    assert len(seen) == 1


def _timeless(text: str, request_id: str) -> str:
    text = text.replace(request_id, "(id)")
    text = re.sub(r'<span class="clock".*?</span>', "(left)", text)
    text = re.sub(r"<!date\^[^>]*>|<time\b.*?</time>", "(then)", text, flags=re.DOTALL)
    text = re.sub(r"\w+day, [^\n<]+ UTC", "(then)", text)
    return re.sub(r'data-[a-z]+="\d+"', "", text)
