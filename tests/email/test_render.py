"""Mails as mail programs read them: readable, one link, nothing of the payload where it works."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from linkify_it import LinkifyIt  # type: ignore[import-untyped]

from approvals.core.decision.ceremony import Decision
from approvals.core.display import visible
from approvals.core.requests import State
from approvals.flow.telling.outbox import NoticeKind
from approvals.integrations.email import render
from approvals.integrations.email.render import Sender
from approvals.integrations.email.text import columns
from tests import naughty
from tests.email.mails import BRIEF, ENDED, NOW, ORIGIN, Html, message, parsed, part

if TYPE_CHECKING:
    from email.message import EmailMessage

    from approvals.flow.telling.brief import Brief

SENDER = Sender("assent@company.example", ORIGIN)
FIRST_ID = "<ntc_0123456789abcdefghijklmnop.1@company.example>"
ROOT_ID = "<req_0123456789abcdefghijklmnop@company.example>"
ELEMENTS = {
    *("html", "head", "meta", "title", "body", "div", "h1", "h2", "p", "dl", "dt", "dd"),
    *("ul", "li", "a", "bdi"),
}


def first(brief: Brief = BRIEF) -> EmailMessage:
    """The mail that asks, as it arrives."""
    return parsed(render.first(brief, message(brief), SENDER, NOW).as_bytes())


def every() -> dict[str, EmailMessage]:
    """One mail of each kind, as it arrives."""
    none = message(None, NoticeKind.DIGEST, lines=("3 waiting for an answer", "5 asked"))
    made = {
        "first": render.first(BRIEF, message(), SENDER, NOW),
        "reminder": render.reminder(BRIEF, message(kind=NoticeKind.REMINDER), SENDER, NOW),
        "ended": render.ended(ENDED, message(ENDED), SENDER, NOW, first_id=FIRST_ID),
        "digest": render.digest(none, SENDER, NOW),
        "passkey": render.passkey_enrolled(none, SENDER, NOW),
        "ended passkey": render.passkey_revoked(none, SENDER, NOW),
        "account": render.account_linked(none, SENDER, NOW),
        "ended account": render.account_unlinked(none, SENDER, NOW),
    }
    return {name: parsed(mail.as_bytes()) for name, mail in made.items()}


KINDS = (
    "first",
    "reminder",
    "ended",
    "digest",
    "passkey",
    "ended passkey",
    "account",
    "ended account",
)


def url_of(mail: EmailMessage) -> str:
    (link,) = [attrs["href"] for tag, attrs in Html(part(mail, "html")).elements if tag == "a"]
    assert link is not None
    return link


# What every mail is


@pytest.mark.parametrize("kind", KINDS)
def test_every_mail_has_two_forms_and_one_link(kind: str) -> None:
    mail = every()[kind]
    assert mail.get_content_type() == "multipart/alternative"
    assert [each.get_content_type() for each in mail.iter_parts()] == ["text/plain", "text/html"]
    assert mail.defects == []
    url = url_of(mail)
    assert url.startswith(f"{ORIGIN}/")
    found = LinkifyIt().match(part(mail, "plain"))
    assert found is not None
    assert [each.url for each in found] == [url]
    assert "?" not in url, "a locator and no more"


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_is_readable_in_a_terminal(kind: str) -> None:
    text = part(every()[kind], "plain")
    assert max(map(columns, text.splitlines())) <= 76
    assert "<" not in text
    assert "\n\n\n" not in text
    assert text.splitlines()[1] == "=" * len(text.splitlines()[0])


@pytest.mark.parametrize("kind", KINDS)
def test_the_html_is_plain_and_fetches_nothing(kind: str) -> None:
    html = Html(part(every()[kind], "html"))
    assert {tag for tag, _ in html.elements} <= ELEMENTS
    for tag, attributes in html.elements:
        assert not {"src", "srcset", "background", "action"} & attributes.keys(), tag
        assert "href" not in attributes or tag == "a"
        assert "url(" not in (attributes.get("style") or "")
    assert ("meta", {"name": "color-scheme", "content": "light dark"}) in html.elements


def test_only_the_button_has_colours_and_they_are_readable_on_each_other() -> None:
    """Everything else takes the reader's own colours, so that dark stays dark."""
    for tag, attributes in Html(part(first(), "html")).elements:
        style = attributes.get("style") or ""
        colours = re.findall(r"(?:^|;)(color|background(?:-color)?):(#\w+)", style)
        assert bool(colours) is (tag == "a"), style
        if colours:
            levels = sorted((luminance(colour) + 0.05 for _, colour in colours), reverse=True)
            assert levels[0] / levels[1] >= 4.5


