"""Handing one mail to a mail server over SMTP (RFC 5321), and what its answers mean.

What holds:

- With `starttls` or `tls` nothing but the greeting is said before TLS is up and the server's
  certificate and host name are verified; a server that does not offer STARTTLS gets nothing.
- A password is sent over TLS only.
- It ends within `WHOLE_SECONDS`, whatever the server does: each wait is bounded by `STEP_SECONDS`,
  and a server that drips is cut off.
"""

from __future__ import annotations

import base64
import hmac
import smtplib
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal, NoReturn

from approvals.flow.telling.deliver import SEND_SECONDS, GiveUp, TryAgain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from approvals.config import Settings

STEP_SECONDS: Final = 10.0
WHOLE_SECONDS: Final = SEND_SECONDS - 5.0
LONG: Final = 900
"""Seconds until it is tried again where an operator has to change something first."""

_OK, _READY, _GOES_ON = 250, 220, 251
_CHALLENGE: Final = 334
_LOGGED_IN: Final = frozenset({235, 503})
_MOST_CHALLENGES: Final = 5
# Said to any recipient by a server that wants to know first who is speaking: nobody's address.
_WANTS_AUTH: Final = frozenset({503, 530, 534, 535, 538})


class _Speaker(smtplib.SMTP):
    """The library's client, with passwords in UTF-8, which it takes in ASCII only.

    UTF-8 is what RFC 4616 says for PLAIN, and what servers store for LOGIN and CRAM-MD5, whose
    definitions name no encoding.
    """

    def auth(
        self,
        mechanism: str,
        authobject: Callable[..., str | None],
        *,
        initial_response_ok: bool = True,
    ) -> tuple[int, bytes]:
        """Do one exchange (RFC 4954). `authobject` gives text; it goes out as UTF-8 in base64."""
        first = authobject() if initial_response_ok else None
        self._auth_challenge_count = 0 if first is None else 1
        said = mechanism.upper() if first is None else f"{mechanism.upper()} {_base64(first)}"
        code, answer = self.docmd("AUTH", said)
        while code == _CHALLENGE and self._auth_challenge_count < _MOST_CHALLENGES:
            self._auth_challenge_count += 1
            challenge = base64.b64decode(answer)
            code, answer = self.docmd(_base64(authobject(challenge) or ""))
        if code not in _LOGGED_IN:
            raise smtplib.SMTPAuthenticationError(code, answer)
        return code, answer

    def auth_cram_md5(self, challenge: bytes | None = None) -> str | None:  # type: ignore[override]
        """The answer to a challenge, under the password (RFC 2195)."""
        if challenge is None:
            return None
        return f"{self.user} {hmac.digest(self.password.encode(), challenge, 'md5').hex()}"


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Fault(Enum):
    """Whose affair a permanent refusal is: that of the addressee, or of who set this up."""

    ADDRESSEE = "addressee"
    SETUP = "setup"


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server and how to speak to it. `tls` decides whose certificates are believed."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"]
    login: tuple[str, str] | None = field(repr=False)
    hello: str
    tls: ssl.SSLContext

    @classmethod
    def of(cls, settings: Settings, host: str, tls: ssl.SSLContext) -> Server:
        """The server that is set."""
        login = None
        if settings.smtp_username is not None and settings.smtp_password is not None:
            login = (settings.smtp_username, settings.smtp_password.get_secret_value())
        return cls(
            host=host,
            port=settings.smtp_port,
            security=settings.smtp_security,
            login=login,
            hello=settings.mail_from.rpartition("@")[2],
            tls=tls,
        )


def hand_over(server: Server, *, sender: str, to: str, mail: bytes) -> None:
    """Give the mail to the server, which took it when this returns.

    Raises:
        TryAgain: not now.
        GiveUp: never to this address.
    """
    with _connected(server) as smtp:
        _must(smtp.mail(sender), _OK, code="smtp_sender", fault=Fault.SETUP)
        code, text = smtp.rcpt(to)
        if code != _GOES_ON:
            _must((code, text), _OK, code="smtp_recipient", fault=Fault.ADDRESSEE)
        try:
            _must(smtp.data(mail), _OK, code="smtp_refused", fault=Fault.ADDRESSEE)
        except smtplib.SMTPDataError as error:
            _refused(error.smtp_code, "smtp_refused", Fault.ADDRESSEE)
        with suppress(OSError, smtplib.SMTPException):
            smtp.putcmd("quit")  # the mail is taken: a failure now would only send it again


