"""Starts the service again and again, quickly: imports once, forks for each start.

Reads a word a line: `start` forks a child that serves and prints its process id; the test kills it.
Ends when its input does.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys

from approvals.api.server import Server
from approvals.app import create_app
from approvals.config import load


def bury() -> None:
    """Wait until the child that was killed has ended, and with it what it held: its port."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(-1, 0)


def main() -> None:
    home, database, url, port = sys.argv[1:]
    for line in sys.stdin:
        if line.strip() != "start":
            continue
        bury()
        child = os.fork()
        if child == 0:
            # Its log: the output is the launcher's protocol.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            settings = load(
                home=home,
                database=database,
                url=url,
                view_seconds=0,
                open_per_agent=5000,
                open_per_tool=5000,
                ceremonies_per_minute=1_000_000,
                ceremonies_per_minute_overall=1_000_000,
            )
            with socket.create_server(("127.0.0.1", int(port))) as listening:
                Server(create_app(settings), settings).run(sockets=[listening])
            os._exit(0)
        print(child, flush=True)  # noqa: T201 - its output is its protocol


if __name__ == "__main__":
    main()
