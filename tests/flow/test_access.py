"""What somebody may do is read in the transaction in which they do it.

Each caller here was let in while it still held; another process then activates a bundle under which
it does not. Nothing is granted, spent, ended, shown or told to it from then on.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlmodel import func, select

from approvals.api.waiting import Waiting
from approvals.core import canonical
from approvals.core.calls import ToolCall, call_hash
from approvals.core.errors import AssentError, Unauthenticated
from approvals.core.requests import State
from approvals.flow import status
from approvals.flow.acting.caller import Caller, Submission
from approvals.flow.asking import answers, cancel, submit
from approvals.flow.auditing import evidence
from approvals.flow.granting import consume, report
from approvals.flow.operating.activate import activate
from approvals.flow.people.directory import directory_for
from approvals.flow.service import Service
from approvals.flow.status import RequestStatus
from approvals.store import open_store
from approvals.store.rows.log import LeafRow, StagedRow
from tests.company import make_signing_key
from tests.progress import until
from tests.service import AGENTS, ENFORCER, TARGET, bundle_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.service import Running

BALANCE = ToolCall(TARGET, "balance", {"account": "acc-1"})
OTHER_TARGET = "https://other.example"
NEW_KEY = make_signing_key().public_jwk()
AGENTS_TWO = AGENTS.rstrip() + AGENTS.replace("agents:", "").replace("billing-agent", "other-agent")


@dataclass
class Held:
    """What an enforcer has got while it was one: ids to do something with."""

    request: str
    live: str
    spent: str
    asked: str


def elsewhere(running: Running, enforcers: Mapping[str, Any]) -> None:
    """Another process makes a bundle current that has these enforcers."""
    here = running.service
    store = open_store(here.settings.database_url, mac=here.keys.seal)
    files = bundle_files(
        running.enforcer_key.public_jwk(),
        enforcers_yaml=json.dumps({"enforcers": enforcers}),
        agents_yaml=AGENTS_TWO,
    )
    activate(Service(store, here.keys, here.settings), tenant="default", files=files, by="ops")
    store.close()


def submission(key: str | None = None, user: str = "uma") -> Submission:
    return Submission(
        call=BALANCE,
        agent="billing-agent",
        user=user,
        body_digest=canonical.digest(BALANCE.args),
        idempotency_key=key,
    )


def allowed(running: Running, key: str | None = None) -> str:
    answer = submit.submit(running.service, running.caller, submission(key))
    assert isinstance(answer, answers.Allowed)
    return "apr_" + answer.id[4:]


def use(running: Running, caller: Caller, jti: str) -> str:
    return consume.consume(
        running.service, caller, jti, call_hash=call_hash(BALANCE), use_id="first"
    )


def holdings(running: Running) -> Held:
    """A request that waits, an approval that lives, one that was spent, and a verdict's answer."""
    whole = {ENFORCER: {"keys": [running.enforcer_key.public_jwk()], "targets": [TARGET]}}
    elsewhere(running, whole)
    spent = allowed(running)
    use(running, running.caller, spent)
    live = allowed(running, "key-1")
    held = Held(running.opened(), live, spent, "vrd_" + live[4:])
    assert status.status(running.service, running.caller, held.request).state == "pending"
    return held


ACTS: dict[str, Callable[[Running, Caller, Held], object]] = {
    "submit": lambda it, who, _: submit.submit(it.service, who, submission()),
    "submit again under its key": lambda it, who, _: submit.submit(
        it.service, who, submission("key-1")
    ),
    "submit what is denied": lambda it, who, _: submit.submit(
        it.service, who, submission(user="nobody")
    ),
    "look": lambda it, who, held: status.status(it.service, who, held.request),
    "spend": lambda it, who, held: use(it, who, held.live),
    "spend again": lambda it, who, held: use(it, who, held.spent),
    "evidence of a request": lambda it, who, held: evidence.evidence(it.service, who, held.request),
    "evidence of a verdict": lambda it, who, held: evidence.evidence(it.service, who, held.asked),
    "report": lambda it, who, held: report.report(it.service, who, held.spent, status="ok"),
    "directory": lambda it, who, _: directory_for(it.service, who),
    "withdraw": lambda it, who, held: cancel.cancel(it.service, who, held.request),
}


def events(running: Running) -> int:
    """How many events there are, in the log and in line for it."""
    with running.service.store.read() as tx:
        return sum(
            tx.session.exec(select(func.count()).select_from(row)).one()
            for row in (LeafRow, StagedRow)
        )


