"""One post: to the address that was checked and no other, over TLS with the name, and then over."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest

from approvals.flow.telling.deliver import SEND_SECONDS
from approvals.integrations.webhook import sender
from approvals.integrations.webhook.sender import Answer, dialled, post
from approvals.integrations.webhook.target import HookRefused, target
from tests.email.mails import contexts
from tests.webhook.hosts import answer, host

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from approvals.core.addresses.urls import Url

PUBLIC = "93.184.216.34"
TLS = ssl.create_default_context()


def local(port: int, path: str = "/hook") -> Url:
    return target(f"http://localhost:{port}{path}", loopback=True)


def posted(
    to: Url,
    *,
    tls: ssl.SSLContext = TLS,
    resolve: Callable[[str, int], Sequence[str]] = lambda _name, _port: ["127.0.0.1"],
    dial: Callable[[tuple[str, int], float], socket.socket] = dialled,
) -> Answer:
    return post(
        to, {"Content-Type": "application/json"}, b'{"a":1}', tls=tls, resolve=resolve, dial=dial
    )


def refused(to: Url, code: str, **options: object) -> None:
    with pytest.raises(HookRefused) as caught:
        posted(to, **options)  # type: ignore[arg-type]
    assert caught.value.code == code


class Network:
    """A network in which a public address leads to this machine; it keeps who was called."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.called: list[tuple[str, int]] = []

    def dial(self, address: tuple[str, int], seconds: float) -> socket.socket:
        self.called.append(address)
        return socket.create_connection(("127.0.0.1", self.port), seconds)


