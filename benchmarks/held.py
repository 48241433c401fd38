"""A service whose requests are decided on command: what `waiters.py` measures, in its own process.

``python -m benchmarks.held HOME DATABASE PORT REQUESTS`` opens that many requests, serves, and
prints a line of JSON: the enforcer's token and the ids. Then it reads commands, a line each, and
answers each with a number: ``memory`` with the resident bytes, ``parked`` with how many callers
wait, and ``approve ID`` with the moment at which the deciding vote committed, on the clock that all
processes of a machine share. A person's software passkey signs the vote, which takes the way that
every vote takes.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import event
from sqlmodel import Session

from approvals.api.server import Server
from approvals.app import build_app
from benchmarks.http import caller_token
from tests.service import Running, start

if TYPE_CHECKING:
    from fastapi import FastAPI


def resident() -> int:
    """The bytes of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    home, database, port, count = sys.argv[1:]
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    url = f"http://localhost:{port}"
    company = start(Path(home), database, people=("ada",), url=url)
    ids = [company.opened("10.00", args={"memo": str(number)}) for number in range(int(count))]
    app = build_app(company.service)
    server = Server(app, company.service.settings)
    listening = socket.create_server(("127.0.0.1", int(port)), backlog=2048)
    said = {"token": caller_token(company.enforcer_key, audience=url), "ids": ids}
    threading.Thread(target=_obey, args=(company, app, said), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):  # how it is told to end
        server.run(sockets=[listening])


def _obey(company: Running, app: FastAPI, said: dict[str, object]) -> None:
    committed: list[int] = []
    here = threading.get_ident()

    def note(_session: Session) -> None:
        if threading.get_ident() == here:
            committed.append(time.monotonic_ns())

    event.listen(Session, "after_commit", note)
    print(json.dumps(said), flush=True)
    for line in sys.stdin:
        match line.split():
            case ["memory"]:
                print(resident(), flush=True)
            case ["parked"]:
                print(app.state.api.waiting.parked, flush=True)
            case ["approve", request_id]:
                state = company.decide("ada", request_id)
                assert state.value == "approved", state
                print(committed[-1], flush=True)
            case _:
                raise ValueError(line)


if __name__ == "__main__":
    main()
