"""Sending through servers that are away, slow, odd or hostile."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from approvals.flow.telling.deliver import SEND_SECONDS, GiveUp, TryAgain
from approvals.integrations.email import smtp
from tests.email.mails import PASSWORD, USER, Post, contexts, mail_server, message
from tests.email.sending import channel, speaking, try_again

if TYPE_CHECKING:
    from pathlib import Path

    from approvals.core.errors import AssentError


# What a server answers


@pytest.mark.parametrize(
    ("command", "answer", "outcome", "code", "after"),
    [
        ("RCPT", "450 4.2.1 busy", TryAgain, "smtp_recipient", None),
        ("RCPT", "451 4.7.1 greylisted", TryAgain, "smtp_recipient", None),
        ("RCPT", "421 4.3.2 shutting down", TryAgain, "smtp_recipient", None),
        ("RCPT", "550 5.1.1 no such user", GiveUp, "smtp_recipient", None),
        ("RCPT", "553 5.1.3 bad address", GiveUp, "smtp_recipient", None),
        ("RCPT", "530 5.7.0 authenticate first", TryAgain, "smtp_recipient", 900),
        ("MAIL", "451 4.3.0 later", TryAgain, "smtp_sender", None),
        ("MAIL", "550 5.7.1 not from you", TryAgain, "smtp_sender", 900),
        ("DATA", "452 4.3.1 disk full", TryAgain, "smtp_refused", None),
        ("DATA", "554 5.6.0 not wanted", GiveUp, "smtp_refused", None),
    ],
    ids=lambda value: str(value)[:3] if isinstance(value, str) else "",
)
def test_what_an_answer_means(
    command: str, answer: str, outcome: type[AssentError], code: str, after: int | None
) -> None:
    post = Post(answers={command: [answer]})
    with mail_server(post) as port:
        with pytest.raises(outcome) as caught:
            channel(port).send(message(), None)
        assert caught.value.code == code
        assert getattr(caught.value, "after", None) == after
        if outcome is TryAgain:  # greylisting: the same mail, a little later
            channel(port).send(message(), None)
    assert len(post.mails) == (1 if outcome is TryAgain else 0)


def test_another_way_of_saying_yes_to_a_recipient() -> None:
    post = Post(answers={"RCPT": ["251 will forward"]})
    with mail_server(post) as port:
        channel(port).send(message(), None)
    assert len(post.mails) == 1


def test_a_server_that_goes_away_while_it_is_sent_a_mail() -> None:
    post = Post()
    with mail_server(post, breaking=True) as port:
        try_again(channel(port), "smtp_away")
    assert post.mails == []


def test_a_server_that_takes_a_mail_and_does_not_say_so_gets_a_second_copy_that_shows() -> None:
    post = Post(cut_after="DATA")
    with mail_server(post) as port:
        try_again(channel(port), "smtp_away")
        channel(port).send(message(revision=2), None)
    first, second = post.mails
    assert first["Message-ID"] == second["Message-ID"]
    assert first["X-Assent-Notice"] == second["X-Assent-Notice"]


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    try_again(channel(port), "smtp_away")


def test_a_host_that_does_not_resolve() -> None:
    sending = channel(25, smtp_host="mail.invalid", smtp_security="starttls")
    try_again(sending, "smtp_away")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"", "smtp_away"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "smtp_greeting"),
        (b"\x00\xff\xfe\r\n", "smtp_greeting"),
        (b"554 no\r\n", "smtp_greeting"),
        (b"220", "smtp_away"),
        (b"220 " + b"x" * 20_000 + b"\r\n", "smtp_nonsense"),
        (b"220 hello\r\n999 what\r\n999 what\r\n", "smtp_nonsense"),
        (b"220 hello\r\n250 hello\r\n250 yes\r\n250 yes\r\n250 not 354\r\n", "smtp_refused"),
        (b"220 hello\r\n250 hello\r\n354 what\r\n", "smtp_sender"),
    ],
    ids=lambda value: str(len(value)) if isinstance(value, bytes) else value,
)
def test_what_is_no_mail_server_is_tried_again(said: bytes, code: str) -> None:
    def say(connection: socket.socket) -> None:
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1000):
            pass

    with speaking(say) as port:
        try_again(channel(port), code)


def test_a_challenge_that_is_no_base64(tmp_path: Path) -> None:
    server, client = contexts(tmp_path)

    def challenge(connection: socket.socket) -> None:
        with server.wrap_socket(connection, server_side=True) as secure:
            secure.sendall(b"220 hello\r\n")
            secure.recv(1000)
            secure.sendall(b"250-hello\r\n250 AUTH CRAM-MD5\r\n")
            secure.recv(1000)
            secure.sendall(b"334 a\r\n")
            secure.recv(1000)

    with speaking(challenge) as port:
        sending = channel(
            port,
            client,
            smtp_host="localhost",
            smtp_security="tls",
            smtp_username=USER,
            smtp_password=PASSWORD,
        )
        try_again(sending, "smtp_auth")


def test_a_server_that_drips_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, and the mail never gets through."""
    monkeypatch.setattr(smtp, "WHOLE_SECONDS", 0.5)
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"220-")
        while not stop.wait(0.02):
            connection.sendall(b"x")

    with speaking(drip) as port:
        try_again(channel(port), "smtp_slow")
        stop.set()


def test_sending_ends_within_the_time_that_a_lease_allows_for() -> None:
    assert smtp.STEP_SECONDS < smtp.WHOLE_SECONDS < SEND_SECONDS