class Names:
    """A name server that answers differently each time, as somebody does who rebinds a name."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    def resolve(self, name: str, port: int) -> list[str]:
        self.asked.append((name, port))
        return self.answers.pop(0)


# What is sent


def test_a_post_is_what_it_says() -> None:
    with host(answer("200 OK", body=b"ignored")) as there:
        assert posted(local(there.port, "/hook?a=b")) == Answer(200, None)
    assert there.requests == [
        b"POST /hook?a=b HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\n"
        b'Content-Length: 7\r\nConnection: close\r\n\r\n{"a":1}' % there.port
    ]


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\x00"])
def test_a_header_cannot_end_itself(value: str) -> None:
    with host() as there, pytest.raises(ValueError, match="end itself"):
        post(local(there.port), {"X": value}, b"", tls=TLS)


def test_a_real_resolver_finds_this_machine() -> None:
    with host() as there:
        assert post(local(there.port), {}, b"", tls=TLS).status == 204


def test_no_redirect_is_followed() -> None:
    with host() as elsewhere:
        moved = answer("302 Found", f"Location: http://localhost:{elsewhere.port}/")
        with host(moved) as there:
            assert posted(local(there.port)).status == 302
    assert elsewhere.requests == []


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "all_proxy"])
def test_no_proxy_is_asked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with host() as proxy, host() as there:
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert posted(local(there.port)).status == 204
    assert proxy.requests == []


# Which address


def test_a_name_that_is_bound_to_another_address_is_not_asked_again(tmp_path: Path) -> None:
    """DNS rebinding: public when it is checked, private when it would be connected to."""
    server, client = contexts(tmp_path, name="hooks.example")
    to = target("https://hooks.example:8443/", loopback=False)
    names = Names([PUBLIC], ["127.0.0.1"], ["10.0.0.1"])
    with host(tls=server) as there:
        network = Network(there.port)
        assert posted(to, tls=client, resolve=names.resolve, dial=network.dial).status == 204
        assert names.asked == [("hooks.example", 8443)]
        assert network.called == [(PUBLIC, 8443)]
        for _ in range(2):
            refused(to, "hook_address", tls=client, resolve=names.resolve, dial=network.dial)
        assert network.called == [(PUBLIC, 8443)]
    assert len(there.requests) == 1
    assert there.headers()["host"] == "hooks.example:8443"
    assert there.names == ["hooks.example"]


def test_two_hosts_of_one_name_and_only_the_pinned_one_hears() -> None:
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    with host() as pinned, host(address="127.0.0.2", port=pinned.port) as other:
        assert posted(local(pinned.port), resolve=names.resolve).status == 204
    assert (len(pinned.requests), len(other.requests)) == (1, 0)


@pytest.mark.parametrize(
    "found",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["fd00::1"],
        ["0.0.0.0"],  # noqa: S104
        [PUBLIC, "127.0.0.1"],
        ["127.0.0.1", PUBLIC],
        [PUBLIC, "2606:4700::1111", "fe80::1%1"],
        ["2130706433"],
    ],
    ids=" ".join,
)
def test_a_name_that_leads_inside_is_not_connected_to(found: list[str]) -> None:
    with host() as there:
        network = Network(there.port)
        refused(
            target("https://hooks.example/", loopback=False),
            "hook_address",
            resolve=lambda _name, _port: found,
            dial=network.dial,
        )
    assert network.called == []
    assert there.requests == []


@pytest.mark.parametrize("found", [["10.0.0.1"], [PUBLIC], ["127.0.0.1", "10.0.0.1"]], ids=" ".join)
def test_a_hook_on_this_machine_does_not_leave_it(found: list[str]) -> None:
    refused(local(9), "hook_address", resolve=lambda _name, _port: found)


def test_the_next_address_is_tried_and_not_more_than_three(tmp_path: Path) -> None:
    server, client = contexts(tmp_path, name="hooks.example")
    to = target("https://hooks.example/", loopback=False)
    called: list[str] = []
    with host(tls=server) as there:

        def dial(address: tuple[str, int], seconds: float) -> socket.socket:
            called.append(address[0])
            if len(called) < 3:
                raise ConnectionRefusedError
            return socket.create_connection(("127.0.0.1", there.port), seconds)

        found = [PUBLIC, "8.8.8.8", "1.1.1.1", "9.9.9.9"]
        answered = posted(to, tls=client, resolve=lambda _name, _port: found, dial=dial)
        assert answered.status == 204
        assert called == found[:3]

        def away(address: tuple[str, int], _seconds: float) -> socket.socket:
            called.append(address[0])
            raise ConnectionRefusedError

        called.clear()
        refused(to, "hook_away", resolve=lambda _name, _port: found, dial=away)
        assert called == found[:3]


@pytest.mark.parametrize("error", [socket.gaierror(), UnicodeError(), TimeoutError()], ids=repr)
def test_a_name_that_does_not_resolve(error: Exception) -> None:
    def resolve(_name: str, _port: int) -> list[str]:
        raise error

    refused(local(9), "hook_unresolved", resolve=resolve)
    refused(local(9), "hook_unresolved", resolve=lambda _name, _port: [])


# TLS


def test_a_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    server, client = contexts(tmp_path, name="other.example")
    to = target("https://hooks.example/", loopback=False)
    with host(tls=server) as there:
        dial = Network(there.port).dial
        refused(to, "hook_certificate", tls=client, resolve=lambda *_: [PUBLIC], dial=dial)
        refused(to, "hook_certificate", resolve=lambda *_: [PUBLIC], dial=dial)
    assert there.bodies in ([], [b"", b""], [b""])


def test_a_host_without_tls_hears_nothing() -> None:
    to = target("https://hooks.example/", loopback=False)
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def plain() -> None:
            connection, _ = listening.accept()
            with connection:
                heard.append(connection.recv(100_000))
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        thread = threading.Thread(target=plain)
        thread.start()
        network = Network(listening.getsockname()[1])
        refused(to, "hook_tls", resolve=lambda *_: [PUBLIC], dial=network.dial)
        thread.join()
    assert b"POST" not in heard[0]


# What comes back


@pytest.mark.parametrize(
    ("said", "status", "retry"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", 200, None),
        (b"HTTP/1.0 200\r\n\r\n", 200, None),
        (b"HTTP/1.1 204 No Content\nX: y\n\n", 204, None),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\n\r\n", 201, None),
        (b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 410 Gone\r\n\r\n", 410, None),
        (b"HTTP/1.1 429 Slow\r\nA: b\r\nretry-AFTER: \t120 \r\n\r\n", 429, "120"),
        (
            b"HTTP/1.1 503 Away\r\nRetry-After: Wed, 21 Oct 2037 07:28:00 GMT\r\n\r\n",
            503,
            "Wed, 21 Oct 2037 07:28:00 GMT",
        ),
        (b"HTTP/1.1 500 Oh\r\nX-Retry-After: 5\r\n\r\n", 500, None),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 60_000 + b"\r\n\r\n", 200, None),
        # A pattern that tries every way to part these blanks never ends, and holds every thread.
        (b"HTTP/1.1 503 Away\r\nRetry-After:" + b" " * 60_000 + b"\rX\r\n\r\n", 503, None),
        (b"HTTP/1.1 503 Away\r\nRetry-After:" + b" " * 60_000 + b"\r\n\r\n", 503, ""),
    ],
    ids=lambda value: str(len(value)) if isinstance(value, bytes) else "",
)
def test_the_status_is_read(said: bytes, status: int, retry: str | None) -> None:
    with host(said) as there:
        assert posted(local(there.port)) == Answer(status, retry)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"", "hook_nonsense"),
        (b"HTTP/1.1 200 OK\r\n", "hook_nonsense"),
        (b"HTTP/2 200\r\n\r\n", "hook_nonsense"),
        (b"HTTP/1.1 200OK\r\n\r\n", "hook_nonsense"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "hook_nonsense"),
        (b"HTTP/1.1 -1 OK\r\n\r\n", "hook_nonsense"),
        (b"ICY 200 OK\r\n\r\n", "hook_nonsense"),
        (b"220 mail.example ESMTP\r\n\r\n", "hook_nonsense"),
        (b"\x00\xff" * 100, "hook_nonsense"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", "hook_too_large"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 5000, "hook_too_large"),
    ],
    ids=lambda value: str(len(value)) if isinstance(value, bytes) else value,
)
def test_what_is_no_answer(said: bytes, code: str) -> None:
    with host(said) as there:
        refused(local(there.port), code)


def test_a_host_that_goes_away_before_it_answers() -> None:
    with host(say=lambda connection: connection.close()) as there:
        refused(local(there.port), "hook_nonsense")


def test_a_body_without_an_end_is_not_read() -> None:
    stop = threading.Event()

    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not stop.is_set():
            connection.sendall(b"x" * 65_536)

    with host(say=flood) as there:
        assert posted(local(there.port)).status == 200
        stop.set()


def test_a_host_that_drips_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, and the answer never ends."""
    monkeypatch.setattr(sender, "WHOLE_SECONDS", 0.5)
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        while not stop.wait(0.02):
            connection.sendall(b"H")

    with host(say=drip) as there:
        refused(local(there.port), "hook_slow")
        stop.set()


def test_a_host_that_says_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "WHOLE_SECONDS", 0.2)
    stop = threading.Event()
    with host(say=lambda _connection: stop.wait(20)) as there:
        refused(local(there.port), "hook_slow")
        stop.set()


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        refused(local(taken.getsockname()[1]), "hook_away")


def test_posting_ends_within_the_time_that_a_lease_allows_for() -> None:
    assert sender.CONNECT_SECONDS < sender.WHOLE_SECONDS < SEND_SECONDS
