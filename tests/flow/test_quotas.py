"""Quotas belong to an agent and the enforcer that is authenticated, and denied calls have one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from approvals import policy
from approvals.core import canonical
from approvals.core.calls import ToolCall, call_hash
from approvals.core.errors import Conflict, Forbidden
from approvals.core.history.events import CallRefused
from approvals.core.requests import State
from approvals.flow.acting.caller import Caller, Submission
from approvals.flow.asking.answers import Allowed, Answer, Denied, Opened
from approvals.flow.asking.submit import submit
from approvals.flow.asking.weigh import KEPT_CALL
from approvals.flow.auditing import evidence
from approvals.flow.auditing.audit import audit
from approvals.flow.granting import consume
from approvals.flow.operating.activate import activate
from approvals.flow.telling.outbox import Caps, NoticeKind, tell
from approvals.store.notices import NEVER, Notice
from tests.company import make_signing_key
from tests.logged import told
from tests.service import AGENTS, ENFORCER, PEOPLE, TARGET, bundle_files, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.service import Running

OTHER_KEY = make_signing_key().public_jwk()
OTHER = Caller("default", "other-gateway", str(OTHER_KEY["kid"]))


@pytest.fixture
def running(tmp_path: Path, database_url: str) -> Iterator[Running]:
    """Two enforcers and an agent with a limit, and small quotas."""
    service = start(
        tmp_path, database_url, people=(), denied_per_hour=3, open_per_agent=2, open_per_tool=2
    )
    enforcers = {
        name: {"keys": [key], "targets": [TARGET]}
        for name, key in (
            (ENFORCER, service.enforcer_key.public_jwk()),
            (OTHER.enforcer, OTHER_KEY),
        )
    }
    files = bundle_files(
        service.enforcer_key.public_jwk(),
        enforcers_yaml=json.dumps({"enforcers": enforcers}),
        agents_yaml=AGENTS.rstrip() + "\n    limits: {calls_per_hour: 20}\n",
    )
    activate(service.service, tenant="default", files=files, by="ops")
    yield service
    service.service.store.close()


def send(
    running: Running,
    caller: Caller,
    tool: str,
    args: dict[str, Any],
    *,
    agent: str = "billing-agent",
    **more: Any,
) -> Answer:
    call = ToolCall(TARGET, tool, args)
    digest = canonical.digest([tool, args])
    return submit(
        running.service,
        caller,
        Submission(call=call, agent=agent, user="uma", body_digest=digest, **more),
    )


def junk(running: Running, caller: Caller, number: int, **more: Any) -> Denied:
    answer = send(running, caller, "no-such-tool", {"n": number}, **more)
    assert isinstance(answer, Denied)
    return answer


def transfer(running: Running, caller: Caller, number: int) -> Answer:
    return send(running, caller, "transfer", {"amount": f"{number}.00", "to": "x"})


def refusals(running: Running) -> list[object]:
    with running.service.store.read() as tx:
        return [it.code for it in told(tx, CallRefused)]


def test_only_so_many_denied_calls_are_kept(running: Running, later: Callable[[int], None]) -> None:
    codes = [junk(running, running.caller, number).code for number in range(5)]
    assert codes == ["no_tool"] * 3 + ["too_many_denied"] * 2
    assert refusals(running) == ["no_tool"] * 3
    over = junk(running, running.caller, 9)
    assert 0 < (over.retry_after or 0) <= 3660
    with running.service.store.read() as tx:
        assert tx.verdicts.get(tenant="default", verdict_id=over.id) is None
    later(over.retry_after or 0)
    assert junk(running, running.caller, 10).code == "no_tool"


def test_who_is_denied_often_may_still_do_what_is_allowed(running: Running) -> None:
    for number in range(5):
        junk(running, running.caller, number)
    assert isinstance(send(running, running.caller, "balance", {"account": "a"}), Allowed)
    assert isinstance(transfer(running, running.caller, 40), Opened)
    denied = send(running, running.caller, "balance", {})
    assert isinstance(denied, Denied)
    assert denied.code == "too_many_denied"


def test_what_is_not_kept_leaves_its_idempotency_key_unused(running: Running) -> None:
    first = junk(running, running.caller, 0, idempotency_key="k0")
    for number in range(1, 5):
        junk(running, running.caller, number)
    assert junk(running, running.caller, 0, idempotency_key="k0") == first
    assert junk(running, running.caller, 7, idempotency_key="k7").code == "too_many_denied"
    with running.service.store.read() as tx:
        for key, known in (("k0", True), ("k7", False)):
            found = tx.verdicts.known_key(tenant="default", enforcer=ENFORCER, key=key)
            assert (found is not None) is known


def test_a_call_that_people_are_not_asked_about_is_a_denied_one(running: Running) -> None:
    kinds = [transfer(running, running.caller, number) for number in range(1, 8)]
    codes = [answer.code if isinstance(answer, Denied) else "" for answer in kinds]
    assert codes == ["", ""] + ["too_many_open"] * 3 + ["too_many_denied"] * 2
    assert refusals(running) == ["too_many_open"] * 3
    keyed = send(
        running, running.caller, "transfer", {"amount": "90.00", "to": "x"}, idempotency_key="k"
    )
    assert isinstance(keyed, Denied)
    with running.service.store.read() as tx:
        assert tx.verdicts.known_key(tenant="default", enforcer=ENFORCER, key="k") is None


def test_one_enforcers_junk_uses_up_nothing_of_anothers(running: Running) -> None:
    for number in range(1, 30):
        junk(running, OTHER, number)
        junk(running, OTHER, number, agent=f"made-up-{number}")
        if number <= 4:
            transfer(running, OTHER, number)
    assert junk(running, running.caller, 1).code == "no_tool"
    assert isinstance(transfer(running, running.caller, 40), Opened)
    assert isinstance(transfer(running, running.caller, 41), Opened)
    assert isinstance(send(running, running.caller, "balance", {"account": "a"}), Allowed)


def test_an_enforcer_speaks_for_its_agents_alone(running: Running) -> None:
    enforcers = {
        name: {
            "keys": [key],
            "targets": [TARGET],
            **({"agents": ["other-agent"]} if name == OTHER.enforcer else {}),
        }
        for name, key in (
            (ENFORCER, running.enforcer_key.public_jwk()),
            (OTHER.enforcer, OTHER_KEY),
        )
    }
    two = AGENTS + AGENTS.replace("agents:\n", "").replace("billing-agent", "other-agent")
    files = bundle_files(
        running.enforcer_key.public_jwk(),
        enforcers_yaml=json.dumps({"enforcers": enforcers}),
        agents_yaml=two,
    )
    allowed = send(running, OTHER, "balance", {"account": "before"})
    assert isinstance(allowed, Allowed)
    activate(running.service, tenant="default", files=files, by="ops")
    with running.service.store.read() as tx:
        before = len(told(tx, CallRefused))
    for tool, args in (("balance", {"account": "a"}), ("no-such-tool", {})):
        with pytest.raises(Forbidden) as caught:
            send(running, OTHER, tool, args)
        assert (caught.value.code, caught.value.place) == ("agent_not_served", "/agent")
    with running.service.store.read() as tx:
        assert len(told(tx, CallRefused)) == before
        approval = tx.approvals.of(tenant="default", txn=allowed.id)
    assert isinstance(
        send(running, OTHER, "balance", {"account": "a"}, agent="other-agent"), Allowed
    )
    assert isinstance(send(running, running.caller, "balance", {"account": "a"}), Allowed)
    assert approval is not None
    with pytest.raises(Conflict) as revoked:
        consume.consume(
            running.service, OTHER, approval.jti, call_hash=approval.call_hash, use_id="u"
        )
    assert revoked.value.code == "revoked"


def test_agents_that_do_not_exist_share_one_quota(running: Running) -> None:
    codes = [junk(running, running.caller, 1, agent=f"made-up-{n}").code for n in range(5)]
    assert codes == ["no_agent"] * 3 + ["too_many_denied"] * 2
    assert junk(running, running.caller, 2).code == "no_tool"


def test_a_long_call_that_is_denied_is_kept_by_its_hash(running: Running) -> None:
    short: dict[str, Any] = {"account": 7}
    for args, kept in ((short, True), (short | {"note": "x" * KEPT_CALL}, False)):
        call = ToolCall(TARGET, "balance", args)
        answer = send(running, running.caller, "balance", call.args)
        assert isinstance(answer, Denied)
        with running.service.store.read() as tx:
            verdict = tx.verdicts.get(tenant="default", verdict_id=answer.id)
        assert verdict is not None
        assert len(verdict.record) < KEPT_CALL + 1500
        record = canonical.parse(verdict.record.encode())
        bundle = running.service.recent_bundle("default")[0]
        assert policy.replay(bundle, record, call=call)
        if kept:
            assert policy.replay(bundle, record)
            assert evidence.evidence(running.service, running.caller, answer.id)
        else:
            with pytest.raises(Conflict) as caught:
                evidence.evidence(running.service, running.caller, answer.id)
            assert caught.value.code == "call_not_kept"


def test_one_enforcers_notices_leave_room_for_anothers(running: Running) -> None:
    files = bundle_files(
        running.enforcer_key.public_jwk(),
        people_yaml=PEOPLE.replace("Ada Okafor}", "Ada Okafor, email: ada@example.com}"),
    )
    activate(running.service, tenant="default", files=files, by="ops")
    bundle = running.service.recent_bundle("default")[0]
    caps = Caps(agent_hour=2, enforcer_hour=3, hour=5)

    def told(enforcer: str, agent: str, subject: str) -> int:
        with running.service.store.begin() as tx:
            return tell(
                tx,
                bundle,
                NoticeKind.REQUEST,
                tenant="default",
                persons=("ada",),
                subject=f"{enforcer} {agent} {subject}",
                agent=agent,
                enforcer=enforcer,
                caps=caps,
            )

    assert [told("one", "a", str(n)) for n in range(4)] == [1, 1, 0, 0]
    assert [told("one", "b", str(n)) for n in range(4)] == [1, 0, 0, 0]
    assert [told("two", "a", str(n)) for n in range(4)] == [1, 1, 0, 0]
    assert told("two", "b", "0") == 0  # five in all: as many as one person gets


def test_what_was_delivered_is_looked_at_no_more(running: Running) -> None:
    with running.service.store.begin() as tx:
        made = Notice(
            id="ntc_1",
            tenant="default",
            kind="request",
            person="ada",
            channel="email",
            subject="req_1",
            agent="a",
            enforcer="one",
            revision=1,
            sent=0,
            attempts=0,
            reference=None,
            created=tx.now,
            due=tx.now,
        )
        tx.notices.put(made)
        tx.notices.put(replace(made, id="ntc_2", channel="webhook:ops", subject="req_2"))
        assert tx.standing.outbox("email", most=9) == (1, tx.now)
        assert tx.standing.outbox("webhook", most=9) == (1, tx.now)
        claim: dict[str, Any] = {"channel": "email", "lease": "l", "limit": 9}
        (claimed,) = tx.notices.claim(**claim, now=tx.now, until=tx.now + 9)
        assert tx.notices.settle(claimed.id, lease="l", sent=1, reference=None)
        assert tx.standing.outbox("email", most=1) == (0, None)
        next_try = text("SELECT next_try FROM notice WHERE id = 'ntc_1'")
        assert tx.session.execute(next_try).scalar_one() == NEVER
        assert tx.notices.stir(tenant="default", kind="request", subject="req_1", now=tx.now) == 1
        assert len(tx.notices.claim(**claim, now=tx.now, until=tx.now + 9)) == 1


def _events(running: Running, subject: str) -> list[str]:
    with running.service.store.read() as tx:
        history = tx.chains.history(tenant="default", subject=subject)
    return [json.loads(leaf)["type"] for leaf in history.leaves]


def test_an_agent_does_not_lengthen_the_history_of_its_request(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("approvals.flow.asking.submit.KEPT_REPEATS", 3)
    running.enrol("ada")
    request_id = running.opened("20.00")
    for number in range(8):
        answer = running.submit("20.00", idempotency_key=f"key-{number}")
        assert isinstance(answer, Opened)
        assert answer.id == request_id  # found all the same, and with the same key again
        assert running.submit("20.00", idempotency_key=f"key-{number}").id == request_id
    assert _events(running, request_id) == ["request.opened"] + 3 * ["request.repeated"]
    with running.service.store.read() as tx:
        used = tx.counters.usage(
            tenant="default", agent="billing-agent", tool="transfer", now=tx.now
        )
    assert used["agent_hour"] == 4
    assert not audit(running.service)
    assert running.decide("ada", request_id) is State.APPROVED


def test_refused_uses_do_not_lengthen_the_history_of_an_approval(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("approvals.flow.granting.consume.KEPT_REFUSALS", 3)
    allowed = running.submit("1", tool="balance")
    assert isinstance(allowed, Allowed)
    jti = f"apr_{allowed.id[4:]}"

    def use(hashed: str, use_id: str) -> str:
        return consume.consume(
            running.service, running.caller, jti, call_hash=hashed, use_id=use_id
        )

    for number in range(8):
        with pytest.raises(Conflict, match="another call"):
            use("A" * 43, f"use-{number}")
    assert _events(running, allowed.id) == ["call.allowed"] + 3 * ["approval.refused"]
    assert use(call_hash(ToolCall(TARGET, "balance", {"account": "1"})), "once")
    assert not audit(running.service)