@contextmanager
def _connected(server: Server) -> Iterator[smtplib.SMTP]:
    """A server that said hello, over TLS unless it is on this machine; every failure explained."""
    smtp = _Speaker(local_hostname=server.hello, timeout=STEP_SECONDS)
    cutoff = _Cutoff(smtp)
    try:
        cutoff.start()
        smtp.sock = socket.create_connection((server.host, server.port), STEP_SECONDS)
        if cutoff.over:  # it fired while there was no connection yet to cut
            raise TryAgain("smtp_slow")
        _greet(smtp, server)
        yield smtp
    except (smtplib.SMTPException, OSError) as error:
        raise _explained(error, late=cutoff.over) from None
    finally:
        cutoff.cancel()
        smtp.close()


def _greet(smtp: smtplib.SMTP, server: Server) -> None:
    if server.security == "tls":
        _wrap(smtp, server)
    _must(smtp.getreply(), _READY, code="smtp_greeting", fault=Fault.SETUP)
    smtp.ehlo_or_helo_if_needed()
    if server.security == "starttls":
        _start_tls(smtp, server)
    if server.login is not None:
        if server.security == "none":
            raise TryAgain("smtp_tls", after=LONG)  # a password is not said in the clear
        _login(smtp, *server.login)


def _login(smtp: smtplib.SMTP, name: str, password: str) -> None:
    try:
        smtp.login(name, password)
    except smtplib.SMTPServerDisconnected:
        raise
    except (smtplib.SMTPException, ValueError):  # ValueError: a challenge that is no base64
        raise TryAgain("smtp_auth", after=LONG) from None


def _start_tls(smtp: smtplib.SMTP, server: Server) -> None:
    if not smtp.has_extn("starttls"):
        # Whoever sits in between can take the offer away: then nothing is sent.
        raise TryAgain("smtp_tls", after=LONG)
    _must(smtp.docmd("STARTTLS"), _READY, code="smtp_tls", fault=Fault.SETUP)
    _wrap(smtp, server)
    # RFC 3207, 4.2: what was heard before TLS is forgotten, also what is still in the buffer, for
    # somebody in between could have put it there.
    smtp.file = None
    smtp.helo_resp = smtp.ehlo_resp = None
    smtp.esmtp_features = {}
    smtp.does_esmtp = False
    smtp.ehlo_or_helo_if_needed()


def _wrap(smtp: smtplib.SMTP, server: Server) -> None:
    if smtp.sock is None:
        raise smtplib.SMTPServerDisconnected
    smtp.sock = server.tls.wrap_socket(smtp.sock, server_hostname=server.host)


def _must(answer: tuple[int, bytes], wanted: int, *, code: str, fault: Fault) -> None:
    if answer[0] != wanted:
        _refused(answer[0], code, fault)


def _refused(status: int, code: str, fault: Fault) -> NoReturn:
    """What a status other than the wanted one means (RFC 5321, 4.2.1)."""
    if not 500 <= status < 600:  # noqa: PLR2004 - 5yz, "permanent negative completion"
        raise TryAgain(code)  # 4yz, as greylisting answers; and whatever makes no sense
    if fault is Fault.SETUP or status in _WANTS_AUTH:
        raise TryAgain(code, after=LONG)
    raise GiveUp(code)


def _explained(error: smtplib.SMTPException | OSError, *, late: bool) -> TryAgain:
    if late:
        return TryAgain("smtp_slow")
    match error:
        case ssl.SSLCertVerificationError():
            return TryAgain("smtp_certificate", after=LONG)
        case ssl.SSLError():
            return TryAgain("smtp_tls")
        case smtplib.SMTPResponseException():
            return TryAgain("smtp_nonsense")
        case _:
            return TryAgain("smtp_away")


class _Cutoff:
    """Ends a conversation that takes too long, whatever it waits for."""

    def __init__(self, smtp: smtplib.SMTP) -> None:
        self._smtp = smtp
        self._timer = threading.Timer(WHOLE_SECONDS, self._cut)
        self._timer.daemon = True
        self.over = False

    def start(self) -> None:
        self._timer.start()

    def cancel(self) -> None:
        self._timer.cancel()

    def _cut(self) -> None:
        self.over = True
        connected = self._smtp.sock
        if connected is not None:
            # Not the SSL socket's own, which would turn it back into one without TLS. An error
            # is that it has ended by itself.
            with suppress(OSError):
                socket.socket.shutdown(connected, socket.SHUT_RDWR)
