"""A listener that hears nothing knows it, and listens anew; nothing ends its thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import make_url

from approvals.store import postgres
from approvals.store.ear import Ear
from tests.store.away import relayed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.store.away import Relay


class Heard:
    """What an ear told."""

    def __init__(self) -> None:
        self.topics: list[str] = []
        self.changed = threading.Condition()

    def __call__(self, topic: str) -> None:
        with self.changed:
            self.topics.append(topic)
            self.changed.notify_all()

    def until(self, topic: str, count: int = 1) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.topics.count(topic) >= count, 30)


@pytest.fixture
def listening(postgres_url: str) -> Iterator[tuple[Relay, Ear, Heard]]:
    with relayed(postgres_url) as (relay, url):
        heard = Heard()
        ear = Ear(
            make_url(url.replace("postgresql://", "postgresql+psycopg://")), heard, deaf_after=1.5
        )
        ear.start()
        assert heard.until("")
        yield relay, ear, heard
        relay.silent.clear()
        ear.stop()


def hears(ear: Ear) -> bool:
    return ear.alive


def say(url: str, topic: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_notify('assent', %s)", [topic])


def test_a_connection_that_died_without_a_word_is_replaced(
    listening: tuple[Relay, Ear, Heard], postgres_url: str
) -> None:
    relay, ear, heard = listening
    say(postgres_url, "one")
    assert heard.until("one")
    assert hears(ear)
    relay.silent.set()
    say(postgres_url, "two")  # into the void
    while hears(ear):
        threading.Event().wait(0.05)
    relay.silent.clear()
    relay.cut()
    assert heard.until("", 2)  # everybody looks
    say(postgres_url, "three")
    assert heard.until("three")
    assert hears(ear)


def test_its_heartbeats_are_heard_by_nobody_else(
    listening: tuple[Relay, Ear, Heard], postgres_url: str
) -> None:
    _, ear, heard = listening
    while ear.silence > 0.4:
        threading.Event().wait(0.05)
    say(postgres_url, "end")
    assert heard.until("end")
    assert set(heard.topics) == {"", "end"}


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), RuntimeError, ValueError])
def test_no_error_ends_the_thread(
    listening: tuple[Relay, Ear, Heard],
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    relay, ear, heard = listening
    real = postgres.dial
    failures = threading.Semaphore(0)

    def fails(*_: object, **__: object) -> None:
        failures.release()
        raise error

    monkeypatch.setattr(postgres, "dial", fails)
    relay.cut()
    for _ in range(2):
        assert failures.acquire(timeout=30)
    assert not hears(ear)
    monkeypatch.setattr(postgres, "dial", real)
    assert heard.until("", 2)
    say(postgres_url, "again")
    assert heard.until("again")
