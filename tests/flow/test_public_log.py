"""The log that everybody can read gives nothing back: no payload, no person, no output, no rule.

Everything secret that a story has is a candidate: the attacker guesses it right, and must still
find nothing in any leaf that says so. The story makes every type of event that the service makes.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from sqlalchemy import text

from approvals import log
from approvals.core import b64, canonical
from approvals.core.calls import ToolCall, call_hash
from approvals.core.errors import Conflict
from approvals.core.history import leaves as leaves_
from approvals.core.history.events import (
    EVENTS,
    ClockRepaired,
    Event,
    LogClosed,
    LogReopened,
    LogRestored,
    RequestRevoked,
    ServiceMoved,
    shape_of,
)
from approvals.core.history.leaves import parse_leaf, verify_opening
from approvals.flow.acting.caller import Provenance
from approvals.flow.asking import cancel, expire
from approvals.flow.asking.answers import Allowed, Denied
from approvals.flow.granting import consume, report
from approvals.flow.integrity import introduce
from approvals.flow.operating.activate import activate
from approvals.flow.people import enrol, linking, retire
from approvals.flow.telling.deliver import GiveUp, deliver
from approvals.flow.telling.follow import follow
from tests.flow.mailing import WITH_MAIL, Recorder
from tests.service import RULES, TARGET, bundle_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from approvals.core.canonical import Json
    from tests.service import Running

PROMPT = "Pay the invoice 7781 of vendor@example.com"
MODEL = "model-x-2026"
OUTPUT: dict[str, Json] = {"paid": True, "confirmation": "A-1"}
CALL = ToolCall(TARGET, "transfer", {"amount": "750.00", "to": "vendor@example.com"})
NOT_EMITTED: set[type[Event]] = {
    RequestRevoked,
    LogClosed,
    LogReopened,
    LogRestored,
    ServiceMoved,
    ClockRepaired,
}
"""Not in the story: what happens when a database is restored, the log was altered, a clock was
wrong, or the service moved to another address."""


def story(running: Running, later: Callable[[int], None]) -> None:
    service, caller = running.service, running.caller
    rules = RULES.replace(
        '@approvers("finance")', '@approvers("finance | managers") @escalate("5m: managers")'
    )
    files = bundle_files(
        running.enforcer_key.public_jwk(), policies_payments_cedar=rules, people_yaml=WITH_MAIL
    )
    activate(service, tenant="default", files=files, by="ops")
    introduce.introduce(service)
    service.keys.rotate(service_now(running), delay=60)
    introduce.introduce(service)
    told: dict[str, Any] = {
        "task": "invoice-7781",
        "explanation": PROMPT,
        "provenance": Provenance(
            model=MODEL, prompt_hash=digest_text(PROMPT), context_refs=("crm:7781",)
        ),
    }
    spent = running.opened(**told)
    running.opened(**told)
    for person in ("ada", "ben"):
        running.decide(person, spent)
    jti = "apr_" + spent[4:]
    for use in ("use-of-7781", "another use"):
        with contextlib.nullcontext() if use == "use-of-7781" else pytest.raises(Conflict):
            consume.consume(service, caller, jti, call_hash=call_hash(CALL), use_id=use)
    report.report(service, caller, jti, status="ok", output_hash=canonical.digest(OUTPUT))
    denied = running.opened("20.00", **told)
    running.decide("ben", denied, "deny", "not this vendor")
    withdrawn = running.opened("751.00", **told)
    cancel.cancel(service, caller, withdrawn)
    assert isinstance(running.submit("acc-1", tool="balance"), Allowed)
    assert isinstance(running.submit("100000.00"), Denied)
    begun = linking.begin_link(service, running.sessions["ada"])
    credential = running.passkeys["ada"].authenticate(begun.options)
    code = linking.start_link(service, running.sessions["ada"], "slack", begun.id, credential).code
    linking.finish_link(service, channel="slack", team="T0001", account="U0001", code=code)
    asked = linking.begin_unlink(service, running.sessions["ada"])
    answer = running.passkeys["ada"].authenticate(asked.options)
    linking.unlink(service, running.sessions["ada"], "slack", asked.id, answer)
    running.opened("752.00", **told)
    deliver(service, Recorder(fails=[GiveUp("no_such_user")]), worker="w")
    later(400)
    follow(service)
    later(100)
    follow(service)
    enrol.invite(service, tenant="default", person="ben", replaces=False)
    with service.store.begin() as tx:
        bundle = service.current_bundle(tx, "default").bundle
        retire.retire(tx, bundle, tenant="default", person="ben", reason=retire.Reason.REVOKED)
        retire.end_invitations(tx, tenant="default", person="ben")
    later(3_000)
    expire.expire(service)


def service_now(running: Running) -> int:
    with running.service.store.read() as tx:
        return tx.now


def digest_text(value: str) -> str:
    return b64.encode(hashlib.sha256(value.encode()).digest())


def leaves(running: Running) -> list[tuple[bytes, str]]:
    with running.service.store.read() as tx:
        return [(each.leaf, each.opening) for each in tx.log.staged(limit=10_000)]


def strings(value: Any) -> Iterator[str]:
    """Every text in a leaf, names of members left out."""
    match value:
        case str():
            yield value
        case dict():
            for inner in value.values():
                yield from strings(inner)
        case list():
            for inner in value:
                yield from strings(inner)
        case _:
            pass


def guesses(value: Any) -> Iterator[str]:
    """What a leaf could say from which `value` is found by whoever guesses it."""
    encoded = canonical.encode(value)
    texts = [encoded] if not isinstance(value, str) else [encoded, value.encode()]
    for raw in texts:
        for name in ("sha256", "sha1", "md5", "sha512"):
            made = hashlib.new(name, raw, usedforsecurity=False).digest()
            yield b64.encode(made)
            yield made.hex()
            yield base64.b64encode(made).decode()
    if isinstance(value, str):
        yield value
    # The commitment's own formula, with the salts that a careless implementation would have.
    for salt in (b"", bytes(16), bytes(32)):
        for name in {name for kind in EVENTS.values() for name in shape_of(kind).sealed}:
            own = salt and hashlib.sha256(salt + name.encode()).digest()
            raw = leaves_._COMMITMENT + name.encode() + b"\x00" + own + encoded
            yield b64.encode(hashlib.sha256(raw).digest())


def secrets_of(running: Running) -> list[Any]:
    """Everything that the story's leaves commit to or come of, guessed right."""
    found: list[Any] = [PROMPT, OUTPUT, CALL.args, CALL.canonical().decode()]
    for leaf, opening in leaves(running):
        found += verify_opening(parse_leaf(leaf), orjson.loads(opening)).sealed_members().values()
    with running.service.store.read() as tx:
        for table, columns in {
            "verdict": ("record", "answer", "person", "call_hash", "bundle"),
            "request": ("person", "call_hash", "gist"),
            "request_text": ("call", "display", "explanation"),
            "vote": ("person", "reason"),
            "outcome": ("output_hash", "status"),
            "passkey": ("person", "credential_id"),
            "spend": ("use_id",),
        }.items():
            for row in tx.session.execute(text(f"SELECT {', '.join(columns)} FROM {table}")):  # noqa: S608
                found += [value for value in row if value is not None]
    parsed = []
    for value in found:
        if isinstance(value, str) and value[:1] in "[{":
            parsed.append(json.loads(value))
        if isinstance(value, list):
            parsed += value
        if isinstance(value, dict):
            parsed += value.values()
    # A yes or no, a small number or an empty list says nothing of anything by itself.
    return [value for value in (*found, *parsed) if value not in (None, True, False, 0, 1, [], {})]


