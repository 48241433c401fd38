"""The delivering process is killed, without warning, again and again, while mail goes out.

Every notice arrives; what arrives twice carries the same id, so that a receiver can drop it.

It is killed when the n-th mail since its start has come to the mail server, before the server says
that it has it or after.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from aiosmtpd.controller import Controller

from approvals.flow.operating.activate import activate
from tests.crash.processes import free_port, launcher
from tests.progress import Tally, until
from tests.service import PEOPLE, bundle_files, start

if TYPE_CHECKING:
    from pathlib import Path

    from aiosmtpd.smtp import SMTP, Envelope, Session

    from tests.draws import Draws
    from tests.service import Running

UNANSWERED = 0.5
"""Seconds for which the mail server keeps its answer back while the sender is killed."""

WITH_MAIL = PEOPLE.replace("Ada Okafor}", "Ada Okafor, email: ada@example.com}").replace(
    "Ben Silva}", "Ben Silva, email: ben@example.com}"
)


@dataclass
class Letterbox:
    """What arrived: for each recipient, the Message-IDs with how often each came."""

    arrived: dict[str, list[str]] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    slow: bool = False

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        content = envelope.content
        assert isinstance(content, bytes)
        letter = email.message_from_bytes(content, policy=email.policy.default)
        for recipient in envelope.rcpt_tos:  # one thread runs all of the server's coroutines
            self.arrived.setdefault(recipient, []).append(str(letter["Message-ID"]))
        self.tally.add("mail")
        if self.slow:
            # The sender is killed meanwhile: it never hears that its mail was taken.
            await asyncio.sleep(UNANSWERED)
        return "250 OK"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_notice_arrives(tmp_path: Path, database_url: str, draws: Draws) -> None:
    chance = draws.of("kill the deliverer")
    requests = draws.count(sample=25, complete=200)
    running = start(
        tmp_path,
        database_url,
        people=("ada",),
        notice_cap_hour=10_000,
        notice_cap_agent_hour=10_000,
        open_per_agent=10_000,
        open_per_tool=10_000,
    )
    files = bundle_files(running.enforcer_key.public_jwk(), people_yaml=WITH_MAIL)
    activate(running.service, tenant="default", files=files, by="ops")
    box = Letterbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    home, port = str(tmp_path / "assent"), str(controller.port)
    try:
        with launcher("tests.crash.deliverer", home, database_url, port) as launch:
            for number in range(requests):
                running.opened(f"{1000 + number}.00", user="cleo")
                box.slow = chance.random() < 0.5
                before = box.tally.count("mail")
                child = launch()
                box.tally.wait_until("mail", before + (1 if box.slow else chance.randint(1, 2)))
                os.kill(child, signal.SIGKILL)
            box.slow = False
            launch()
            until(lambda: _nothing_is_due(running))
    finally:
        controller.stop()
    expected = _sent_ids(running, requests)
    for recipient, ids in expected.items():
        assert set(box.arrived.get(recipient, [])) == ids, recipient
    running.service.store.close()


def _sent_ids(running: Running, requests: int) -> dict[str, set[str]]:
    """The Message-IDs of the first mails that the outbox's notices stand for."""
    from sqlmodel import select  # noqa: PLC0415 - used here only

    from approvals.store.rows.notices import NoticeRow  # noqa: PLC0415 - used here only

    with running.service.store.read() as tx:
        rows = list(
            tx.session.exec(
                select(NoticeRow.person, NoticeRow.id).where(NoticeRow.kind == "request")
            )
        )
    assert len(rows) == 2 * requests
    host = running.service.settings.rp_id
    found: dict[str, set[str]] = {}
    for person, notice in rows:
        found.setdefault(f"{person}@example.com", set()).add(f"<{notice}.1@{host}>")
    return found


def _nothing_is_due(running: Running) -> bool:
    with running.service.store.read() as tx:
        return tx.standing.outbox("email", most=1) == (0, None)
