"""Sending through a real mail server: what is sent when, TLS and authentication."""

from __future__ import annotations

import hmac
import json
import logging
from base64 import b64decode, b64encode
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from approvals.config import load
from approvals.core.errors import AssentError
from approvals.flow.telling.deliver import GiveUp, TryAgain
from approvals.flow.telling.outbox import NoticeKind
from approvals.integrations.email import EmailChannel, smtp
from tests.email.mails import (
    BRIEF,
    ENDED,
    PASSWORD,
    USER,
    Post,
    contexts,
    mail_server,
    message,
    part,
)
from tests.email.sending import channel, settings, speaking, try_again

if TYPE_CHECKING:
    import socket
    from pathlib import Path


def test_no_password_is_in_what_is_shown_of_a_server() -> None:
    sending = channel(25, smtp_security="tls", smtp_username=USER, smtp_password=PASSWORD)
    assert PASSWORD not in repr(vars(sending))


# What is sent when


def test_a_request_is_two_mails_and_nothing_in_between() -> None:
    post = Post()
    with mail_server(post) as port:
        sending = channel(port)
        reference = sending.send(message(), None)
        assert reference is not None
        voted = replace(BRIEF, progress=((BRIEF.reasons[0], 1, 2),))
        assert sending.send(message(voted, revision=2), reference) is None
        assert len(post.mails) == 1
        last = sending.send(message(ENDED, revision=3), reference)
        assert last is not None
        assert sending.send(message(ENDED, revision=4), last) is None
    first, ended = post.mails
    assert json.loads(reference) == {"first": first["Message-ID"], "last": False}
    assert json.loads(last) == {"first": first["Message-ID"], "last": True}
    assert ended["In-Reply-To"] == first["Message-ID"]
    assert part(ended, "plain").startswith("Approved by Ada Okafor, Ben Silva\n")
    assert [(sender, to) for sender, to, _ in post.received] == [
        ("assent@company.example", ["ada@example.com"])
    ] * 2


def test_who_never_heard_of_it_does_not_hear_of_its_end() -> None:
    post = Post()
    with mail_server(post) as port:
        assert channel(port).send(message(ENDED), None) is None
    assert post.mails == []


@pytest.mark.parametrize("kind", [kind for kind in NoticeKind if kind is not NoticeKind.REQUEST])
def test_everything_else_is_one_mail(kind: NoticeKind) -> None:
    post = Post()
    brief = BRIEF if kind is NoticeKind.REMINDER else None
    with mail_server(post) as port:
        assert channel(port).send(message(brief, kind), None) is None
    assert len(post.mails) == 1


@pytest.mark.parametrize("kind", [NoticeKind.REQUEST, NoticeKind.REMINDER])
def test_a_notice_of_a_request_that_is_gone_is_given_up(kind: NoticeKind) -> None:
    with pytest.raises(GiveUp) as caught:
        channel(1).send(message(None, kind), None)
    assert caught.value.code == "request_gone"


@pytest.mark.parametrize(
    ("address", "code"), [(None, "no_address"), ("ada@example.com\r\nBcc: e@x.example", "address")]
)
def test_without_one_plain_address_nothing_is_sent(address: str | None, code: str) -> None:
    with pytest.raises(GiveUp) as caught:
        channel(1).send(message(address=address), None)
    assert caught.value.code == code


def test_there_is_no_channel_without_a_mail_server() -> None:
    with pytest.raises(AssentError) as caught:
        EmailChannel(load())
    assert (caught.value.code, caught.value.place) == ("config", "ASSENT_SMTP_HOST")


# TLS and authentication


def test_starttls_and_a_password(tmp_path: Path) -> None:
    server, client = contexts(tmp_path)
    post = Post()
    with mail_server(post, starttls=server, login=True) as port:
        channel(
            port,
            client,
            smtp_host="localhost",
            smtp_security="starttls",
            smtp_username=USER,
            smtp_password=PASSWORD,
        ).send(message(), None)
    assert post.peers == [(True, True)]


