from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import text

from approvals.core.history.events import NoticeGivenUp
from approvals.core.history.leaves import parse_leaf
from approvals.core.requests import State
from approvals.flow.operating.activate import activate
from approvals.flow.telling.deliver import (
    LEASE_SECONDS,
    LONGEST_DELAY,
    PATIENCE,
    GiveUp,
    Message,
    TryAgain,
    deliver,
    pause,
)
from approvals.flow.telling.outbox import stir
from tests.flow.mailing import WITH_MAIL, Recorder
from tests.logged import told
from tests.service import TOOLS, bundle_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Running


@pytest.fixture
def mailing(running: Running) -> Running:
    files = bundle_files(running.enforcer_key.public_jwk(), people_yaml=WITH_MAIL)
    activate(running.service, tenant="default", files=files, by="ops")
    return running


def drain(running: Running, channel: Recorder) -> int:
    total = 0
    while taken := deliver(running.service, channel, worker="w"):
        total += taken
    return total


def test_everybody_who_is_asked_is_told_once(mailing: Running) -> None:
    request = mailing.opened(explanation="trust me")
    channel = Recorder()
    drain(mailing, channel)
    assert sorted(message.recipient.id for message, _ in channel.sent) == ["ada", "ben"]
    assert {message.brief.request_id for message, _ in channel.sent if message.brief} == {request}
    assert drain(mailing, channel) == 0
    mailing.opened(explanation="again")
    assert drain(mailing, channel) == 0


def test_what_changes_is_told_again_under_the_same_id(mailing: Running) -> None:
    request = mailing.opened()
    channel = Recorder()
    drain(mailing, channel)
    first = {message.recipient.id: message.id for message, _ in channel.sent}
    channel.sent.clear()
    mailing.decide("ada", request)
    mailing.decide("ben", request)
    drain(mailing, channel)
    # Two changes before it was sent are one message.
    assert {message.recipient.id: message.id for message, _ in channel.sent} == first
    for message, reference in channel.sent:
        assert reference == f"ref-of-{message.id}"
        assert message.brief is not None
        assert message.brief.state is State.APPROVED


def test_a_channel_that_is_away_is_tried_again_and_loses_nothing(
    mailing: Running, later: Callable[[int], None]
) -> None:
    mailing.opened()
    channel = Recorder(fails=[TryAgain("away"), TryAgain("limited", after=700)])
    assert drain(mailing, channel) == 2
    assert channel.sent == []
    later(60)
    drain(mailing, channel)
    assert len(channel.sent) == 1
    later(700)
    drain(mailing, channel)
    assert len({message.recipient.id for message, _ in channel.sent}) == 2


@given(
    attempts=st.integers(min_value=0, max_value=10**9),
    after=st.none() | st.integers(min_value=-(10**30), max_value=10**30),
    spread=st.floats(min_value=0.5, max_value=1.5),
)
@example(attempts=1024, after=None, spread=1.0)
@example(attempts=1, after=0, spread=0.5)
def test_a_pause_is_never_none_and_never_longer_than_is_said(
    attempts: int, after: int | None, spread: float
) -> None:
    seconds = pause(attempts, after=after, spread=spread)
    assert 1 <= seconds <= LONGEST_DELAY * 1.5
    assert seconds >= min(after or 0, LONGEST_DELAY)
    assert seconds >= pause(attempts, after=None, spread=spread)
    assert pause(attempts + 1, after=after, spread=spread) >= seconds


def test_a_channel_that_says_at_once_is_asked_less_and_less_often(
    mailing: Running, later: Callable[[int], None]
) -> None:
    mailing.opened()
    channel = Recorder(fails=[TryAgain("away", after=0)] * 2_000)
    for _ in range(600):
        drain(mailing, channel)
        later(1)
    # Two notices; each is tried after 2, 4, 8, … seconds, whatever the channel says.
    assert 8 <= 2_000 - len(channel.fails) <= 2 * 11


def test_a_notice_after_a_thousand_attempts_is_still_put_off(
    mailing: Running, later: Callable[[int], None]
) -> None:
    mailing.opened()
    channel = Recorder(fails=[TryAgain("away"), TryAgain("away")])
    with mailing.service.store.begin() as tx:
        tx.session.execute(text("UPDATE notice SET attempts = 5000"))
    assert drain(mailing, channel) == 2
    later(int(LONGEST_DELAY * 1.5) + 1)
    drain(mailing, channel)
    assert len(channel.sent) == 2