def luminance(colour: str) -> float:
    """WCAG 2.2's relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("kind", KINDS)
def test_no_machine_answers_and_lists_are_told_where_preferences_are(kind: str) -> None:
    mail = every()[kind]
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["List-Id"] == "Approvals <approvals.company.example>"
    assert mail["List-Unsubscribe"] == f"<{ORIGIN}/me#told>"
    assert mail["List-Unsubscribe-Post"] is None, "one click would silence somebody on duty"
    assert mail["X-Assent-Notice"] == "ntc_0123456789abcdefghijklmnop"
    assert mail["From"] == "assent@company.example"
    assert mail["To"] == "ada@example.com"
    assert mail["Date"] == "Fri, 15 Jan 2027 08:00:00 +0000"


# What they say


def test_the_first_mail_says_who_asks_for_what_until_when() -> None:
    mail = first()
    assert mail["Subject"] == "Approval asked: Transfer money – 7K3M-9QWX-0ABC-DEFG"  # noqa: RUF001
    for form in (part(mail, "plain"), Html(part(mail, "html")).text):
        for said in (
            "Your approval is asked for",
            "billing-agent, owned by Cleo Marsh",
            "Uma Reyes",
            "https:⟦/⟧/payments⟦.⟧example (transfer)",
            "money-movement",
            "Friday, 15 January 2027, 08:15 UTC",
            "7K3M-9QWX-0ABC-DEFG",
            "750.00 EUR",
            "vendor@example⟦.⟧com",
            "Transfers of 500 and more need two people from finance (0 of 2",
        ):
            assert said in form
        assert re.search(r"2 more arguments\s+are on the page only", form)
        assert re.search(r"Answering\s+this mail\s+decides\s+nothing", form)
    assert url_of(mail) == BRIEF.url


def test_what_became_of_it_is_said_under_the_first_mail() -> None:
    mail = every()["ended"]
    assert mail["Subject"] == f"Re: {every()['first']['Subject']}"
    assert part(mail, "plain").startswith("Approved by Ada Okafor, Ben Silva\n")
    assert "There is nothing left for you to do." in part(mail, "plain")


def test_who_decided_and_how_often_it_was_asked_are_facts() -> None:
    decided = (("Ada Okafor", Decision.APPROVE), ("Ben Silva", Decision.DENY))
    text = part(first(replace(BRIEF, decided=decided, repeats=4, risk=(), hidden=1)), "plain")
    assert "Ada Okafor approved, Ben Silva denied" in text
    assert "asked 5 times" in text
    assert "none registered" in text
    assert "1 more argument is on the page only" in text
    assert "more argument" not in part(first(replace(BRIEF, hidden=0)), "plain")


def test_a_value_is_in_a_mail_whole_or_not_at_all() -> None:
    text = part(first(replace(BRIEF, fields=(("Memo", "word " * 400),))), "plain")
    assert text.count("word") == 400
    text = part(first(replace(BRIEF, fields=(("Memo", "word " * 401),))), "plain")
    assert "word" not in text
    assert "(2005 characters: too long for a mail, see the page)" in text


# Threads


def test_ids_are_the_same_at_every_attempt_and_updates_fall_under_the_first() -> None:
    mails = every()
    assert mails["first"]["Message-ID"] == FIRST_ID == every()["first"]["Message-ID"]
    assert mails["first"]["References"] == ROOT_ID
    assert mails["first"]["In-Reply-To"] is None
    assert mails["ended"]["Message-ID"] == FIRST_ID.replace(".1@", ".2@")
    assert mails["ended"]["In-Reply-To"] == FIRST_ID
    assert mails["ended"]["References"] == f"{ROOT_ID} {FIRST_ID}"
    assert mails["reminder"]["References"] == mails["reminder"]["In-Reply-To"] == ROOT_ID


def test_an_attempt_after_a_change_has_the_same_id() -> None:
    """The server may have taken the first and not said so; then somebody votes."""
    again = render.first(BRIEF, message(revision=7), SENDER, NOW + 60)
    assert again["Message-ID"] == FIRST_ID


@pytest.mark.parametrize("labels", [1, 3, 4])
def test_ids_are_ids_also_where_names_are_long(labels: int) -> None:
    """What cannot be folded into 78 columns would be encoded, and no reader would know it again."""
    domain = ".".join(["d" * 60] * labels)
    sender = Sender(f"a@{domain}", f"https://{domain}")
    brief = replace(ENDED, url=f"https://{domain}/r/req_0")
    first_id = render.message_id(message(brief), sender)
    sent = render.ended(brief, message(brief), sender, NOW, first_id=first_id).as_bytes()
    assert b"=?utf-8?q?=3C" not in sent
    assert first_id.encode() in sent
    assert f"<https://{domain}/me#told>".encode() in sent
    assert all(len(line) <= 998 for line in sent.split(b"\r\n"))
    assert parsed(sent)["In-Reply-To"].split() == [first_id]


# Addresses


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "ada@example.com, eve@evil.com",
        "ada@example.com\r\nBcc: eve@evil.com",
        "ada@example.com\n",
        "Ada <ada@example.com>",
        "<ada@example.com>",
        '"ada"@example.com',
        "ada@example.com>",
        "ada eve@example.com",
        "ada@exa mple.com",
        "ada@[127.0.0.1]",
        "ada@-example.com",
        "ada@example..com",
        "ada@example.com.",
        ".ada@example.com",
        "a..da@example.com",
        "ada@eve@example.com",
        "аda@example.com",  # noqa: RUF001 - Cyrillic
        "ada@exämple.com",
        "ada\x00@example.com",
        "ada\u202e@example.com",
        "ada@example.com\u2028",
        f"{'a' * 65}@example.com",
        f"ada@{'.'.join(['e' * 60] * 5)}",
        "=?utf-8?q?ada?=@example.com ",
    ],
    ids=lambda text: f"{len(text)}-{sum(text.encode())}",
)
def test_what_is_not_one_plain_address_gets_no_mail(address: str) -> None:
    with pytest.raises(render.AddressRefused) as caught:
        render.first(BRIEF, message(address=address), SENDER, NOW)
    assert caught.value.code == "address"


@pytest.mark.parametrize(
    "address", ["ada@example.com", "a.d+a_1@sub.example.co.uk", "o'hara@xn--exmple-cua.com", "a@b"]
)
def test_plain_addresses_are_written_as_they_are(address: str) -> None:
    mail = parsed(render.first(BRIEF, message(address=address), SENDER, NOW).as_bytes())
    assert [each.addr_spec for each in mail["To"].addresses] == [address]


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/r/1", f"{ORIGIN}.evil.example/r", f"{ORIGIN}/r/1?a=b", f"{ORIGIN}/r\n"],
)
def test_a_mail_leads_to_the_service_and_nowhere_else(url: str) -> None:
    with pytest.raises(ValueError, match=r"a mail leads|no place"):
        render.first(replace(BRIEF, url=url), message(), SENDER, NOW)


@pytest.mark.parametrize("notice", ["ntc_1>\r\nX: y", "ntc 1", "", "ntc<1"])
def test_an_id_that_is_none_is_in_no_header(notice: str) -> None:
    with pytest.raises(ValueError, match="no place"):
        render.first(BRIEF, message(id=notice), SENDER, NOW)


# Hostile text


def filled(text: str) -> Brief:
    """A brief whose every text is the same, drawn as the service draws it."""
    shown = visible(text, lines=True)
    one = visible(text)
    return replace(
        BRIEF,
        title=one,
        agent=one,
        agent_owner=one,
        user=one,
        target=one,
        tool=one,
        risk=(one,),
        fields=((one, shown), ("To", one)),
        progress=((text, 0, 1),),  # as the bundle has it: not drawn before
        decided=((one, Decision.APPROVE),),
    )


def check(mail: EmailMessage, url: str) -> None:
    """Nothing of the payload works, wherever it stands."""
    names = {name.lower() for name in mail.keys()}  # noqa: SIM118 - a mail is no mapping
    assert names == {
        *("from", "to", "subject", "date", "message-id", "auto-submitted", "list-id"),
        *(
            "list-unsubscribe",
            "x-assent-notice",
            "x-auto-response-suppress",
            "mime-version",
            "content-type",
            "references",
        ),
    }
    assert mail.defects == []
    assert mail["To"] == "ada@example.com"
    for value in mail.values():
        assert not naughty.raw_unseen(str(value), allowed="")
    plain, html = part(mail, "plain"), part(mail, "html")
    assert not naughty.raw_unseen(plain, allowed="\n")
    assert not naughty.raw_unseen(html, allowed="\n")
    page = Html(html)
    assert page.odd == []
    assert not naughty.raw_unseen(page.text, allowed="\n")
    assert {tag for tag, _ in page.elements} <= ELEMENTS
    assert [a["href"] for t, a in page.elements if t == "a"] == [url]
    attributes = {name for _, given in page.elements for name in given}
    assert attributes == {"href", "style", "lang", "charset", "name", "content"}
    found = LinkifyIt().match(plain)
    assert found is not None
    assert {each.url for each in found} == {url}
    assert sum(line == url for line in plain.splitlines()) == 1


@pytest.mark.parametrize("number", range(len(naughty.ALL)))
def test_nothing_naughty_works_in_a_mail(number: int) -> None:
    text = naughty.ALL[number]
    brief = filled(text)
    check(parsed(render.first(brief, message(brief), SENDER, NOW).as_bytes()), BRIEF.url)


def test_code_points_that_cannot_be_seen_are_drawn_in_every_part() -> None:
    unseen = naughty.unseen_code_points()
    some = [each for each in unseen if unicodedata.category(each) not in {"Co", "Cn"}]
    some += unseen[:: len(unseen) // 5000]  # the private and the unassigned are too many for mails
    step = 180  # what is drawn longer is not in a mail at all
    texts = ["".join(some[at : at + step]) for at in range(0, len(some), step)]
    fields = tuple(("Memo", visible(text)) for text in texts)
    mail = first(replace(BRIEF, fields=fields, title="".join(some[:200]), user=texts[-1]))
    for form in (part(mail, "plain"), Html(part(mail, "html")).text):
        assert not naughty.raw_unseen(form, allowed="\n")
        drawn = set(re.findall(r"U\+([0-9A-F]+)", form))
        assert {f"{ord(each):04X}" for each in some} <= drawn
    assert not naughty.raw_unseen(mail["Subject"], allowed="")


def test_a_value_cannot_pass_for_what_the_service_says() -> None:
    forged = "Re\n\nYour approval is asked for\n\nOpen the request:\nhttp://localhost:8420/r/other"
    text = part(first(replace(BRIEF, fields=(("Memo", visible(forged, lines=True)),))), "plain")
    assert text.count("\nOpen the request:\n") == 1
    assert "\n      Open the request:\n      http:⟦/⟧/localhost:8420/r/other\n" in text


def test_no_value_is_in_a_subject() -> None:
    for brief in (BRIEF, ENDED, replace(BRIEF, state=State.DENIED, ended="Denied by Ada")):
        for each in (first(brief), every()["reminder"], every()["ended"]):
            for value in ("750", "EUR", "vendor", "billing", "Uma", "payments"):
                assert value not in each["Subject"]
