"""The mail channel: which mail a notice is, if any, and that it went out.

A request is two mails: one that asks, and one that says what became of it, to those who got the
first. What happens in between is on the page. The reference that is kept with the notice is JSON:
the Message-ID of the first mail, and whether the last has gone.
"""

from __future__ import annotations

import json
import ssl
import time
from typing import TYPE_CHECKING, Final, assert_never

from approvals.core.errors import AssentError
from approvals.flow.telling.deliver import GiveUp
from approvals.flow.telling.outbox import NoticeKind
from approvals.integrations.email import render, smtp

if TYPE_CHECKING:
    from email.message import EmailMessage

    from approvals.config import Settings
    from approvals.flow.telling.brief import Brief
    from approvals.flow.telling.deliver import Message

NAME: Final = "email"


class EmailChannel:
    """Mail through the server that is set. Safe to share between threads.

    `tls` is for a mail server whose certificate a private authority signed; without it the
    machine's own trust decides.
    """

    def __init__(self, settings: Settings, *, tls: ssl.SSLContext | None = None) -> None:
        if settings.smtp_host is None:
            raise AssentError("no mail server is set", code="config", place="ASSENT_SMTP_HOST")
        self._server = smtp.Server.of(
            settings, settings.smtp_host, ssl.create_default_context() if tls is None else tls
        )
        self._sender = render.Sender(settings.mail_from, settings.url)

    @property
    def name(self) -> str:
        """As in people.yaml."""
        return NAME

    def send(self, message: Message, reference: str | None) -> str | None:
        """Send the mail that is due, if one is; gives the new reference.

        Raises:
            TryAgain: the server is away, slow, or does not take it now.
            GiveUp: this person cannot be told by mail: `no_address`, `address`, or what the server
                said of them for good.
        """
        if message.recipient.address is None:
            raise GiveUp("no_address")
        try:
            render.address(message.recipient.address)
        except render.AddressRefused as error:
            raise GiveUp(error.code) from None
        now = int(time.time())
        match message.kind:
            case NoticeKind.REQUEST:
                return self._request(_brief(message), message, reference, now)
            case NoticeKind.REMINDER:
                mail = render.reminder(_brief(message), message, self._sender, now)
            case NoticeKind.DIGEST:
                mail = render.digest(message, self._sender, now)
            case NoticeKind.PASSKEY_ENROLLED:
                mail = render.passkey_enrolled(message, self._sender, now)
            case NoticeKind.PASSKEY_REVOKED:
                mail = render.passkey_revoked(message, self._sender, now)
            case NoticeKind.ACCOUNT_UNLINKED:
                mail = render.account_unlinked(message, self._sender, now)
            case NoticeKind.ACCOUNT_LINKED:
                mail = render.account_linked(message, self._sender, now)
            case _:
                assert_never(message.kind)
        self._hand_over(mail)
        return None

    def _request(
        self, brief: Brief, message: Message, reference: str | None, now: int
    ) -> str | None:
        known = None if reference is None else json.loads(reference)
        if known is None:
            if brief.ended is not None:
                return None  # it was over before they heard of it: nothing to take back
            self._hand_over(render.first(brief, message, self._sender, now))
            return json.dumps({"first": render.message_id(message, self._sender), "last": False})
        if brief.ended is None or known["last"]:
            return None
        mail = render.ended(brief, message, self._sender, now, first_id=known["first"])
        self._hand_over(mail)
        return json.dumps({**known, "last": True})

    def _hand_over(self, mail: EmailMessage) -> None:
        smtp.hand_over(
            self._server, sender=self._sender.address, to=str(mail["To"]), mail=mail.as_bytes()
        )


def _brief(message: Message) -> Brief:
    if message.brief is None:
        raise GiveUp("request_gone")
    return message.brief