def test_no_password_and_no_mail_is_logged_or_printed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    server, client = contexts(tmp_path)
    options: dict[str, Any] = {
        "smtp_host": "localhost",
        "smtp_security": "starttls",
        "smtp_username": USER,
    }
    secret = "pässwörd-41ae"
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # the test's server, not ours
        with mail_server(Post(), starttls=server, login=True, password=secret) as port:
            channel(port, client, **options, smtp_password=secret).send(message(), None)
            wrong = channel(port, client, **options, smtp_password=f"{secret}x")
            failed = try_again(wrong, "smtp_auth")
    told = "".join(capfd.readouterr()) + caplog.text + repr(failed) + str(failed.__context__)
    for form in (secret, b64encode(f"\0{USER}\0{secret}".encode()).decode(), BRIEF.fingerprint):
        assert form not in told


@pytest.mark.parametrize("password", ["pässwörd", "пароль", "\U0001f511 und 密码", "naïve"])
def test_a_password_outside_ascii_is_sent_as_utf_8(tmp_path: Path, password: str) -> None:
    server, client = contexts(tmp_path)
    post = Post()
    with mail_server(post, starttls=server, login=True, password=password) as port:
        options: dict[str, Any] = {
            "smtp_host": "localhost",
            "smtp_security": "starttls",
            "smtp_username": USER,
        }
        channel(port, client, **options, smtp_password=password).send(message(), None)
        try_again(channel(port, client, **options, smtp_password=f"{password}x"), "smtp_auth")
    assert post.peers == [(True, True)]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_every_mechanism_takes_a_name_and_a_password_outside_ascii(
    tmp_path: Path, mechanism: str
) -> None:
    server, client = contexts(tmp_path)
    name, password, challenge = "jürgen", "пароль", b"<1.2@mail.example>"
    heard: list[bytes] = []

    def log_in(connection: socket.socket) -> None:
        with server.wrap_socket(connection, server_side=True) as secure:
            lines = secure.makefile("rb")
            secure.sendall(b"220 hello\r\n")
            lines.readline()
            secure.sendall(f"250-hello\r\n250 AUTH {mechanism}\r\n".encode())
            said = lines.readline().split()
            assert said[:2] == [b"AUTH", mechanism.encode()]
            heard.extend(b64decode(each) for each in said[2:])
            if mechanism != "PLAIN":
                secure.sendall(b"334 " + b64encode(challenge) + b"\r\n")
                heard.append(b64decode(lines.readline()))
            secure.sendall(b"235 come in\r\n")
            lines.readline()

    with speaking(log_in) as port:
        sending = channel(
            port,
            client,
            smtp_host="localhost",
            smtp_security="tls",
            smtp_username=name,
            smtp_password=password,
        )
        try_again(sending, "smtp_away")  # it hangs up once it let us in
    answered = hmac.digest(password.encode(), challenge, "md5").hex()
    assert (
        heard
        == {
            "PLAIN": [f"\0{name}\0{password}".encode()],
            "LOGIN": [name.encode(), password.encode()],
            "CRAM-MD5": [f"{name} {answered}".encode()],
        }[mechanism]
    )


def test_a_server_that_keeps_asking_is_not_let_ask_for_ever(tmp_path: Path) -> None:
    server, client = contexts(tmp_path)
    asked = 0

    def ask(connection: socket.socket) -> None:
        nonlocal asked
        with server.wrap_socket(connection, server_side=True) as secure:
            lines = secure.makefile("rb")
            secure.sendall(b"220 hello\r\n")
            lines.readline()
            secure.sendall(b"250-hello\r\n250 AUTH LOGIN\r\n")
            while lines.readline():
                asked += 1
                secure.sendall(b"334 YQ==\r\n")

    with speaking(ask) as port:
        sending = channel(
            port,
            client,
            smtp_host="localhost",
            smtp_security="tls",
            smtp_username=USER,
            smtp_password=PASSWORD,
        )
        assert try_again(sending, "smtp_auth").after == smtp.LONG
    assert 1 < asked < 10