async def stay() -> dict[str, str]:
    """A caller that stays connected."""
    await asyncio.sleep(600)
    return {"type": "http.disconnect"}


def outcome(act: Callable[[], object]) -> str:
    try:
        act()
    except AssentError as error:
        return error.code
    return "done"


def outcomes(running: Running, caller: Caller, held: Held) -> dict[str, str]:
    """What each act comes to, one after the other."""
    return {name: outcome(partial(act, running, caller, held)) for name, act in ACTS.items()}


@pytest.mark.parametrize("change", ["removed", "key replaced"])
def test_a_removed_enforcer_or_key_does_nothing_more(running: Running, change: str) -> None:
    held = holdings(running)
    charge = {"keys": [NEW_KEY], "targets": [TARGET]}
    elsewhere(running, {ENFORCER if change == "key replaced" else "another": charge})
    before = events(running)
    found = outcomes(running, running.caller, held)
    assert found == dict.fromkeys(ACTS, "unauthenticated")
    assert events(running) == before  # nothing happened that the log would tell of


@pytest.mark.parametrize("change", ["target", "agent"])
def test_a_target_or_agent_that_was_taken_away_is_not_the_enforcers_any_more(
    running: Running, change: str
) -> None:
    held = holdings(running)
    public = running.enforcer_key.public_jwk()
    lost: dict[str, Any] = {"keys": [public], "targets": [TARGET]}
    code = "target_not_guarded"
    if change == "target":
        lost["targets"] = [OTHER_TARGET]
    else:
        lost["agents"], code = ["other-agent"], "agent_not_served"
    elsewhere(running, {ENFORCER: lost, "another": {"keys": [NEW_KEY], "targets": [TARGET]}})
    # It is told only of what it did before the change: the receipt of that use, the outcome.
    refused = {name: code for name in ACTS if name.startswith("submit")}
    assert outcomes(running, running.caller, held) == {
        **dict.fromkeys(ACTS, "not_found"),
        **refused,
        "spend": "revoked",
        "spend again": "done",
        "report": "done",
        "directory": "done",
    }


def test_a_second_key_goes_on_when_the_first_is_taken_away(running: Running) -> None:
    held = holdings(running)
    elsewhere(running, {ENFORCER: {"keys": [NEW_KEY], "targets": [TARGET]}})
    running.service.forget_recent("default")  # by which a caller is let in, a second later
    second = Caller("default", ENFORCER, str(NEW_KEY["kid"]))
    assert outcomes(running, second, held) == dict.fromkeys(ACTS, "done")


def test_another_enforcer_of_the_same_target_and_agent_gets_nothing_of_it(
    running: Running,
) -> None:
    held = holdings(running)
    charges = {
        ENFORCER: {"keys": [running.enforcer_key.public_jwk()], "targets": [TARGET]},
        "another": {"keys": [NEW_KEY], "targets": [TARGET]},
    }
    elsewhere(running, charges)
    running.service.forget_recent("default")
    found = outcomes(running, Caller("default", "another", str(NEW_KEY["kid"])), held)
    asks = {name for name in ACTS if name.startswith("submit")}  # and gets answers of its own
    assert found == {
        name: "done" if name in asks or name == "directory" else "not_found" for name in ACTS
    }


def test_a_key_that_was_taken_away_learns_nothing_by_waiting_beside_one_that_was_not(
    running: Running,
) -> None:
    """Two callers of one enforcer that wait for one request are told apart by their keys."""
    held = holdings(running)
    both = [running.enforcer_key.public_jwk(), NEW_KEY]
    elsewhere(running, {ENFORCER: {"keys": both, "targets": [TARGET]}})
    kept = Caller("default", ENFORCER, str(NEW_KEY["kid"]))

    async def wait() -> list[RequestStatus | BaseException]:
        waiting = Waiting(running.service, total=10)
        waiting.start()
        waits = [
            asyncio.ensure_future(
                waiting.until_decided(each, held.request, seconds=600, receive=stay)
            )
            for each in (running.caller, kept)
        ]
        await asyncio.to_thread(until, lambda: waiting.parked == len(waits))
        elsewhere(running, {ENFORCER: {"keys": [NEW_KEY], "targets": [TARGET]}})
        await asyncio.to_thread(cancel.cancel, running.service, kept, held.request)
        told = await asyncio.gather(*waits, return_exceptions=True)
        waiting.stop()
        return told

    lost, found = asyncio.run(wait())
    assert isinstance(lost, Unauthenticated)
    assert isinstance(found, RequestStatus)
    assert found.state is State.CANCELLED
