"""The delivering process is killed, without warning, again and again, while mail goes out.

Every notice arrives; what arrives twice carries the same id, so that a receiver can drop it.
"""

from __future__ import annotations

import email
import email.policy
import os
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from aiosmtpd.controller import Controller

from approvals.flow.activate import activate
from tests.crash.processes import free_port, launcher
from tests.service import PEOPLE, bundle_files, start

if TYPE_CHECKING:
    from pathlib import Path

    from aiosmtpd.smtp import SMTP, Envelope, Session

    from tests.service import Running

SEED = 20261120
REQUESTS = 120
WITH_MAIL = PEOPLE.replace("Ada Okafor}", "Ada Okafor, email: ada@example.com}").replace(
    "Ben Silva}", "Ben Silva, email: ben@example.com}"
)


@dataclass
class Letterbox:
    """What arrived: for each recipient, the Message-IDs with how often each came."""

    arrived: dict[str, list[str]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        content = envelope.content
        assert isinstance(content, bytes)
        letter = email.message_from_bytes(content, policy=email.policy.default)
        with self.lock:
            for recipient in envelope.rcpt_tos:
                self.arrived.setdefault(recipient, []).append(str(letter["Message-ID"]))
        return "250 OK"


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("kind", "kills"), [("sqlite_url", 200), ("postgres_url", 60)])
def test_every_notice_arrives(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, kills: int
) -> None:
    database = request.getfixturevalue(kind)
    running = start(
        tmp_path,
        database,
        people=("ada",),
        notice_cap_hour=10_000,
        notice_cap_agent_hour=10_000,
        open_per_agent=10_000,
        open_per_tool=10_000,
    )
    files = bundle_files(running.enforcer_key.public_jwk(), people_yaml=WITH_MAIL)
    activate(running.service, tenant="default", files=files)
    box = Letterbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    moments = random.Random(SEED)  # noqa: S311 - moments to kill at, not secrets
    try:
        with launcher(
            "tests.crash.deliverer", str(tmp_path / "assent"), database, str(controller.port)
        ) as launch:
            for number in range(kills):
                if number < REQUESTS:
                    running.opened(f"{1000 + number}.00", user="cleo")
                child = launch()
                time.sleep(moments.uniform(0.0, 0.2))
                os.kill(child, signal.SIGKILL)
            for number in range(kills, REQUESTS):
                running.opened(f"{1000 + number}.00", user="cleo")
            launch()
            _wait_until_nothing_is_due(running)
    finally:
        controller.stop()
    expected = _sent_ids(running)
    for recipient, ids in expected.items():
        assert set(box.arrived.get(recipient, [])) == ids, recipient
    running.service.store.close()


def _sent_ids(running: Running) -> dict[str, set[str]]:
    """The Message-IDs of the first mails that the outbox's notices stand for."""
    from sqlmodel import select  # noqa: PLC0415 - used here only

    from approvals.store.rows import NoticeRow  # noqa: PLC0415 - used here only

    with running.service.store.read() as tx:
        rows = list(
            tx.session.exec(
                select(NoticeRow.person, NoticeRow.id).where(NoticeRow.kind == "request")
            )
        )
    assert len(rows) == 2 * REQUESTS
    host = running.service.settings.rp_id
    found: dict[str, set[str]] = {}
    for person, notice in rows:
        found.setdefault(f"{person}@example.com", set()).add(f"<{notice}.1@{host}>")
    return found


def _wait_until_nothing_is_due(running: Running) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with running.service.store.read() as tx:
            if tx.notices.due_count(channel="email") == 0:
                return
        time.sleep(0.05)
    pytest.fail("notices are still due")
