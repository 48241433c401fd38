"""Delivers mail again and again, to be killed: imports once, forks for each start.

Reads a word a line: `start` forks a child that delivers and prints its process id.
"""

from __future__ import annotations

import os
import sys
import threading

from approvals.config import load
from approvals.flow.service import Service
from approvals.flow.telling import deliver
from approvals.integrations.email.channel import EmailChannel
from approvals.keys import Keyring
from approvals.store import open_store
from approvals.workers.delivery import Delivery
from tests.crash.launcher import bury

# What a killed worker held is due again after this long; two minutes would make the test an hour.
deliver.LEASE_SECONDS, deliver.SEND_SECONDS = 2, 1


def main() -> None:
    home, database, smtp_port = sys.argv[1:]
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
                smtp_host="127.0.0.1",
                smtp_port=int(smtp_port),
                smtp_security="none",
            )
            keys = Keyring.open(settings.home, now=1, origin=settings.log_origin)
            service = Service(open_store(settings.database_url, mac=keys.seal), keys, settings)
            Delivery(service, [EmailChannel(settings)]).start()
            threading.Event().wait()
        print(child, flush=True)  # noqa: T201 - its output is its protocol


if __name__ == "__main__":
    main()
