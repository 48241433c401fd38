"""Who holds a connection, and who has to give one up."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from approvals.api import connections
from approvals.api.connections import Connections, places
from approvals.config import load

if TYPE_CHECKING:
    import pytest


class Line:
    """A connection that knows whether it was dropped."""

    def __init__(self) -> None:
        self.dropped = False

    def drop(self) -> None:
        self.dropped = True


def room(**settings: object) -> Connections:
    options = {"max_connections": 16, "connections_per_address": 4, **settings}
    return Connections(load(**options))


def fill(held: Connections, *, count: int, first: int = 0) -> list[Line]:
    lines = [Line() for _ in range(count)]
    for number, line in enumerate(lines, first):
        assert held.admit(line, f"203.0.113.{number}")
    return lines


def test_whose_request_has_not_arrived_gives_way_and_the_oldest_first() -> None:
    held = room()
    lines = fill(held, count=16)
    held.whole(lines[0])  # answered now, so it keeps its place
    assert held.admit(next_one := Line(), "198.51.100.1")
    assert [line.dropped for line in lines[:3]] == [False, True, False]
    assert held.held == 16
    held.again(lines[0])  # idle now, but not for as long as the others
    assert held.admit(Line(), "198.51.100.2")
    assert (lines[0].dropped, lines[2].dropped, next_one.dropped) == (False, True, False)


def test_whoever_is_being_answered_is_not_sent_away() -> None:
    held = room()
    lines = fill(held, count=16)
    for line in lines:
        held.whole(line)
    assert not held.admit(Line(), "198.51.100.1")
    assert not any(line.dropped for line in lines)
    held.leave(lines[5])
    assert held.admit(Line(), "198.51.100.1")
    assert held.held == 16


def test_one_address_has_its_share_and_a_proxy_is_everybody() -> None:
    held = room()
    mine = [Line() for _ in range(4)]
    assert all(held.admit(line, "203.0.113.1") for line in mine)
    assert not held.admit(Line(), "203.0.113.1")
    assert held.admit(Line(), "203.0.113.2")
    held.leave(mine[0])
    held.leave(mine[0])  # twice is once
    assert held.admit(Line(), "203.0.113.1")
    assert not held.admit(Line(), "203.0.113.1")
    assert all(held.admit(Line(), "::1") for _ in range(10))
    behind = room(trusted_proxies="10.0.0.0/8")
    assert all(behind.admit(Line(), "10.1.2.3") for _ in range(10))
    assert sum(behind.admit(Line(), "127.0.0.1") for _ in range(6)) == 4


def test_bodies_that_arrive_take_so_much_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "BODIES", 100)
    held = room()
    idle, slow, other, whole = fill(held, count=4)
    held.arriving(whole, 90)
    held.whole(whole)  # read, so it is not arriving any more
    held.arriving(slow, 60)
    held.arriving(other, 40)
    assert not slow.dropped
    held.arriving(other, 1)
    assert [line.dropped for line in (idle, slow, other, whole)] == [False, True, False, False]
    held.arriving(slow, 1_000)  # gone, so it counts no more
    held.arriving(other, 59)
    assert not other.dropped


def test_descriptors_are_left_for_everything_else() -> None:
    assert places(20_000, of=100_000) == 20_000
    assert places(20_000, of=1_024) == 768
    assert places(20_000, of=100) == 50
    assert places(20_000, of=resource.RLIM_INFINITY) == 20_000
