"""Processes to be killed: started by a launcher that imports once and forks for each start."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.progress import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def launcher(module: str, *arguments: str) -> Iterator[Callable[[], int]]:
    """A function that starts the module's process anew and gives its id."""
    process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin is not None
    assert process.stdout is not None
    sender, receiver = process.stdin, process.stdout
    child = 0

    def launch() -> int:
        nonlocal child
        sender.write("start\n")
        sender.flush()
        child = int(receiver.readline())
        return child

    try:
        yield launch
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        sender.close()
        receiver.close()
        process.wait(timeout=PATIENCE)


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
