"""`assent serve`: one process that answers, says why it cannot start, and ends in order."""

from __future__ import annotations

import contextlib
import http.client
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx2
import pytest
from starlette.testclient import TestClient

from tests.cli.conftest import free_port
from tests.progress import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from tests.cli.conftest import Shell


@pytest.fixture
def served(assent: Shell) -> Iterator[tuple[subprocess.Popen[str], int]]:
    assent.initialised()
    port = free_port()
    with subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "approvals.cli", "serve", "--port", str(port)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert "Assent serves" in process.stdout.readline()
        yield process, port
        process.kill()


def test_it_answers_as_soon_as_it_says_so_and_ends_in_order(
    served: tuple[subprocess.Popen[str], int],
) -> None:
    process, port = served
    answer = httpx2.get(f"http://127.0.0.1:{port}/healthz", timeout=PATIENCE, trust_env=False)
    assert answer.status_code == 200
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=PATIENCE) == 0


def test_a_second_one_on_the_same_port_says_so(
    served: tuple[subprocess.Popen[str], int], assent: Shell
) -> None:
    _, port = served
    ended = assent("serve", "--port", str(port), "--json")
    assert (ended.code, ended.error["code"]) == (2, "address")
    assert ended.error["place"] == f"127.0.0.1:{port}"
    assert ended.error["message"].endswith(": Address already in use")


def test_it_says_that_it_made_a_new_home(assent: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt ASSENT_HOME would else be a service without people, policy and history."""

    class Stopped:
        """Starts the application and shuts it down at once."""

        def __init__(self, app: FastAPI, _settings: object) -> None:
            self._app = app

        def run(self, **_: object) -> None:
            with TestClient(self._app):
                pass

    monkeypatch.setattr("approvals.cli.serve.Server", Stopped)
    new = f"New home: {assent.home}, with new keys and an empty database\n"
    ended = assent("serve")
    assert (ended.code, ended.out.startswith(new)) == (0, True)
    ended = assent("serve")
    assert (ended.code, "New home" in ended.out) == (0, False)
    assert assent("serve", "--json").document["new_home"] is False


def test_an_address_that_is_none_is_named(assent: Shell) -> None:
    ended = assent("serve", "--host", "203.0.113.1", "--url", "https://a.example", "--json")
    assert (ended.code, ended.error["code"]) == (2, "address")
    assert assent("serve", "--port", "99999", "--json").error["code"] == "usage"


def test_an_idle_connection_outlives_the_one_that_a_proxy_keeps(
    served: tuple[subprocess.Popen[str], int],
) -> None:
    _, port = served
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        assert connection.sock is not None
        # uvicorn's own default is 5 seconds: by then it would have said that it is over.
        connection.sock.settimeout(7)
        with pytest.raises(TimeoutError):
            connection.sock.recv(1)
