"""Keys are rotated without a moment in which none would do, whenever a process ends."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from approvals.core.errors import AssentError
from approvals.keys import LONGEST_APPROVAL, KeyState
from tests.keyrings import NOW, files, kids, opened

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_rotation_publishes_first_and_signs_after_its_delay(tmp_path: Path) -> None:
    keyring = opened(tmp_path)
    old = keyring.signer(NOW).kid
    rotation = keyring.rotate(NOW + 10, delay=100)
    new = rotation.introduced.kid
    assert rotation.former.kid == old
    assert rotation.introduced.activates == NOW + 110
    assert rotation.former.retires == NOW + 110 + LONGEST_APPROVAL
    assert kids(keyring, NOW + 10) == [old, new]
    assert keyring.signer(NOW + 109).kid == old
    assert keyring.signer(NOW + 110).kid == new
    gone = NOW + 110 + LONGEST_APPROVAL
    assert kids(keyring, gone - 1) == [old, new]
    assert kids(keyring, gone) == [new]
    former, introduced = keyring.approval_keys
    assert [
        (keyring.state(former, now), keyring.state(introduced, now))
        for now in (NOW + 10, NOW + 110, gone)
    ] == [
        (KeyState.active, KeyState.next),
        (KeyState.former, KeyState.active),
        (KeyState.retired, KeyState.active),
    ]


def test_a_rotation_that_has_not_come_into_effect_is_not_overtaken(tmp_path: Path) -> None:
    keyring = opened(tmp_path)
    keyring.rotate(NOW, delay=100)
    before = files(tmp_path)
    with pytest.raises(AssentError) as caught:
        keyring.rotate(NOW + 99, delay=1)
    assert caught.value.code == "keys_rotation"
    assert files(tmp_path) == before
    keyring.rotate(NOW + 100, delay=0)
    assert len(keyring.approval_keys) == 3


def test_an_emergency_does_not_wait_for_a_rotation_under_way(tmp_path: Path) -> None:
    keyring = opened(tmp_path)
    old = keyring.signer(NOW).kid
    pending = keyring.rotate(NOW, delay=3600).introduced
    emergency = keyring.rotate(NOW + 10, delay=0)
    new = emergency.introduced.kid
    assert [key.kid for key in emergency.withdrawn] == [pending.kid]
    assert emergency.former.kid == old
    assert keyring.signer(NOW + 10).kid == new
    assert kids(keyring, NOW + 10) == [old, new]  # a thief of the folder has the pending one too
    for later in (NOW + 3600, NOW + 10**6):
        assert keyring.signer(later).kid == new
    states = {key.kid: keyring.state(key, NOW + 10) for key in keyring.approval_keys}
    assert states[pending.kid] is KeyState.retired
    again = opened(tmp_path, now=NOW + 20)
    assert kids(again, NOW + 20) == [old, new]
    assert again.rotate(NOW + 30, delay=0).withdrawn == ()


@pytest.mark.parametrize("which", ["active", "former"])
def test_a_key_file_that_is_still_needed_is_missed(tmp_path: Path, which: str) -> None:
    keyring = opened(tmp_path)
    done = keyring.rotate(NOW + 10, delay=0)
    gone = done.introduced if which == "active" else done.former
    path = tmp_path / "keys" / f"approval-{gone.kid}.json"
    path.rename(tmp_path / "kept")
    for create in (True, False):
        with pytest.raises(AssentError) as caught:
            opened(tmp_path, now=NOW + 20, create=create)
        assert caught.value.code == "keys_missing"
        assert caught.value.place == str(path)
        assert "backup" in caught.value.message
    # Nobody needs a retired one to verify what runs; an auditor may.
    if which == "former":
        opened(tmp_path, now=NOW + 10_000)
    (tmp_path / "kept").rename(path)
    assert len(opened(tmp_path, now=NOW + 20).approval_keys) == 2


class Killed(BaseException):
    """The process ends here: nothing that follows runs, no clean-up either."""


STEPS = ("open", "fsync", "unlink", "mkdir", "rename")


def interrupted(monkeypatch: pytest.MonkeyPatch, nth: int, error: BaseException) -> list[str]:
    """Let the n-th step that changes the file system end in `error`; gives those that were done."""
    done: list[str] = []

    def step(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            if name == "open" and arguments[1] & os.O_NONBLOCK:
                return real(*arguments, **options)  # to read a file changes nothing
            done.append(name)
            if len(done) == nth:
                raise error
            return real(*arguments, **options)

        return called

    for name in STEPS:
        monkeypatch.setattr(os, name, step(name, getattr(os, name)))
    return done


def leftovers(home: Path) -> list[str]:
    """Files that may hold a private key under no name of ours."""
    return [path.name for path in home.rglob(".*") if path.name.startswith((".making-", ".keys-"))]


@pytest.mark.parametrize("cause", [Killed(), OSError(28, "No space left on device")])
def test_a_rotation_that_ends_at_any_step_leaves_no_stray_key_and_can_be_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: BaseException
) -> None:
    nth = 0
    finished = False
    while not finished:
        nth += 1
        home = tmp_path / str(nth)
        keyring = opened(home)
        first = keyring.approval_keys[0].kid
        said: str | None = None
        with monkeypatch.context() as patch:
            done = interrupted(patch, nth, cause)
            try:
                keyring.rotate(NOW + 10, delay=60)
            except Killed:
                pass
            except AssentError as error:
                said = error.code
            finished = len(done) < nth
        if said is not None:
            # It is true: the key is not there, or the sentence says that it is.
            there = len(list((home / "keys").glob("approval-*.json"))) == 2
            assert there == (said == "keys_not_durable")
        again = opened(home, now=NOW + 20)
        assert leftovers(home) == []
        assert again.signer(NOW + 20).kid == first
        assert len(again.rotate(NOW + 30, delay=0).withdrawn) == len(again.approval_keys) - 2
        assert opened(home, now=NOW + 40).signer(NOW + 40).kid != first
    assert nth > 5


@pytest.mark.parametrize("cause", [Killed(), OSError(28, "No space left on device")])
def test_first_keys_that_end_at_any_step_are_made_by_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: BaseException
) -> None:
    nth = 0
    finished = False
    while not finished:
        nth += 1
        home = tmp_path / str(nth)
        with monkeypatch.context() as patch:
            done = interrupted(patch, nth, cause)
            with contextlib.suppress(Killed, AssentError):
                opened(home)
            finished = len(done) < nth
        opened(home)
        assert leftovers(home) == []
        assert kids(opened(home), NOW)
    assert nth > 10


def test_a_second_key_of_the_same_second_is_still_the_later_one(tmp_path: Path) -> None:
    keyring = opened(tmp_path)
    rotation = keyring.rotate(NOW, delay=0)
    assert rotation.introduced.activates == NOW + 1
    assert keyring.signer(NOW + 1).kid == rotation.introduced.kid


def test_another_process_hears_of_a_rotation(tmp_path: Path) -> None:
    here, there = opened(tmp_path), opened(tmp_path)
    assert not here.reload_if_changed()
    rotation = there.rotate(NOW, delay=60)
    assert rotation.introduced.kid not in kids(here, NOW)
    assert here.reload_if_changed()
    assert kids(here, NOW) == kids(there, NOW)
    assert not here.reload_if_changed()


def test_a_rotation_that_cannot_be_written_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = opened(tmp_path)
    before = files(tmp_path)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(AssentError) as caught:
            keyring.rotate(NOW, delay=60)
    assert caught.value.code == "keys_unreadable"
    assert files(tmp_path) == before
    assert kids(keyring, NOW) == kids(opened(tmp_path), NOW)


def test_a_clock_behind_the_first_key_still_has_a_signer(tmp_path: Path) -> None:
    keyring = opened(tmp_path)
    assert keyring.signer(NOW - 3600).kid == keyring.signer(NOW).kid


class Rotations(RuleBasedStateMachine):
    """Law: whenever an approval is alive, the key that signed it is published.

    A key that leaves the JWKS too early would make verifiers refuse good approvals; two keys
    signing in turns would show that the order of keys is not well defined.
    """

    def __init__(self) -> None:
        super().__init__()
        self._temporary = tempfile.TemporaryDirectory()
        self.home = Path(self._temporary.name)
        self.now = NOW
        self.keyring = opened(self.home)
        self.signed: list[tuple[int, str]] = []

    def teardown(self) -> None:
        self._temporary.cleanup()

    @rule(seconds=st.integers(1, 1200))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def sign(self) -> None:
        self.signed.append((self.now, self.keyring.signer(self.now).kid))

    @precondition(lambda self: self.keyring.approval_keys[-1].activates <= self.now)
    @rule(delay=st.integers(0, 600))
    def rotate(self, delay: int) -> None:
        self.keyring.rotate(self.now, delay=delay)

    @rule()
    def restart(self) -> None:
        self.keyring = opened(self.home, now=self.now)

    @invariant()
    def every_live_approval_verifies(self) -> None:
        known = kids(self.keyring, self.now)
        for signed, kid in self.signed:
            if self.now <= signed + LONGEST_APPROVAL - 1:
                assert kid in known

    @invariant()
    def keys_follow_one_another(self) -> None:
        order = [key.kid for key in self.keyring.approval_keys]
        places = [order.index(kid) for _, kid in self.signed]
        assert places == sorted(places)


TestRotations = Rotations.TestCase
TestRotations.settings = settings(max_examples=30, stateful_step_count=15, deadline=None)


@given(st.integers(0, 5000))
@settings(max_examples=50, deadline=None)
def test_there_is_one_active_key_at_any_time(offset: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        keyring = opened(Path(folder))
        keyring.rotate(NOW + 100, delay=50)
        keyring.rotate(NOW + 1500, delay=500)
        states = [keyring.state(key, NOW + offset) for key in keyring.approval_keys]
        assert states.count(KeyState.active) == 1
