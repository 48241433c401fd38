"""How often something may be begun, by one and by all."""

from __future__ import annotations

import contextlib

import pytest

from approvals.core.errors import TooMany
from approvals.flow import rates
from approvals.flow.rates import Rates, network_of


def taken(of: Rates, caller: str, *, now: float, tries: int) -> int:
    count = 0
    for _ in range(tries):
        with contextlib.suppress(TooMany):
            of.take(caller, now=now)
            count += 1
    return count


def test_one_begins_so_many_and_then_again_as_time_passes() -> None:
    limited = Rates(each=60)
    assert taken(limited, "a", now=0, tries=100) == 60
    with pytest.raises(TooMany) as refused:
        limited.take("a", now=0)
    assert (refused.value.code, refused.value.retry_after) == ("rate_limited", 1)
    assert taken(limited, "b", now=0, tries=1) == 1
    assert taken(limited, "a", now=10, tries=100) == 10
    assert taken(limited, "a", now=5, tries=100) == 0  # no clock brings anything back
    assert taken(limited, "a", now=10_000, tries=100) == 60


def test_who_says_when_to_come_back_is_right() -> None:
    limited = Rates(each=10)
    assert taken(limited, "a", now=0, tries=20) == 10
    with pytest.raises(TooMany) as refused:
        limited.take("a", now=0)
    assert taken(limited, "a", now=refused.value.retry_after - 1, tries=1) == 0
    assert taken(limited, "a", now=refused.value.retry_after, tries=1) == 1


def test_whoever_floods_locks_nobody_out() -> None:
    limited = Rates(each=60, overall=600)
    flooding = [f"flood {number}" for number in range(50)]
    now, let_in, of_flood = 0.0, 0, 0
    for _ in range(600):  # fifty flood, and twice a second somebody else comes
        now += 0.5
        of_flood += sum(taken(limited, each, now=now, tries=5) for each in flooding)
        let_in += taken(limited, f"person {now}", now=now, tries=1)
    assert let_in == 600
    assert of_flood + let_in <= 600 + 600 * 5  # what there is at once, and what comes in a minute


def test_all_together_begin_so_many() -> None:
    limited = Rates(each=60, overall=100)
    let_in = sum(taken(limited, str(number), now=0, tries=1) for number in range(1_000))
    assert let_in == 100


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_CALLERS", 10)
    limited = Rates(each=5)
    for number in range(100):
        limited.take(str(number), now=0)
    assert limited.callers == 10
    limited.take("later", now=61)
    assert limited.callers == 1


def test_an_address_is_its_subscribers() -> None:
    assert network_of("203.0.113.7") == "203.0.113.7"
    assert (
        network_of("2001:db8:1:2:3:4:5:6") == network_of("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    )
    assert network_of("2001:db8:1:3::1") != network_of("2001:db8:1:2::1")
    assert network_of("::ffff:203.0.113.7") == "203.0.113.7"
    assert network_of("") == ""
