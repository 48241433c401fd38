"""Channels to mail servers on this machine."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from approvals.config import Settings, load
from approvals.flow.telling.deliver import TryAgain
from approvals.integrations.email import EmailChannel
from tests.email.mails import message

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator


def settings(port: int, **changed: Any) -> Settings:
    given: dict[str, Any] = {
        "smtp_host": "127.0.0.1",
        "smtp_port": port,
        "smtp_security": "none",
        "mail_from": "assent@company.example",
        **changed,
    }
    return load(**given)


def channel(port: int, tls: ssl.SSLContext | None = None, **changed: Any) -> EmailChannel:
    return EmailChannel(settings(port, **changed), tls=tls)


def try_again(sending: EmailChannel, code: str) -> TryAgain:
    with pytest.raises(TryAgain) as caught:
        sending.send(message(), None)
    assert caught.value.code == code
    return caught.value


@contextlib.contextmanager
def speaking(say: Callable[[socket.socket], object]) -> Iterator[int]:
    """Something that listens and says what it wants; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    connection.settimeout(20)
                    say(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(20)