def test_what_can_never_be_sent_is_given_up_for_all_to_see(
    mailing: Running, later: Callable[[int], None]
) -> None:
    mailing.opened()
    channel = Recorder(fails=[GiveUp("no_such_user")])
    drain(mailing, channel)
    assert len(channel.sent) == 1
    mailing.opened("900.00")
    channel.fails = [TryAgain("away"), TryAgain("away")]
    drain(mailing, channel)
    later(PATIENCE + 1)
    channel.fails = [TryAgain("away"), TryAgain("away")]
    drain(mailing, channel)
    assert drain(mailing, channel) == 0
    with mailing.service.store.read() as tx:
        errors = [opened.error for opened in told(tx, NoticeGivenUp)]
    assert errors == ["no_such_user", "away", "away"]


def test_a_message_that_breaks_its_channel_holds_up_no_other(
    mailing: Running, later: Callable[[int], None]
) -> None:
    mailing.opened()
    mailing.opened("900.00")

    class Breaks(Recorder):
        breaking: str | None = None

        def send(self, message: Message, reference: str | None) -> str | None:
            self.breaking = self.breaking or message.id
            if message.id == self.breaking:
                raise OverflowError("what a peer said was too much")
            return super().send(message, reference)

    channel = Breaks()
    with pytest.raises(OverflowError):
        deliver(mailing.service, channel, worker="w")
    assert len(channel.sent) == 3
    # It is tried again later, and at last given up for all to see.
    assert drain(mailing, channel) == 0
    later(PATIENCE + 1)
    with pytest.raises(OverflowError):
        deliver(mailing.service, channel, worker="w")
    with mailing.service.store.read() as tx:
        errors = [opened.error for opened in told(tx, NoticeGivenUp)]
    assert errors == ["broken"]


def test_what_changes_after_days_has_a_day_of_its_own_to_be_told(
    mailing: Running, later: Callable[[int], None]
) -> None:
    request = mailing.opened()
    channel = Recorder()
    drain(mailing, channel)
    channel.sent.clear()
    later(PATIENCE + 1)
    with mailing.service.store.begin() as tx:
        stir(tx, tenant="default", subject=request)
    channel.fails = [TryAgain("away"), TryAgain("away")]
    assert drain(mailing, channel) == 2
    later(60)
    drain(mailing, channel)
    assert len(channel.sent) == 2
    with mailing.service.store.begin() as tx:
        stir(tx, tenant="default", subject=request)
    channel.fails = [TryAgain("away"), TryAgain("away")]
    drain(mailing, channel)
    later(PATIENCE - 60)
    with mailing.service.store.begin() as tx:
        stir(tx, tenant="default", subject=request)  # more to tell does not prolong the wait
    later(120)
    channel.fails = [TryAgain("away"), TryAgain("away")]
    drain(mailing, channel)
    with mailing.service.store.read() as tx:
        states = [
            leaf.event.TYPE
            for leaf in (parse_leaf(each.leaf) for each in tx.log.staged(limit=1000))
        ]
    assert states.count("notice.given_up") == 2


def test_many_workers_send_each_notice_once(mailing: Running) -> None:
    for number in range(8):
        mailing.opened(f"{600 + number}.00", user="cleo")
    channel = Recorder()
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda n: deliver(mailing.service, channel, worker=f"w{n}", limit=3), range(24)
            )
        )
    drain(mailing, channel)
    ids = [message.id for message, _ in channel.sent]
    assert len(ids) == len(set(ids)) == 16


def test_what_a_dead_worker_held_is_sent_by_another_under_the_same_id(
    mailing: Running, later: Callable[[int], None]
) -> None:
    mailing.opened()

    class Dies(Recorder):
        def send(self, message: Message, reference: str | None) -> str | None:
            super().send(message, reference)
            raise KeyboardInterrupt

    dying = Dies()
    with pytest.raises(KeyboardInterrupt):
        deliver(mailing.service, dying, worker="dying")
    channel = Recorder()
    assert drain(mailing, channel) == 0
    later(LEASE_SECONDS + 1)
    drain(mailing, channel)
    assert dying.sent[0][0].id in {message.id for message, _ in channel.sent}
    assert len(channel.sent) == 2


def test_only_what_the_tools_owner_marked_leaves_in_a_notice(mailing: Running) -> None:
    marked = TOOLS.replace(
        "kind: money, currency: EUR}", "kind: money, currency: EUR, summary: true}"
    )
    files = bundle_files(
        mailing.enforcer_key.public_jwk(), people_yaml=WITH_MAIL, tools_yaml=marked
    )
    activate(mailing.service, tenant="default", files=files, by="ops")
    mailing.opened(args={"memo": "canary-memo"}, explanation="canary-prose")
    channel = Recorder()
    drain(mailing, channel)
    for message, _ in channel.sent:
        assert message.brief is not None
        assert message.brief.fields == (("Amount", "750.00 EUR"),)
        assert message.brief.hidden == 2
        assert "canary" not in repr(message)
        assert "vendor@example.com" not in repr(message)
