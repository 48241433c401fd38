"""Real servers in processes of their own: one plain uvicorn worker each."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.postgres import cluster, database

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@contextlib.contextmanager
def databases(folder: Path) -> Iterator[dict[str, str]]:
    """An empty database of each kind."""
    with cluster() as server, database(server) as postgres:
        yield {"SQLite": f"sqlite:///{folder / 'assent.db'}", "PostgreSQL": postgres}


@contextlib.contextmanager
def uvicorn(
    application: str, *, port: int, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Serve `application` (module:factory) with one worker until the block ends."""
    command = [sys.executable, "-m", "uvicorn", application, "--factory", f"--port={port}"]
    command += ["--loop=uvloop", "--http=httptools", "--no-access-log", "--log-level=error"]
    with running([*command, "--no-server-header"], environment=environment) as process:
        until_open(port, process)
        yield process


@contextlib.contextmanager
def running(
    command: list[str], *, environment: Mapping[str, str] | None = None, piped: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of this project; interrupt it at the end and wait until it has finished."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("ASSENT_")}
    pipe = subprocess.PIPE if piped else None
    with subprocess.Popen(  # noqa: S603 - our own interpreter and modules
        command, cwd=ROOT, env={**kept, **(environment or {})}, stdin=pipe, stdout=pipe
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError("the server did not start")
