"""Chat accounts: linked by a code, and what a click can do."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from approvals.core.decision.ceremony import Decision
from approvals.core.errors import AssentError
from approvals.core.requests import State
from approvals.flow.deciding import clicks
from approvals.flow.operating.activate import activate
from approvals.flow.people import linking
from tests.service import RULES, TOOLS, bundle_files, start

if TYPE_CHECKING:
    from pathlib import Path

    from tests.service import Running


def link_code(running: Running, person: str) -> str:
    session = running.sessions[person]
    begun = linking.begin_link(running.service, session)
    credential = running.passkeys[person].authenticate(begun.options)
    return linking.start_link(running.service, session, "slack", begun.id, credential).code


def code_of(action: object, *args: object, **named: object) -> str:
    with pytest.raises(AssentError) as caught:
        action(*args, **named)  # type: ignore[operator]  # a function of flow
    return caught.value.code


def test_an_account_is_linked_by_a_code_that_is_used_once(running: Running) -> None:
    code = link_code(running, "ada")
    take = {"channel": "slack", "team": "T1", "code": code}
    assert linking.finish_link(running.service, account="U1", **take) == "ada"
    assert code_of(linking.finish_link, running.service, account="U2", **take) == "link_code"
    found = linking.person_of(running.service, channel="slack", team="T1", account="U1")
    assert found is not None
    assert found.person == "ada"
    assert linking.person_of(running.service, channel="slack", team="T2", account="U1") is None
    again = link_code(running, "ben")
    other = {**take, "code": again}
    assert code_of(linking.finish_link, running.service, account="U1", **other) == "account_linked"
    asked = linking.begin_unlink(running.service, running.sessions["ada"])
    answer = running.passkeys["ada"].authenticate(asked.options)
    linking.unlink(running.service, running.sessions["ada"], "slack", asked.id, answer)
    assert linking.person_of(running.service, channel="slack", team="T1", account="U1") is None


def click(running: Running, person: str, request: str, decision: Decision) -> State:
    return clicks.click(
        running.service,
        running.sessions[person],
        request,
        decision,
        reason=None,
        channel="slack",
    )


def test_a_click_denies_and_does_not_approve_where_a_passkey_is_asked(running: Running) -> None:

    request = running.opened()
    assert code_of(click, running, "ada", request, Decision.APPROVE) == "step_up_needed"
    assert click(running, "ada", request, Decision.DENY) is State.DENIED
    assert code_of(click, running, "ben", request, Decision.DENY) == "not_pending"


@pytest.mark.parametrize("shown", [True, False], ids=["all shown", "a field kept back"])
def test_a_click_approves_where_a_session_is_enough_and_all_is_shown(
    running: Running,
    shown: bool,  # noqa: FBT001 - a parameter of the table above
) -> None:

    files = bundle_files(
        running.enforcer_key.public_jwk(),
        policies_payments_cedar=RULES.replace('@step_up("passkey")', '@step_up("session")'),
        tools_yaml=TOOLS.replace("currency: EUR}", "currency: EUR, summary: true}").replace(
            "kind: address}", f"kind: address, summary: {str(shown).lower()}}}"
        ),
    )
    activate(running.service, tenant="default", files=files, by="ops")
    request = running.opened("20.00")
    if shown:
        assert click(running, "ada", request, Decision.APPROVE) is State.APPROVED
    else:
        assert code_of(click, running, "ada", request, Decision.APPROVE) == "step_up_needed"


def test_a_click_waits_until_the_request_can_have_been_read(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(tmp_path, sqlite_url, view_seconds=5)
    files = bundle_files(
        running.enforcer_key.public_jwk(),
        policies_payments_cedar=RULES.replace('@step_up("passkey")', '@step_up("session")'),
        tools_yaml=TOOLS.replace("currency: EUR}", "currency: EUR, summary: true}").replace(
            "kind: address}", "kind: address, summary: true}"
        ),
    )
    activate(running.service, tenant="default", files=files, by="ops")
    moment = [int(time.time())]
    monkeypatch.setattr(running.service.store, "_now", lambda _session: sum(moment))
    request = running.opened("20.00")
    moment.append(4)
    assert code_of(click, running, "ada", request, Decision.APPROVE) == "looked_too_briefly"
    moment.append(1)
    assert click(running, "ada", request, Decision.APPROVE) is State.APPROVED
    running.service.store.close()


def test_a_callback_is_taken_once(running: Running) -> None:
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: clicks.once(running.service, "digest"), range(32)))
    assert taken.count(True) == 1
