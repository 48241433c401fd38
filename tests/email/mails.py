"""Briefs and messages to render, and a real mail server to send them to."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import email
import email.policy
import ssl
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from approvals.core.requests import State
from approvals.flow.telling.brief import Brief
from approvals.flow.telling.deliver import Message, Recipient
from approvals.flow.telling.outbox import NoticeKind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage
    from pathlib import Path

ORIGIN = "http://localhost:8420"
NOW = 1_800_000_000
USER, PASSWORD = "assent", "correct horse"

BRIEF = Brief(
    request_id="req_0123456789abcdefghijklmnop",
    state=State.PENDING,
    title="Transfer money",
    agent="billing-agent",
    agent_owner="Cleo Marsh",
    user="Uma Reyes",
    target="https://payments.example",
    tool="transfer",
    risk=("money-movement",),
    reasons=("Transfers of 500 and more need two people from finance",),
    fields=(("Amount", "750.00 EUR"), ("To", "vendor@example.com")),
    hidden=2,
    fingerprint="7K3M-9QWX-0ABC-DEFG",
    created=NOW,
    expires=NOW + 900,
    progress=(("Transfers of 500 and more need two people from finance", 0, 2),),
    decided=(),
    ended=None,
    repeats=0,
    url=f"{ORIGIN}/r/req_0123456789abcdefghijklmnop",
    may_click=False,
)
ENDED = replace(BRIEF, state=State.APPROVED, ended="Approved by Ada Okafor, Ben Silva")


def message(
    brief: Brief | None = BRIEF,
    kind: NoticeKind = NoticeKind.REQUEST,
    *,
    address: str | None = "ada@example.com",
    **changed: Any,
) -> Message:
    """A notice for ada."""
    return Message(
        **{
            "id": "ntc_0123456789abcdefghijklmnop",
            "kind": kind,
            "tenant": "default",
            "channel": "email",
            "recipient": Recipient("ada", "Ada Okafor", address, None, None),
            "revision": 1,
            "url": f"{ORIGIN}/me" if brief is None else brief.url,
            "brief": brief,
            "lines": (),
            **changed,
        }
    )


def parsed(content: bytes) -> EmailMessage:
    """A mail as a mail program reads it."""
    read: EmailMessage = email.message_from_bytes(content, policy=email.policy.default)
    return read


def part(mail: EmailMessage, kind: str) -> str:
    """One form of a mail, `plain` or `html`, with the ends of its lines as line feeds."""
    body = mail.get_body((kind,))
    assert body is not None
    content = body.get_content()
    assert isinstance(content, str)
    return content.replace("\r\n", "\n")


class Html(HTMLParser):
    """What HTML is made of: its elements with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.odd: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.odd.append(data)

    def handle_pi(self, data: str) -> None:
        self.odd.append(data)

    def unknown_decl(self, data: str) -> None:
        self.odd.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


# The mail server


@dataclass
class Post:
    """A mail server's handler: what came, and what it answers with before it takes any."""

    received: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)
    peers: list[tuple[bool, bool]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)
    cut_after: str | None = None

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        answer = self._next("MAIL")
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return answer

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        answer = self._next("RCPT")
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802
        answer = self._next("DATA")
        if answer.startswith("2"):
            self.peers.append((session.ssl is not None, bool(session.authenticated)))
            self.received.append(
                (envelope.mail_from, list(envelope.rcpt_tos), parsed(envelope.content))
            )
        if self.cut_after == "DATA":
            self.cut_after = None
            assert server.transport is not None
            server.transport.close()  # it took the mail and never says so
        return answer

    def _next(self, command: str) -> str:
        self.commands.append(command)
        waiting = self.answers.get(command)
        return waiting.pop(0) if waiting else "250 OK"

    @property
    def mails(self) -> list[EmailMessage]:
        """The mails that came."""
        return [mail for _, _, mail in self.received]


class _Breaking(SMTP):
    """A server that goes away while it is sent a mail."""

    async def smtp_DATA(self, arg: str) -> None:  # noqa: ARG002, N802
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        assert self.transport is not None
        self.transport.close()


class _Controller(Controller):
    """A server on a port that the system chose."""

    breaking = False

    def factory(self) -> SMTP:
        return (_Breaking if self.breaking else SMTP)(self.handler, **self.SMTP_kwargs)

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def mail_server(
    post: Post,
    *,
    starttls: ssl.SSLContext | None = None,
    implicit: ssl.SSLContext | None = None,
    login: bool = False,
    password: str = PASSWORD,
    breaking: bool = False,
) -> Iterator[int]:
    """Run a mail server; gives its port."""

    def authenticate(*given: Any) -> AuthResult:
        right = given[-1] == LoginPassword(USER.encode(), password.encode())
        return AuthResult(success=right, handled=False)

    options: dict[str, Any] = {"hostname": "127.0.0.1", "port": 0, "ssl_context": implicit}
    if starttls is not None:
        options |= {"tls_context": starttls, "require_starttls": True}
    if login:
        # aiosmtpd knows of STARTTLS alone: with TLS all around it, it believes itself without.
        options |= {"authenticator": authenticate, "auth_require_tls": implicit is None}
        options |= {"auth_required": implicit is None}
    controller = _Controller(post, server_hostname="mail.example", **options)
    controller.breaking = breaking
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


# Certificates


def contexts(folder: Path, *, name: str = "localhost") -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's TLS with a fresh certificate for `name`, and a client's that believes in it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    try:
        alternative: x509.GeneralName = x509.IPAddress(ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    file = folder / f"{name}.pem"
    file.write_bytes(
        certificate.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=file.read_text().split("-----BEGIN PRIV")[0])
