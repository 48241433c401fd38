"""What an agent sizes is worked out before the transaction, and what acts on it is still true."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from approvals import policy
from approvals.core import canonical, display
from approvals.core.calls import ToolCall
from approvals.core.errors import Unauthenticated, Unavailable
from approvals.flow.asking import weigh
from approvals.flow.asking.answers import Allowed, Denied, Opened
from approvals.flow.asking.submit import TRIES
from approvals.flow.operating.activate import activate
from tests.service import AGENTS, RULES, bundle_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.service import Running

LIMITED = AGENTS.rstrip() + "\n    limits: {calls_per_hour: 3}\n"
FEW_READINGS = """
@id("few-readings")
forbid (principal, action == Action::"balance", resource)
when { context.usage.tool_hour >= 3 };
"""
NO_READINGS = """
@id("no-readings")
forbid (principal, action == Action::"balance", resource);
"""


def use(running: Running, **changes: str) -> str:
    files = bundle_files(running.enforcer_key.public_jwk(), **changes)
    return activate(running.service, tenant="default", files=files, by="ops")


@pytest.fixture
def inside(running: Running, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collects the work whose size an agent chooses that is done within a transaction."""
    here, done, store = threading.local(), list[str](), running.service.store
    begin = store.begin

    @contextmanager
    def watched() -> Iterator[Any]:
        with begin() as tx:
            here.writing = True
            try:
                yield tx
            finally:
                here.writing = False

    def watch(where: Any, name: str) -> None:
        real: Callable[..., Any] = getattr(where, name)

        def watching(*args: Any, **more: Any) -> Any:
            if getattr(here, "writing", False):
                done.append(name)
            return real(*args, **more)

        monkeypatch.setattr(where, name, watching)

    monkeypatch.setattr(store, "begin", watched)
    watch(policy, "evaluate")
    watch(display, "shown")
    watch(ToolCall, "canonical")
    return done


@pytest.mark.parametrize("changes", [{}, {"agents_yaml": LIMITED}], ids=["plain", "limits"])
def test_what_an_agent_sizes_is_worked_out_before_the_transaction(
    running: Running, inside: list[str], changes: dict[str, str]
) -> None:
    use(running, **changes)
    kinds = [
        type(running.submit("acc-1", tool="balance")),
        type(running.submit("40.00")),
        type(running.submit("40.00")),
        type(running.submit("200000.00")),
    ]
    assert kinds == [Allowed, Opened, Opened, Denied]
    assert inside == []


def test_a_bundle_that_comes_in_between_decides(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, versions = weigh.weigh, list[str]()

    def slow(*args: Any) -> weigh.Weighed:
        weighed = honest(*args)
        if not versions:
            versions.append(use(running, policies_payments_cedar=RULES + NO_READINGS))
        return weighed

    monkeypatch.setattr(weigh, "weigh", slow)
    answer = running.submit("acc-1", tool="balance")
    assert isinstance(answer, Denied)
    assert answer.rules == ("no-readings",)
    with running.service.store.read() as tx:
        verdict = tx.verdicts.get(tenant="default", verdict_id=answer.id)
    assert verdict is not None
    assert verdict.bundle == versions[0]


def test_an_enforcer_that_was_removed_in_between_submits_nothing(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, gone = weigh.weigh, list[str]()

    def slow(*args: Any) -> weigh.Weighed:
        if not gone:
            enforcers = bundle_files(running.enforcer_key.public_jwk())["enforcers.yaml"]
            gone.append(use(running, enforcers_yaml=enforcers.replace("payments-gateway", "new")))
        return honest(*args)

    monkeypatch.setattr(weigh, "weigh", slow)
    with pytest.raises(Unauthenticated):
        running.submit("acc-1", tool="balance")


def test_a_verdict_from_another_time_is_made_again(
    running: Running, monkeypatch: pytest.MonkeyPatch, later: Callable[[int], None]
) -> None:
    honest, passed = weigh.weigh, list[int]()

    def slow(*args: Any) -> weigh.Weighed:
        weighed = honest(*args)
        if not passed:
            passed.append(weigh.FRESH + 1)
            later(passed[0])
        return weighed

    monkeypatch.setattr(weigh, "weigh", slow)
    answer = running.submit("acc-1", tool="balance")
    with running.service.store.read() as tx:
        verdict = tx.verdicts.get(tenant="default", verdict_id=answer.id)
        assert verdict is not None
        facts = policy.recorded_facts(canonical.parse(verdict.record.encode()))
        assert (verdict.created, facts.now) == (tx.now, tx.now)


def test_what_keeps_changing_is_weighed_within_the_transaction_at_last(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, asked = weigh.confirm, list[int]()

    def never(*args: Any) -> weigh.Weighed | None:
        asked.append(1)
        return None if len(asked) <= TRIES else honest(*args)

    monkeypatch.setattr(weigh, "confirm", never)
    assert isinstance(running.submit("acc-1", tool="balance"), Allowed)
    assert len(asked) == TRIES + 1
    monkeypatch.setattr(weigh, "confirm", lambda *_: None)
    with pytest.raises(Unavailable):
        running.submit("acc-2", tool="balance")


@pytest.mark.parametrize(
    "changes",
    [{"agents_yaml": LIMITED}, {"policies_payments_cedar": RULES + FEW_READINGS}],
    ids=["limits", "rules"],
)
def test_calls_at_the_same_moment_do_not_outrun_a_count(
    running: Running, changes: dict[str, str]
) -> None:
    use(running, **changes)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda n: running.submit(f"acc-{n}", tool="balance"), range(24)))
    assert sum(isinstance(answer, Allowed) for answer in answers) == 3
    with running.service.store.read() as tx:
        for answer in answers:
            kept = tx.verdicts.get(tenant="default", verdict_id=answer.id)
            assert kept is not None
            record = canonical.parse(kept.record.encode())
            assert policy.replay(running.service.recent_bundle("default")[0], record)
