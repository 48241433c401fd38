"""A mail as bytes on the wire: a letter, its headers, its two forms (RFC 5322, 2046, 3834, 2369).

What holds:

- Pure: who sends, from which service and when are arguments.
- No header holds a character that the letter's drawing or a strict pattern did not let through; an
  address is one mailbox of plain ASCII, without a display name that would have to be quoted.
- A header decodes to exactly the text that was meant (`headers`).
- `Message-ID` is made of the notice's id and which of its letters this is: a second attempt has the
  same one, so that who receives two copies can drop one.
- All mails about one request refer to one root, so that updates fall under the first.

`List-Unsubscribe` (RFC 2369) leads to the page where a person sees how they are told. There is no
one-click unsubscribing (RFC 8058): these mails are a duty. A scanner that follows links, or whoever
gets at one forwarded mail, would silence somebody who must decide, and a quorum would never fill.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from approvals.core.addresses import urls
from approvals.core.addresses.mail import is_mailbox
from approvals.core.errors import AssentError
from approvals.integrations.email import letter as letters
from approvals.integrations.email.headers import exact_policy
from approvals.integrations.email.text import columns, wrapped

if TYPE_CHECKING:
    from approvals.flow.telling.brief import Brief
    from approvals.flow.telling.deliver import Message
    from approvals.integrations.email.letter import Letter

WIDTH: Final = 76
_LABELS: Final = 14

_ID: Final = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)

SUPPRESSED: Final = "DR, RN, NRN, OOF, AutoReply"
"""What Exchange and Outlook are asked not to send back (MS-OXCMAIL 2.2.3.2.14): receipts of
delivery and of reading, absences, automatic answers. Not `All`: that would also keep back the
report that a mail could not be delivered, which an operator needs."""

PREFERENCES: Final = "/me#told"
"""The part of a person's own page that says how they are told."""

FIRST, LAST = 1, 2
"""Which letter of a notice it is. Not its revision, which may move on between two attempts."""


class AddressRefused(AssentError):  # noqa: N818 - an outcome of rendering
    """This is not one plain mail address: no mail is made for it."""

    default_code = "address"


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: the address mail is from, and the origin of the service's pages."""

    address: str
    origin: str

    @property
    def domain(self) -> str:
        """The domain that makes ids unique: that of the address."""
        return self.address.rpartition("@")[2]


def first(brief: Brief, message: Message, sender: Sender, now: int) -> EmailMessage:
    """The mail that asks."""
    made = _mail(letters.first(brief), message, sender, now)
    _thread(made, _root(brief, sender))
    return made


def reminder(brief: Brief, message: Message, sender: Sender, now: int) -> EmailMessage:
    """The mail that asks again."""
    made = _mail(letters.reminder(brief), message, sender, now)
    root = _root(brief, sender)
    _thread(made, root, answers=root)
    return made


def ended(
    brief: Brief, message: Message, sender: Sender, now: int, *, first_id: str
) -> EmailMessage:
    """The last mail about a request; `first_id` is the Message-ID of the first."""
    made = _mail(letters.ended(brief), message, sender, now, which=LAST)
    _thread(made, _root(brief, sender), first_id, answers=first_id)
    return made


def digest(message: Message, sender: Sender, now: int) -> EmailMessage:
    """The summary."""
    return _mail(letters.digest(message), message, sender, now)


def passkey_enrolled(message: Message, sender: Sender, now: int) -> EmailMessage:
    """A further passkey can decide in this person's name."""
    return _mail(letters.passkey_enrolled(message), message, sender, now)


def passkey_revoked(message: Message, sender: Sender, now: int) -> EmailMessage:
    """A passkey of this person ended."""
    return _mail(letters.passkey_revoked(message), message, sender, now)


def account_unlinked(message: Message, sender: Sender, now: int) -> EmailMessage:
    """A chat account no longer counts as this person's."""
    return _mail(letters.account_unlinked(message), message, sender, now)


def account_linked(message: Message, sender: Sender, now: int) -> EmailMessage:
    """A chat account now counts as this person's."""
    return _mail(letters.account_linked(message), message, sender, now)


def message_id(message: Message, sender: Sender, which: int = FIRST) -> str:
    """The Message-ID of one of a notice's letters, the same at every attempt."""
    return f"<{_exact(_ID, message.id)}.{which}@{sender.domain}>"


def address(text: str) -> str:
    """The text, which is one plain mail address.

    Raises:
        AddressRefused: it is more, less or something else.
    """
    if not is_mailbox(text):
        raise AddressRefused("not one plain mail address")
    return text


def _mail(
    letter: Letter, message: Message, sender: Sender, now: int, *, which: int = FIRST
) -> EmailMessage:
    safe = letter.safe()
    if not _is_page(safe.url, sender.origin):
        raise ValueError("a mail leads to a page of the service and nowhere else")
    preferences = f"<{sender.origin}{PREFERENCES}>"
    made = EmailMessage(policy=exact_policy())
    made["From"] = address(sender.address)
    made["To"] = address(message.recipient.address or "")
    made["Subject"] = safe.subject
    made["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    made["Message-ID"] = message_id(message, sender, which)
    made["Auto-Submitted"] = "auto-generated"
    made["X-Auto-Response-Suppress"] = SUPPRESSED
    made["List-Id"] = f"Approvals <approvals.{sender.domain}>"
    made["List-Unsubscribe"] = preferences
    made["X-Assent-Notice"] = _exact(_ID, message.id)
    made.set_content(rendered("letter.txt", safe), cte="quoted-printable")
    made.add_alternative(rendered("letter.html", safe), subtype="html", cte="quoted-printable")
    return made


def _is_page(text: str, origin: str) -> bool:
    """Whether this is the plain address of a page of the service, without a query."""
    try:
        url = urls.read(text)
    except urls.UrlError:
        return False
    return url.origin == origin and url.path.startswith("/") and "?" not in url.path


def rendered(template: str, letter: Letter) -> str:
    """One form of a letter that was made safe."""
    return _TEMPLATES.get_template(template).render(letter=letter)


def _thread(mail: EmailMessage, *references: str, answers: str | None = None) -> None:
    if answers is not None:
        mail["In-Reply-To"] = answers
    mail["References"] = " ".join(references)


def _root(brief: Brief, sender: Sender) -> str:
    """An id that no mail has and every mail about the request refers to."""
    return f"<{_exact(_ID, brief.request_id)}@{sender.domain}>"


def _exact(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"{text!r} has no place in a header")
    return text


def _beside(label: str, value: str) -> str:
    """A label and its value in two columns; a long label has a line of its own."""
    indent = " " * _LABELS
    lines = wrapped(value, indent, WIDTH)
    space = _LABELS - columns(label)
    if space < 1:
        return f"{wrapped(label, '', WIDTH)}\n{lines}"
    return f"{label}{' ' * space}{lines[_LABELS:]}"


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(("html",), disabled_extensions=("txt",), default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    made.filters.update(
        wrapped=lambda text, indent: wrapped(text, indent, WIDTH), beside=_beside, columns=columns
    )
    return made


_TEMPLATES: Final = _environment()
