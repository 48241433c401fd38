"""A service for tests: a small bundle, a real database, software passkeys for its people."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from approvals.api.server import Server
from approvals.config import load
from approvals.core import canonical
from approvals.core.calls import ToolCall
from approvals.core.decision.ceremony import Decision
from approvals.core.jws import SigningKey
from approvals.flow.acting import sight
from approvals.flow.acting.caller import Caller, Submission
from approvals.flow.asking import answers, submit
from approvals.flow.deciding import vote
from approvals.flow.integrity.introduce import introduce
from approvals.flow.operating.activate import activate, current
from approvals.flow.people import enrol, signin
from approvals.flow.service import Service
from approvals.keys import Keyring
from approvals.store import open_store
from tests.company import new_key
from tests.softkey import SoftKey
from tests.started import Started

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from fastapi import FastAPI

    from approvals.config import Settings
    from approvals.core.canonical import Json
    from approvals.core.requests import State
    from approvals.flow.acting.session import Session

TARGET = "https://payments.example"
ENFORCER = "payments-gateway"

PEOPLE = """
people:
  ada: {name: Ada Okafor}
  ben: {name: Ben Silva}
  cleo: {name: Cleo Marsh}
  ops: {name: Olu Price}
  uma: {name: Uma Reyes}
groups:
  finance: [ada, ben, uma]
  managers: [cleo]
"""

AGENTS = """
agents:
  billing-agent:
    owner: cleo
    purpose: Pays invoices
    model: test-model-1
    tier: 2
    users: [ada, ben, cleo, uma]
"""

TOOLS = """
risk_groups:
  money-movement: Money leaves the company
  reading: Nothing changes
tools:
  - name: transfer
    target: https://payments.example
    title: Transfer money
    groups: [money-movement]
    owner: finance
    schema:
      type: object
      additionalProperties: false
      required: [amount, to]
      properties:
        amount: {type: string, x-cedar: decimal}
        to: {type: string}
        memo: {type: string}
    display:
      - {path: /amount, label: Amount, kind: money, currency: EUR}
      - {path: /to, label: To, kind: address}
  - name: balance
    target: https://payments.example
    title: Read a balance
    groups: [reading]
    owner: finance
    schema:
      type: object
      additionalProperties: false
      required: [account]
      properties:
        account: {type: string}
        note: {type: string}
"""

RULES = """
@id("permit-all")
permit (principal, action, resource);

@id("large-transfers")
@reason("Transfers of 500 and more need two people from finance")
@approvers("finance") @quorum("2") @step_up("passkey") @ttl("15m")
forbid (principal, action in Action::"money-movement", resource)
when { context.args.amount.greaterThanOrEqual(decimal("500.00")) }
unless { context.approved };

@id("small-transfers")
@reason("Any transfer needs one person from finance")
@approvers("finance") @quorum("1") @step_up("passkey") @ttl("15m")
forbid (principal, action in Action::"money-movement", resource)
when { context.args.amount.lessThan(decimal("500.00")) }
unless { context.approved };

@id("no-huge-transfers")
@reason("Transfers of 100,000 and more are not made by agents")
forbid (principal, action in Action::"money-movement", resource)
when { context.args.amount.greaterThanOrEqual(decimal("100000.00")) };
"""


def bundle_files(public_jwk: Mapping[str, Json], **changes: str) -> dict[str, str]:
    """The bundle, with the enforcer's public key; `changes` replace whole files by name."""
    enforcers = {"enforcers": {ENFORCER: {"keys": [public_jwk], "targets": [TARGET]}}}
    files = {
        "people.yaml": PEOPLE,
        "agents.yaml": AGENTS,
        "tools.yaml": TOOLS,
        "enforcers.yaml": json.dumps(enforcers, indent=1),
        "policies/payments.cedar": RULES,
    }
    names = {name.replace("/", "_").replace(".", "_"): name for name in files}
    return {**files, **{names[key]: text for key, text in changes.items()}}


def caller_of(service: Service, enforcer: str = ENFORCER) -> Caller:
    """An enforcer of the current bundle, as its token would make it known."""
    registered = current(service, "default").enforcers[enforcer]
    return Caller("default", enforcer, str(registered.keys[0]["kid"]))


