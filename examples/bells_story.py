"""The chapters on how people hear of a request, by mail and in Slack, and of what it came to."""

from dataclasses import dataclass
from email.message import EmailMessage

from rich.console import Group
from rich.text import Text

from examples.agent.work import Waits
from examples.bells import Bells
from examples.narrator import StoryBrokeError
from examples.slack_view import abridged, drawn
from examples.story import PRIYA, TOMAS, TRANSFER, Company
from tests.slack.limits import Refused, check_blocks
from tests.slack.records import Message

MAIL, ACCOUNT = "tomas@fernhill.example", "U04FHPRIYA1"
HEADERS = ("From", "To", "Subject", "Message-ID", "In-Reply-To")


@dataclass(frozen=True, slots=True)
class Told:
    """The first mail and the Slack message about one request."""

    request_id: str
    mail: EmailMessage
    slack: Message


def asked(it: Company, parked: Waits) -> Told:
    """Each hears of the request where they like to: by mail, and in Slack."""
    it.tell.chapter("How people hear of it")
    bells = it.stage.bells
    told = Told(
        request_id=parked.request_id,
        mail=bells.mail(MAIL, parked.request_id, answers=None),
        slack=bells.message(ACCOUNT, parked.request_id, buttons=True),
    )
    letter = _text(told.mail)
    it.tell.say(f"{TOMAS} likes mail best. As it arrived at a mail server on this machine:")
    it.tell.panel(f"Mail to {TOMAS}", Group(_headers(told.mail), Text(f"\n{letter}")), style="blue")
    it.tell.expect("the mail links to the request's page", holds=parked.url in letter)
    it.tell.say(
        f"{PRIYA} likes Slack best. Slack itself cannot be reached from a demo: a server on this "
        "machine stands in for it and checks what Slack checks. The real Slack SDK talks to it."
    )
    it.tell.panel(
        f"Slack message to {PRIYA}, drawn from its blocks", drawn(told.slack.blocks), style="blue"
    )
    it.tell.expect(
        "it can be opened and denied in Slack, and not approved: the rule wants a passkey",
        holds=set(told.slack.buttons) == {"assent.open", "assent.deny"},
    )
    short = {"channel": told.slack.channel, "blocks": abridged(told.slack.blocks)}
    it.tell.document("chat.postMessage, abridged", short)
    _expect_within_limits(bells, told.slack)
    it.tell.good("The whole Block Kit JSON is within Slack's limits. Approving takes a passkey.")
    it.tell.expect(
        "the account number stays on the page",
        holds=not any(TRANSFER["iban"] in each for each in (letter, told.slack.shown)),
    )
    it.tell.good("Neither holds the account number: only what the tool's owner marked leaves.")
    return told


def ended(it: Company, told: Told) -> None:
    """The message is changed where it is; the last mail answers the first."""
    bells = it.stage.bells
    now = bells.message(ACCOUNT, told.request_id, buttons=False)
    last = bells.mail(MAIL, told.request_id, answers=str(told.mail["Message-ID"]))
    it.tell.expect("it is the same message, changed in place", holds=now is told.slack)
    _expect_within_limits(bells, now)
    said = [block for block in now.blocks if block["type"] in {"header", "section"}]
    decided = drawn([said[0], said[-1]])
    it.tell.panel(f"The same Slack message to {PRIYA}, abridged", decided, style="blue")
    it.tell.expect(
        "it says who decided",
        holds=all(f"{name} approved" in now.shown for name in ("Lindqvist", "Raman")),
    )
    it.tell.good("Edited in place: the buttons are gone, and it says who decided.")
    first_line = _text(last).partition("\n")[0]
    it.tell.panel(
        f"Last mail to {TOMAS}, abridged",
        Group(_headers(last), Text(f"\n{first_line}")),
        style="blue",
    )
    it.tell.expect(
        "the last mail says what it came to, under the first one's subject",
        holds="Approved by" in first_line and last["Subject"] == f"Re: {told.mail['Subject']}",
    )
    it.tell.good("The last mail is in the first one's thread: In-Reply-To is its Message-ID.")


def _expect_within_limits(bells: Bells, message: Message) -> None:
    try:
        check_blocks(message.blocks)
    except Refused as refused:
        raise StoryBrokeError(f"Slack would refuse this message: {refused}") from refused
    if bells.slack.refused:
        raise StoryBrokeError(f"the server in Slack's place refused: {bells.slack.refused}")


def _headers(mail: EmailMessage) -> Text:
    return Text("\n").join(
        Text.assemble((f"{name}: ", "dim"), str(mail[name])) for name in HEADERS if name in mail
    )


def _text(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    if body is None:
        raise StoryBrokeError("a mail has no text")
    return str(body.get_content()).replace("\r\n", "\n").strip()
