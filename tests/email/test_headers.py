"""What a header says is exactly what was meant, to every reader and for every text."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import replace
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from approvals.integrations.email import render
from approvals.integrations.email.headers import exact_policy
from approvals.integrations.email.text import drawn
from tests import naughty
from tests.email.mails import BRIEF, NOW, ORIGIN, message, parsed

if TYPE_CHECKING:
    from tests.draws import Draws


SENDER = render.Sender("assent@company.example", ORIGIN)
WORD = re.compile(r"=\?utf-8\?([bq])\?([!->@-~]*)\?=", re.ASCII)


def by_hand(raw: bytes, name: str = "Subject") -> str:
    """A reader written from RFC 5322 and RFC 2047, not from the library."""
    head = raw.partition(b"\r\n\r\n")[0].decode("ascii")
    values: list[str] = re.findall(rf"(?:^|\r\n){name}: ([^\r]*(?:\r\n [^\r]*)*)", head)
    (value,) = values
    unfolded = value.replace("\r\n", "")
    if "=?" not in unfolded:
        return unfolded
    octets = b""
    for word in unfolded.split(" "):
        found = WORD.fullmatch(word)
        assert found is not None, word
        assert len(word) <= 75
        part = b64decode(found[2], validate=True) if found[1] == "b" else unquoted(found[2])
        part.decode()  # a character is not split between words
        octets += part
    return octets.decode()


def unquoted(text: str) -> bytes:
    return re.sub(
        rb"=([0-9A-F]{2})",
        lambda found: bytes.fromhex(found[1].decode()),
        text.replace("_", " ").encode("ascii"),
    )


def readings(raw: bytes) -> dict[str, str]:
    """The subject to each reader."""
    old = BytesHeaderParser(policy=policy.compat32).parsebytes(raw)["Subject"]
    return {
        "default": parsed(raw)["Subject"],
        "compat32": str(make_header(decode_header(old.replace("\r\n", "")))),
        "by hand": by_hand(raw),
    }


def check(raw: bytes, meant: str) -> None:
    assert readings(raw) == dict.fromkeys(("default", "compat32", "by hand"), meant)
    head = raw.partition(b"\r\n\r\n")[0]
    assert re.fullmatch(rb"(?:[ -~]|\r\n(?=[ -~]))*", head)  # nothing raw, no line that ends itself
    lines = head.split(b"\r\n")
    assert [line for line in lines if not line.strip()] == []
    subject = head[head.index(b"Subject:") :].split(b"\r\n")
    ours = [subject[0], *[line for line in subject[1:] if line.startswith(b"=?", 1)]]
    assert all(len(line) <= 76 for line in ours)


def subject(text: str) -> bytes:
    mail = EmailMessage(policy=exact_policy())
    mail["Subject"] = text
    mail.set_content("x")
    return mail.as_bytes()


ANY = st.text(st.characters(exclude_categories=()), max_size=400)
HOLDABLE = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=400)


@given(title=ANY)
@example(title="=?utf-8?q?evil?=")
@example(title="a =?utf-8?q?b?= =?utf-8?b?Yw==?= d")
@example(title="Überweisung  mit  zwei  Leerzeichen ")
@example(title="a\r\nBcc: eve@example.com")
@example(title="x" * 300)
@example(title="ж" * 300)
@example(title="\U0001f469\u200d\U0001f680" * 60)
@example(title="\ud800")
def test_a_subject_decodes_to_what_was_meant_whatever_the_title(title: str) -> None:
    brief = replace(BRIEF, title=title)
    raw = render.first(brief, message(brief), SENDER, NOW).as_bytes()
    meant = drawn(f"Approval asked: {title} – {BRIEF.fingerprint}", lines=False)  # noqa: RUF001
    check(raw, meant)
    assert not naughty.raw_unseen(meant, allowed="")


@given(text=HOLDABLE)
@example(text=" a ")
@example(text="a" * 67)
@example(text="a" * 68)
@example(text="a b" * 200)
@example(text="=?")
@example(text="?=")
def test_any_text_that_a_header_can_hold_is_read_as_it_was_written(text: str) -> None:
    check(subject(f"x{text}x"), f"x{text}x")
    if text.strip() == text and text:
        check(subject(text), text)


def test_every_character_there_is_decodes_to_what_was_meant(draws: Draws) -> None:
    """The first three planes hold nearly all that is assigned; of the others a part is drawn."""
    every = [chr(code) for code in range(0x110000)]
    starts = range(0, len(every), 2048)
    last = draws.count(sample=96, complete=len(starts))
    rare = draws.of("headers").sample(starts[last:], min(16, len(starts) - last))
    for start in (*starts[:last], *rare):
        meant = drawn("".join(every[start : start + 2048]), lines=False)
        assert readings(subject(meant))["by hand"] == meant
        assert parsed(subject(meant))["Subject"] == meant


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "\0", "\x85", "\u2028", "\x7f", "\ud800", "a\tb"])
def test_what_no_header_can_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"[Hh]eader"):
        subject(text)


@pytest.mark.parametrize("name", ["From", "To", "Message-ID", "List-Id", "X-Assent-Notice"])
@pytest.mark.parametrize("text", ["ü@a.example", "a\r\nb", "a  b", " a", "", "x" * 1000])
def test_other_headers_are_printable_ascii_or_are_not_written(name: str, text: str) -> None:
    mail = EmailMessage(policy=exact_policy())

    def written() -> None:
        mail[name] = text
        mail.as_bytes()

    with pytest.raises(ValueError, match=r"ASCII|too long|[Hh]eader"):
        written()


def test_the_longest_addresses_and_ids_are_written_whole_and_unencoded() -> None:
    domain = ".".join(["d" * 62] * 2 + ["e" * 60, "ex"])
    to, sender = f"{'a' * 64}@{domain}", render.Sender(f"assent@{domain}", f"https://{domain}")
    assert len(to) == 254
    told = message(
        replace(BRIEF, url=f"https://{domain}/r/req_0123456789abcdefghijklmnop"), address=to
    )
    assert told.brief is not None
    raw = render.ended(
        told.brief, told, sender, NOW, first_id=render.message_id(told, sender)
    ).as_bytes()
    mail = parsed(raw)
    assert by_hand(raw, "To") == mail["To"] == to
    assert mail["From"] == sender.address
    assert mail["Message-ID"] == render.message_id(told, sender, render.LAST)
    assert mail["In-Reply-To"] == render.message_id(told, sender)
    assert mail["References"] == (
        f"<{BRIEF.request_id}@{domain}> {render.message_id(told, sender)}"
    )
    assert mail["List-Unsubscribe"].startswith(f"<https://{domain}/me")
    head = raw.partition(b"\r\n\r\n")[0]
    assert head.count(b"=?") == head.count(b"?=") == len(re.findall(rb"=\?utf-8\?", head))
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))


def test_exchange_is_asked_for_no_answer_and_still_reports_what_it_cannot_deliver() -> None:
    mail = parsed(render.first(BRIEF, message(), SENDER, NOW).as_bytes())
    assert mail["Auto-Submitted"] == "auto-generated"
    asked = set(mail["X-Auto-Response-Suppress"].split(", "))
    assert asked == {"DR", "RN", "NRN", "OOF", "AutoReply"}


def test_no_header_is_there_twice() -> None:
    raw = render.first(BRIEF, message(), SENDER, NOW)
    names = [name.lower() for name in raw]
    assert len(names) == len(set(names))
    with pytest.raises(ValueError, match=r"[Aa]t most 1|may be at most"):
        raw["Subject"] = "again"
