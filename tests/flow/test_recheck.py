"""What changed between the decision and the spending takes an approval away."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from jwcrypto.jwk import JWK

from approvals.core.errors import AssentError
from approvals.core.jws import SigningKey
from approvals.core.requests import State
from approvals.flow import status
from approvals.flow.asking.answers import Allowed
from approvals.flow.granting import consume
from approvals.flow.operating.activate import activate
from approvals.store.rows.people import PasskeyRow
from tests.company import make_signing_key
from tests.service import AGENTS, ENFORCER, PEOPLE, RULES, TARGET, TOOLS, bundle_files

if TYPE_CHECKING:
    from tests.service import Running

LOOSE = '@id("permit-all")\npermit (principal, action, resource);\n'
REDEFINED = TOOLS.replace("memo: {type: string}", "memo: {type: string, maxLength: 9}")


def approved(running: Running, amount: str = "750.00", *, first: str = "ada") -> tuple[str, str]:
    request = running.opened(amount)
    for person in (first, "ben" if first == "ada" else "ada"):
        running.decide(person, request)
    return "apr_" + request[4:], status.status(running.service, running.caller, request).call_hash


def spend(running: Running, jti: str, call_hash: str) -> str:
    try:
        consume.consume(running.service, running.caller, jti, call_hash=call_hash, use_id="u")
    except AssentError as error:
        return error.code
    return "receipt"


def change(running: Running, *, by: str = "ops", **files: str) -> None:
    public = running.enforcer_key.public_jwk()
    activate(running.service, tenant="default", files=bundle_files(public, **files), by=by)


@pytest.mark.parametrize("rules", [RULES, LOOSE], ids=["same rules", "looser rules"])
def test_a_redefined_tool_is_not_what_was_approved(running: Running, rules: str) -> None:
    jti, call_hash = approved(running)
    change(running, tools_yaml=REDEFINED, policies_payments_cedar=rules)
    assert spend(running, jti, call_hash) == "revoked"


def test_nor_what_policy_allowed(running: Running) -> None:
    answer = running.submit("acc-1", tool="balance")
    assert isinstance(answer, Allowed)
    with running.service.store.read() as tx:
        issued = tx.approvals.of(tenant="default", txn=answer.id)
    assert issued is not None
    change(running, tools_yaml=TOOLS.replace("note: {type: string}", "note: {type: integer}"))
    assert spend(running, issued.jti, issued.call_hash) == "revoked"


@pytest.mark.parametrize(
    ("former", "new"),
    [
        ("title: Transfer money", "title: Send money"),
        ("label: To,", "label: Payee,"),
        ("path: /to, label: To, kind: address", "path: /memo, label: To, kind: text"),
        ("kind: address", "kind: text"),
        ("currency: EUR", "currency: USD"),
        ("kind: address}", "kind: address, summary: true}"),
        ("groups: [money-movement]", "groups: [money-movement, reading]"),
        ("owner: finance", "owner: managers"),
        ("title: Transfer money", "title: Transfer money\n    definition_digest: v2"),
    ],
)
def test_a_tool_that_is_shown_classed_or_owned_otherwise_is_not_what_was_approved(
    running: Running, former: str, new: str
) -> None:
    jti, call_hash = approved(running)
    change(running, tools_yaml=TOOLS.replace(former, new, 1))
    assert spend(running, jti, call_hash) == "revoked"
    # The call is asked again, of people who are shown it as it now is.
    again = running.opened()
    assert again != "req_" + jti[4:]
    with running.service.store.read() as tx:
        former_request = tx.requests.get(tenant="default", request_id="req_" + jti[4:])
        request = tx.requests.get(tenant="default", request_id=again)
    assert request is not None
    assert former_request is not None
    assert (
        request.request.document.tool_definition != former_request.request.document.tool_definition
    )


def test_what_is_not_in_the_tools_entry_makes_no_other_tool(running: Running) -> None:
    jti, call_hash = approved(running)
    change(running, tools_yaml=TOOLS.replace("title: Read a balance", "title: Look at a balance"))
    assert spend(running, jti, call_hash) == "receipt"


@pytest.mark.parametrize("targets", [["urn:other"], None], ids=["target given up", "gone"])
def test_an_enforcer_spends_only_for_what_it_still_guards(
    running: Running, targets: list[str] | None
) -> None:
    jti, call_hash = approved(running)
    other = SigningKey.from_jwk(JWK.generate(kty="EC", crv="P-256").export_private(as_dict=True))
    charges = {"another": {"keys": [other.public_jwk()], "targets": [TARGET]}}
    if targets is not None:
        public = running.enforcer_key.public_jwk()
        charges[ENFORCER] = {"keys": [public], "targets": targets}
    change(running, enforcers_yaml=json.dumps({"enforcers": charges}))
    refused = "unauthenticated" if targets is None else "revoked"
    assert spend(running, jti, call_hash) == refused


def test_whoever_left_the_group_no_longer_counts(running: Running) -> None:
    jti, call_hash = approved(running)
    change(running, people_yaml=PEOPLE.replace("[ada, ben, uma]", "[ada, cleo, uma]"))
    assert spend(running, jti, call_hash) == "revoked"


def test_nor_does_who_has_since_activated_the_very_same_rules_alone(running: Running) -> None:
    jti, call_hash = approved(running)
    change(running, by="ben")
    assert spend(running, jti, call_hash) == "revoked"


def test_nor_does_a_passkey_that_was_taken_away(running: Running) -> None:
    jti, call_hash = approved(running)
    with running.service.store.begin() as tx:
        held = tx.passkeys.active(tenant="default", person="ben")[0]
        row = tx.session.get_one(PasskeyRow, held.credential_id)
        row.state = "revoked"
    assert spend(running, jti, call_hash) == "revoked"


def test_what_was_revoked_is_asked_anew(running: Running) -> None:
    jti, call_hash = approved(running)
    change(running, tools_yaml=REDEFINED)
    assert running.opened() == "req_" + jti[4:]
    assert spend(running, jti, call_hash) == "revoked"
    assert running.opened() != "req_" + jti[4:]


MORE = """
@id("a-third")
@reason("Somebody from managers as well")
@approvers("managers")
forbid (principal, action in Action::"money-movement", resource)
unless { context.approved };
"""
LOST = {"target": ("targets", ["urn:other"]), "agent": ("agents", ["other-agent"])}
CHANGES: dict[str, dict[str, str]] = {
    "title": {"tools_yaml": TOOLS.replace("title: Transfer money", "title: Send money")},
    "voter": {"people_yaml": PEOPLE.replace("[ada, ben, uma]", "[ben, cleo, uma]")},
    "another rule": {"policies_payments_cedar": RULES + MORE},
    "user": {"agents_yaml": AGENTS.replace("users: [ada, ben, cleo, uma]", "users: [ada]")},
}


def lessened(running: Running, member: str, value: list[str]) -> str:
    """The enforcer with something else in one member; another one guards its target."""
    other = make_signing_key().public_jwk()
    ours = {"keys": [running.enforcer_key.public_jwk()], "targets": [TARGET], member: value}
    guards = {ENFORCER: ours, "another": {"keys": [other], "targets": [TARGET]}}
    return json.dumps({"enforcers": guards})


@pytest.mark.parametrize("what", [*CHANGES, *LOST])
def test_the_last_vote_gives_nothing_that_could_not_be_spent(running: Running, what: str) -> None:
    request = running.opened()
    assert running.decide("ada", request) is State.PENDING
    if what in LOST:
        agents = AGENTS + AGENTS.replace("billing-agent", "other-agent").replace("agents:\n", "")
        change(running, enforcers_yaml=lessened(running, *LOST[what]), agents_yaml=agents)
    else:
        change(running, **CHANGES[what])
    assert running.decide("ben", request) is State.REVOKED
    with running.service.store.read() as tx:
        assert tx.approvals.of(tenant="default", txn=request) is None
    change(running)  # all as it was: what was revoked stays so, and is asked anew
    assert status.status(running.service, running.caller, request).state is State.REVOKED
    assert running.opened() != request


def test_spenders_of_what_the_same_people_approved_do_not_lock_each_other_out(
    running: Running,
) -> None:
    """The passkeys of an approval are locked while it is spent, always in the same order."""
    issued = [
        approved(running, f"{750 + index}.00", first="ada" if index % 2 else "ben")
        for index in range(8)
    ]
    with ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda each: spend(running, *each), issued)
    assert list(results) == ["receipt"] * 8