@dataclass
class Peopled:
    """A service and the people who decide in it, each with a software passkey."""

    service: Service
    passkeys: dict[str, SoftKey] = field(default_factory=dict, kw_only=True)
    sessions: dict[str, Session] = field(default_factory=dict, kw_only=True)
    tokens: dict[str, str] = field(default_factory=dict, kw_only=True)

    def enrol(self, person: str, **options: Any) -> None:
        """Invite a person and enrol a software passkey of theirs, which signs them in."""
        replaces = options.pop("replaces", None)
        invitation = enrol.invite(self.service, tenant="default", person=person, replaces=replaces)
        begun = enrol.begin(self.service, invitation.url.rsplit("/", 1)[1])
        settings = self.service.settings
        seed = options.pop("seed", person)
        key = SoftKey(seed, rp_id=settings.rp_id, origin=settings.url, **options)
        token = enrol.finish(self.service, begun.id, key.register(begun.options))
        session = signin.session(self.service, token)
        assert session is not None
        self.passkeys[person], self.sessions[person] = key, session
        self.tokens[person] = token

    def session(self, person: str) -> Session:
        """The person, signed in, again if it was too long ago; who has no passkey gets one."""
        if person not in self.sessions:
            self.enrol(person)
        elif signin.session(self.service, self.tokens[person]) is None:
            self.sign_in(person)
        return self.sessions[person]

    def sign_in(self, person: str) -> None:
        """Sign a person in anew, with the passkey that they have."""
        self.service.forget_recent("default")  # a test may have moved the clock
        begun = signin.begin(self.service)
        answer = self.passkeys[person].authenticate(begun.options)
        token = signin.finish(self.service, begun.id, answer)
        session = signin.session(self.service, token)
        assert session is not None
        self.sessions[person], self.tokens[person] = session, token

    def decide(
        self, person: str, request_id: str, decision: str = "approve", reason: str | None = None
    ) -> State:
        """Let a person look and decide with their passkey."""
        session = self.session(person)
        sight.seen(self.service, session, request_id)
        begun = vote.begin(self.service, session, request_id, Decision(decision))
        credential = self.passkeys[person].authenticate(begun.options)
        return vote.finish(self.service, session, begun.id, credential, reason=reason)


def open_service(settings: Settings) -> Service:
    """A service with fresh keys, on the database that the settings name."""
    keys = Keyring.open(settings.home, now=int(time.time()), origin=settings.log_origin)
    service = Service(
        store=open_store(settings.database_url, mac=keys.seal), keys=keys, settings=settings
    )
    introduce(service)
    return service


@contextlib.contextmanager
def serving(app: FastAPI, listening: socket.socket) -> Iterator[None]:
    """The application behind a real server, until the block ends."""
    server = Server(app, app.state.api.service.settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        thread.join()


@dataclass
class Running(Peopled):
    """The service with its people and its one enforcer."""

    enforcer_jwk: dict[str, str]

    @property
    def enforcer_key(self) -> SigningKey:
        """The enforcer's key as one signs with it."""
        return SigningKey.from_jwk(self.enforcer_jwk)

    @property
    def caller(self) -> Caller:
        """The enforcer."""
        return Caller("default", ENFORCER, self.enforcer_key.kid)

    def submit(
        self, amount: str = "750.00", *, user: str = "uma", tool: str = "transfer", **more: Any
    ) -> answers.Answer:
        """Submit a transfer, or a reading of a balance."""
        args: dict[str, Any] = (
            {"amount": amount, "to": "vendor@example.com"}
            if tool == "transfer"
            else {"account": amount}
        )
        args.update(more.pop("args", {}))
        call = ToolCall(TARGET, tool, args)
        return submit.submit(
            self.service,
            self.caller,
            Submission(
                call=call,
                agent="billing-agent",
                user=user,
                body_digest=canonical.digest(args),
                **more,
            ),
        )

    def opened(self, amount: str = "750.00", **more: Any) -> str:
        """The id of a request for a transfer."""
        answer = self.submit(amount, **more)
        assert isinstance(answer, answers.Opened), answer
        return answer.id


UNLIMITED = {
    "cooldown": 0,
    "open_per_agent": 10_000,
    "open_per_tool": 10_000,
    "view_seconds": 0,
    "log_patience": 3600,
    "ceremonies_per_minute": 1_000_000,
    "ceremonies_per_minute_overall": 1_000_000,
}
"""Settings for tests of something else: nobody waits, agents may ask as much as they like, and
nothing has to sequence the log meanwhile."""


def start(
    home: Path, database: str, *, people: tuple[str, ...] = ("ada", "ben"), **settings: Any
) -> Running:
    """Start a service on an empty database and enrol people.

    What one such service was started with in the last minutes is copied, where another starts as
    it did: nothing that a test can see differs.
    """
    options = {**UNLIMITED, **settings}
    loaded = load(home=home / "assent", database=database, **options)
    key = (database.partition(":")[0], people, repr(sorted(options.items())))
    started = _STARTED.get(key)
    if started is not None and started.is_fresh() and started.lay(loaded.home, database):
        running = Running(open_service(loaded), started.enforcer_jwk)
        started.move_in(running)
        return running
    running = Running(open_service(loaded), new_key())
    activate(
        running.service,
        tenant="default",
        files=bundle_files(running.enforcer_key.public_jwk()),
        by="ops",
    )
    for person in people:
        running.enrol(person)
    if options["log_patience"] == UNLIMITED["log_patience"]:
        _STARTED[key] = Started.of(running, home=loaded.home, database=database)
    return running


_STARTED: dict[tuple[object, ...], Started] = {}