def test_tls_from_the_first_byte(tmp_path: Path) -> None:
    server, client = contexts(tmp_path)
    post = Post()
    with mail_server(post, implicit=server, login=True) as port:
        channel(
            port,
            client,
            smtp_host="localhost",
            smtp_security="tls",
            smtp_username=USER,
            smtp_password=PASSWORD,
        ).send(message(), None)
    assert post.peers == [(False, True)]  # which is what aiosmtpd makes of it


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("fault", ["another name", "nobody knows it"])
def test_a_certificate_that_is_not_the_servers_stops_it(
    tmp_path: Path, security: str, fault: str
) -> None:
    server, client = contexts(
        tmp_path, name="mail.example" if fault == "another name" else "localhost"
    )
    if fault == "nobody knows it":
        _, client = contexts(tmp_path, name="other.example")
    post = Post()
    starttls, implicit = (server, None) if security == "starttls" else (None, server)
    with mail_server(post, starttls=starttls, implicit=implicit) as port:
        sending = channel(port, client, smtp_host="localhost", smtp_security=security)
        assert try_again(sending, "smtp_certificate").after == smtp.LONG
    assert post.commands == []


def test_a_server_without_starttls_hears_neither_mail_nor_password() -> None:
    """Whoever sits in between can take the offer of TLS out of the greeting."""
    heard: list[bytes] = []

    def stripped(connection: socket.socket) -> None:
        connection.sendall(b"220 mail.example\r\n")
        heard.append(connection.recv(1000))
        connection.sendall(b"250-mail.example\r\n250-AUTH PLAIN LOGIN\r\n250 SIZE 1000\r\n")
        while got := connection.recv(1000):
            heard.append(got)

    with speaking(stripped) as port:
        sending = channel(
            port, smtp_security="starttls", smtp_username=USER, smtp_password=PASSWORD
        )
        assert try_again(sending, "smtp_tls").after == smtp.LONG
    assert b"".join(heard) == b"ehlo company.example\r\n"


def test_what_was_said_before_tls_is_forgotten(tmp_path: Path) -> None:
    """Somebody in between adds an answer behind the one to STARTTLS, to be read as said in TLS."""
    server, client = contexts(tmp_path)
    inside: list[bytes] = []

    def injecting(connection: socket.socket) -> None:
        connection.sendall(b"220 mail.example\r\n")
        connection.recv(1000)
        connection.sendall(b"250-mail.example\r\n250 STARTTLS\r\n")
        connection.recv(1000)
        connection.sendall(b"220 go\r\n250-mail.example\r\n250 AUTH PLAIN\r\n")
        with server.wrap_socket(connection, server_side=True) as secure:
            inside.append(secure.recv(1000))
            secure.sendall(b"250 mail.example\r\n")
            inside.append(secure.recv(1000))

    with speaking(injecting) as port:
        sending = channel(
            port,
            client,
            smtp_host="localhost",
            smtp_security="starttls",
            smtp_username=USER,
            smtp_password=PASSWORD,
        )
        # The injected bytes are no TLS: either TLS fails of them, or they are never looked at.
        with pytest.raises(TryAgain):
            sending.send(message(), None)
    assert not any(b"AUTH" in each for each in inside)


def test_a_wrong_password_waits_for_an_operator(tmp_path: Path) -> None:
    server, client = contexts(tmp_path)
    post = Post()
    with mail_server(post, starttls=server, login=True) as port:
        sending = channel(
            port,
            client,
            smtp_host="localhost",
            smtp_security="starttls",
            smtp_username=USER,
            smtp_password="wrong",
        )
        assert try_again(sending, "smtp_auth").after == smtp.LONG
    assert post.mails == []


def test_a_server_that_wants_a_password_that_is_not_set(tmp_path: Path) -> None:
    server, client = contexts(tmp_path)
    with mail_server(Post(), starttls=server, login=True) as port:
        sending = channel(port, client, smtp_host="localhost", smtp_security="starttls")
        assert try_again(sending, "smtp_sender").after == smtp.LONG


def test_a_server_that_takes_no_passwords(tmp_path: Path) -> None:
    server, client = contexts(tmp_path)
    post = Post()
    with mail_server(post, starttls=server) as port:
        sending = channel(
            port,
            client,
            smtp_host="localhost",
            smtp_security="starttls",
            smtp_username=USER,
            smtp_password=PASSWORD,
        )
        assert try_again(sending, "smtp_auth").after == smtp.LONG
    assert post.commands == []


def test_a_password_is_not_said_in_the_clear() -> None:
    with mail_server(Post()) as port:
        # The settings refuse this pair; the channel does not rely on it.
        together = settings(port).model_copy(
            update={"smtp_username": USER, "smtp_password": SecretStr(PASSWORD)}
        )
        assert try_again(EmailChannel(together), "smtp_tls").after == smtp.LONG