@pytest.fixture
def told(running: Running, later: Callable[[int], None]) -> Running:
    story(running, later)
    return running


def test_no_leaf_says_anything_that_can_be_guessed(told: Running) -> None:
    """Law: no open member and no commitment is something secret, or a digest of it."""
    candidates = {
        guess
        for value in map(orjson.dumps, secrets_of(told))
        for guess in guesses(orjson.loads(value))
    }
    assert {call_hash(CALL), canonical.digest(OUTPUT), digest_text(PROMPT)} <= candidates
    seen = set()
    for leaf, _ in leaves(told):
        seen.add(type(parse_leaf(leaf).event))
        members = json.loads(leaf)
        # The type stands there in clear, and a notice of it, which is sealed, has the same name.
        known = {members["tenant"], members["type"]}
        public = [each for each in strings(members) if each not in known]
        assert not candidates.intersection(public), members
    assert seen == set(EVENTS.values()) - NOT_EMITTED


def test_erasing_the_openings_leaves_nothing_and_the_log_whole(told: Running) -> None:
    service = told.service
    log.sequence(service.store, service.keys, now=service_now(told))
    secret = {each for each in map(str, secrets_of(told)) if len(each) > 3}
    with service.store.begin() as tx:
        tx.session.execute(text("UPDATE leaf SET opening = '{}'"))
        size = tx.log.leaf_count()
    with service.store.read() as tx:
        raw = log.entries(tx, 0, size)
    for value in secret - EVENTS.keys() - {"default"}:
        assert value.encode() not in raw, value
    report_ = log.check(service.store, vkeys=[service.keys.vkey])
    assert report_.ok
    assert report_.unopened > 100
