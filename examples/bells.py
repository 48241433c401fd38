"""What rings at people: a mail server and a Slack, on this machine, beside the service.

The mail server is a real one (aiosmtpd). Slack itself cannot be reached from a demo; the server
that stands in for it is the one that the tests use: the real SDK talks to it over HTTP, and it
refuses what Slack's documented limits and rules refuse.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from email.message import EmailMessage
from typing import TypeVar

from examples.narrator import StoryBrokeError
from tests.email.mails import Post, mail_server
from tests.slack.counterpart import Counterpart
from tests.slack.records import Message

LOOK_EVERY = 0.05
ARRIVE_SECONDS = 300.0
SENDER = "assent@fernhill.example"

T = TypeVar("T")


class Bells:
    """The two servers, and what arrived at them."""

    slack: Counterpart

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self._post = Post()
        self._running = ExitStack()

    def start(self, accounts: Iterable[str]) -> None:
        """Start both, with these accounts in Slack; `settings` are then the service's."""
        port = self._running.enter_context(mail_server(self._post))
        self.slack = self._running.enter_context(Counterpart())
        for account in accounts:
            self.slack.add_user(account)
        self.settings = {
            "ASSENT_SMTP_HOST": "127.0.0.1",
            "ASSENT_SMTP_PORT": str(port),
            "ASSENT_SMTP_SECURITY": "none",  # taken by the service on this machine only
            "ASSENT_MAIL_FROM": SENDER,
            **{f"ASSENT_{name.upper()}": value for name, value in self.slack.settings.items()},
        }

    def stop(self) -> None:
        """Stop both."""
        self._running.close()

    def mail(self, address: str, about: str, *, answers: str | None) -> EmailMessage:
        """The mail that an address got about something, as an answer to no mail or to that one."""

        def arrived() -> EmailMessage | None:
            for mail in self._post.mails:
                fits = mail["To"] == address and about in str(mail["References"])
                if fits and mail["In-Reply-To"] == answers:
                    return mail
            return None

        return _soon(arrived, f"a mail to {address}")

    def message(self, account: str, about: str, *, buttons: bool) -> Message:
        """The Slack message that an account got about something, once it has (no) buttons."""

        def arrived() -> Message | None:
            with self.slack.lock:
                for message in self.slack.posted(account):
                    if about in message.shown and bool(message.buttons) is buttons:
                        return message
            return None

        return _soon(arrived, f"a Slack message to {account}")


def _soon(look: Callable[[], T | None], what: str) -> T:
    end = time.monotonic() + ARRIVE_SECONDS
    while (found := look()) is None:
        if time.monotonic() > end:
            raise StoryBrokeError(f"{what} did not arrive")
        time.sleep(LOOK_EVERY)
    return found
