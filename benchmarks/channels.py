"""Commit of a request to the message at Slack and at the mail server; notices a second per worker.

Both counterparts are the tests' own, on loopback, talked to over real sockets. The baseline of each
channel is the bare library, sending the very message that the service sent to the very server that
got it, in the same run: smtplib for a mail, a connection each; slack-sdk's chat.postMessage. No aim
is set: a notice is claimed, composed and settled in transactions, and a bare library keeps nothing.
"""

from __future__ import annotations

import smtplib
import statistics
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slack_sdk import WebClient
from sqlalchemy import event
from sqlmodel import Session

from approvals.flow.operating.activate import activate
from approvals.flow.telling.deliver import deliver
from approvals.integrations.email.channel import EmailChannel
from approvals.integrations.slack.channel import SlackChannel
from approvals.workers.delivery import Delivery
from tests.email.mails import Post, mail_server
from tests.service import PEOPLE, bundle_files, start
from tests.slack.counterpart import Counterpart

if TYPE_CHECKING:
    from collections.abc import Callable

    from approvals.flow.telling.deliver import Channel
    from tests.service import Running

ONE_BY_ONE = 200
AT_ONCE = 400
WAIT_SECONDS = 30
AIM = "none: printed"
SETTINGS = {"notice_cap_agent_hour": 10_000, "notice_cap_hour": 10_000}


@dataclass
class Line:
    """A channel, what arrived at its counterpart, and how its bare library sends one message."""

    name: str
    channel: Channel
    arrived: Callable[[], int]
    bare: Callable[[], None]
    library: str


def run() -> list[dict[str, Any]]:
    """Measure both channels on SQLite."""
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        slack = stack.enter_context(Counterpart())
        slack.add_user("U0ADA")
        post = Post()
        port = stack.enter_context(mail_server(post))
        for name in ("slack", "email"):
            company = _company(Path(folder) / name, name, slack, port)
            line = _slack(slack) if name == "slack" else _mail(company, post, port)
            results += [_latency(company, line), _throughput(company, line)]
            company.service.store.close()
    return results


def _company(home: Path, channel: str, slack: Counterpart, port: int) -> Running:
    company = start(
        home,
        f"sqlite:///{home / 'assent.db'}",
        people=("ada",),
        smtp_host="127.0.0.1",
        smtp_port=port,
        smtp_security="none",
        **SETTINGS,
        **slack.settings,
    )
    told = f"Ada Okafor, email: ada@mail.example, slack: U0ADA, channels: [{channel}]}}"
    people = PEOPLE.replace("Ada Okafor}", told)
    files = bundle_files(company.enforcer_key.public_jwk(), people_yaml=people)
    activate(company.service, tenant="default", files=files, by="ops")
    return company


def _slack(slack: Counterpart) -> Line:
    sdk = WebClient(token=slack.bot_token, base_url=slack.api_url)

    def bare() -> None:
        sent = slack.messages[0].arguments
        sdk.chat_postMessage(channel=sent["channel"], text=sent["text"], blocks=sent["blocks"])

    channel = SlackChannel(slack.bot_token, slack.api_url)
    return Line("Slack", channel, lambda: len(slack.messages), bare, "slack-sdk")


def _mail(company: Running, post: Post, port: int) -> Line:
    def bare() -> None:
        with smtplib.SMTP("127.0.0.1", port) as smtp:
            smtp.send_message(post.mails[0])

    channel = EmailChannel(company.service.settings)
    return Line("SMTP", channel, lambda: len(post.received), bare, "smtplib")


def _until(arrived: Callable[[], int], count: int) -> int:
    """Wait until so many have arrived; gives the moment."""
    until = time.monotonic() + WAIT_SECONDS
    while arrived() < count:
        if time.monotonic() > until:
            raise TimeoutError(f"{count - arrived()} messages did not arrive")
        time.sleep(0.0002)
    return time.monotonic_ns()


def _latency(company: Running, line: Line) -> dict[str, Any]:
    """The service's own workers, idle until a commit wakes them; one request after the other."""
    committed: list[int] = []
    here = threading.get_ident()

    def note(_session: Session) -> None:
        if threading.get_ident() == here:
            committed.append(time.monotonic_ns())

    event.listen(Session, "after_commit", note)
    delivery = Delivery(company.service, [line.channel])
    delivery.start()
    took: list[float] = []
    try:
        for number in range(ONE_BY_ONE):
            before = line.arrived()
            company.opened("750.00", args={"memo": f"one {number}"})
            took.append((_until(line.arrived, before + 1) - committed[-1]) / 1e6)
    finally:
        delivery.stop()
        event.remove(Session, "after_commit", note)
    bare: list[float] = []
    for _ in range(ONE_BY_ONE):
        begun = time.perf_counter()
        line.bare()
        bare.append(1000 * (time.perf_counter() - begun))
    p50, p99 = _quantiles(took)
    bare50, bare99 = _quantiles(bare)
    return {
        "name": f"commit of a request to the message at {line.name}, against bare {line.library}",
        "value": round(p99, 2),
        "unit": "ms p99",
        "ratio": round(p99 / bare99, 2),
        "aim": AIM,
        "meets": True,
        "p50_milliseconds": round(p50, 2),
        "bare_p50_milliseconds": round(bare50, 2),
        "bare_p99_milliseconds": round(bare99, 2),
        "ratio_p50": round(p50 / bare50, 2),
        "ratio_p99": round(p99 / bare99, 2),
        "requests": ONE_BY_ONE,
    }


def _throughput(company: Running, line: Line) -> dict[str, Any]:
    """One worker, with everything in the outbox before it begins."""
    for number in range(AT_ONCE):
        company.opened("750.00", args={"memo": f"at once {number}"})
    before = line.arrived()
    begun = time.perf_counter()
    while deliver(company.service, line.channel, worker="benchmark"):
        pass
    rate = AT_ONCE / (time.perf_counter() - begun)
    assert line.arrived() == before + AT_ONCE
    begun = time.perf_counter()
    for _ in range(AT_ONCE):
        line.bare()
    bare = AT_ONCE / (time.perf_counter() - begun)
    return {
        "name": f"notices by one worker to {line.name}, against bare {line.library}",
        "value": round(rate, 1),
        "unit": "/s",
        "ratio": round(rate / bare, 3),
        "aim": AIM,
        "meets": True,
        "bare_per_second": round(bare, 1),
        "ratio_to_bare": round(rate / bare, 3),
        "notices": AT_ONCE,
    }


def _quantiles(times: list[float]) -> tuple[float, float]:
    ordered = sorted(times)
    return statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
