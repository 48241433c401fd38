"""Places that are held: nobody takes them all."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.core.errors import Unavailable
from approvals.flow.places import Places


def places(total: int, *, each: int | None = None) -> Places[str]:
    return Places(total, each=each, code="too_many", message="too many")


def fill(of: Places[str], holder: str, held: contextlib.ExitStack) -> int:
    """Take what there is; gives how many it was."""
    before = of.taken
    with contextlib.suppress(Unavailable):
        while True:
            held.enter_context(of.take(holder))
    return of.taken - before


def test_one_takes_half_and_the_next_finds_some() -> None:
    shared = places(16)
    with contextlib.ExitStack() as held:
        assert fill(shared, "a", held) == 8
        assert fill(shared, "b", held) == 4
        assert fill(shared, "c", held) == 2
        assert shared.taken == 14
    assert shared.taken == 0


def test_one_has_no_more_than_is_said() -> None:
    with contextlib.ExitStack() as held:
        shared = places(100, each=3)
        assert fill(shared, "a", held) == 3
        with pytest.raises(Unavailable) as refused, shared.take("a"):
            pass
        assert refused.value.code == "too_many"


def test_a_place_comes_back_however_its_block_ends() -> None:
    shared = places(4)
    with pytest.raises(KeyError), shared.take("a"):
        raise KeyError
    assert shared.taken == 0
    with contextlib.ExitStack() as held:
        assert fill(shared, "a", held) == 2


@given(
    total=st.integers(2, 60),
    greedy=st.integers(1, 5),
    order=st.lists(st.integers(0, 4), max_size=400),
)
def test_who_comes_last_finds_a_place_however_many_take_what_they_can(
    total: int, greedy: int, order: list[int]
) -> None:
    shared = places(total)
    with contextlib.ExitStack() as held:
        for one in order:
            with contextlib.suppress(Unavailable):
                held.enter_context(shared.take(str(one % greedy)))
        if total >= 2**greedy:
            with shared.take("newcomer"):
                assert shared.taken <= total
