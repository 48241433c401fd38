"""The whole service on a real port, with a small company in it, for tests of the pages."""

from __future__ import annotations

import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlmodel import SQLModel, select

from approvals.app import build_app
from approvals.client import Client
from approvals.config import load
from approvals.core.calls import ToolCall
from approvals.core.directory import Directory
from approvals.core.jws import verify
from approvals.flow.acting.caller import Submission
from approvals.flow.asking import answers, submit
from approvals.flow.operating import activate
from approvals.flow.people import directory, enrol
from approvals.flow.service import DEFAULT_TENANT, Service
from approvals.guard import Guard
from approvals.store.rows import calls, log, notices, people
from approvals.verifier import Verifier
from tests.company import new_key, public_jwk
from tests.service import UNLIMITED, caller_of, open_service, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastapi import FastAPI

    from approvals.core.canonical import Json

PAYMENTS = "https://payments.example"
ENFORCER = "payments-gateway"
AGENT = "dunning-bot"

PEOPLE = """\
people:
  ada: {name: Ada Lund}
  bo: {name: Bo Chen}
  cleo: {name: Cleo Reyes}
  uma: {name: Uma Olsen}
  otto: {name: Otto Quist}
groups:
  finance: [ada, bo, cleo]
  sales: [uma, ada]
  operators: [ada]
"""

AGENTS = """\
agents:
  dunning-bot:
    owner: otto
    purpose: Chases and settles overdue invoices
    model: small-1
    tier: 2
    users: [sales]
"""

TOOLS = """\
risk_groups:
  money-movement: Money leaves the company
  external-email: Mail to people outside
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
        invoices: {type: array, items: {type: string}}
        memo: {type: string}
    display:
      - {path: /amount, label: Amount, kind: money, currency: EUR}
      - {path: /to, label: To, kind: address}
      - {path: /invoices, label: Invoices, kind: list}
  - name: refund
    target: https://payments.example
    title: Refund a customer
    groups: [money-movement]
    owner: finance
    schema:
      type: object
      additionalProperties: false
      required: [amount, to]
      properties:
        amount: {type: string, x-cedar: decimal}
        to: {type: string}
    display:
      - {path: /amount, label: Amount, kind: money, currency: EUR}
      - {path: /to, label: To, kind: address}
  - name: mail
    target: https://payments.example
    title: Send email to customers
    groups: [external-email]
    owner: finance
    schema:
      type: object
      additionalProperties: false
      required: [to, body]
      properties:
        to: {type: array, items: {type: string}}
        body: {type: string}
    display:
      - {path: /to, label: Recipients, kind: list}
      - {path: /body, label: Text, kind: text}
"""

POLICIES = """\
@id("everything")
permit (principal, action, resource);

@id("large-transfers")
@reason("Transfers need two people from finance")
@approvers("finance") @quorum("2") @step_up("passkey") @ttl("15m")
forbid (principal, action == Action::"transfer", resource)
unless { context.approved };

@id("refunds")
@reason("A refund needs one person from finance, at once")
@approvers("finance") @quorum("1") @step_up("passkey") @ttl("%(short)ds")
forbid (principal, action == Action::"refund", resource)
unless { context.approved };

@id("mail")
@reason("Mail to customers is read by one person first")
@approvers("finance") @quorum("1") @step_up("passkey") @ttl("15m")
forbid (principal, action == Action::"mail", resource)
unless { context.approved };
"""


def bundle_files(public_key: dict[str, Any], *, short: int) -> dict[str, str]:
    """The company's bundle; `short` is how long a refund may wait, in seconds."""
    members = ", ".join(f'"{name}": "{value}"' for name, value in public_key.items())
    return {
        "people.yaml": PEOPLE,
        "agents.yaml": AGENTS,
        "tools.yaml": TOOLS,
        "enforcers.yaml": (
            f"enforcers:\n  {ENFORCER}:\n    targets: [{PAYMENTS}]\n"
            f"    keys:\n      - {{{members}}}\n"
        ),
        "policies/all.cedar": POLICIES % {"short": short},
    }


@dataclass(frozen=True, slots=True)
class Site:
    """A service, its application, and the enforcer that submits to it."""

    service: Service
    app: FastAPI
    url: str
    key: dict[str, Json]

    def invite(self, person: str, *, replaces: bool = False) -> str:
        """A fresh invitation's address."""
        return enrol.invite(
            self.service, tenant=DEFAULT_TENANT, person=person, replaces=replaces
        ).url

    def client(self) -> Client:
        """The enforcer's client, over the network."""
        return Client(self.url, enforcer=ENFORCER, key=self.key)

    def guard(self, *, user: str = "uma", explanation: str | None = None) -> Guard:
        """The enforcer's guard, which pins the directory of approvers' keys."""
        now = int(time.time())
        jwks = self.service.keys.jwks(now)
        _, document = verify(directory.directory(self.service, DEFAULT_TENANT), keys=jwks, typ=None)
        verifier = Verifier(
            issuer=self.url,
            audience=ENFORCER,
            keys=jwks,
            people=Directory.from_document(document),
        )
        return Guard(self.client(), verifier, AGENT, user, explanation=explanation, wait=60.0)

    def pass_time(self, seconds: int) -> None:
        """Let so many seconds pass on the service's clock, at once."""
        store = self.service.store
        now = store._now
        store._now = lambda session: now(session) + seconds  # type: ignore[method-assign]

    def submit(
        self,
        tool: str = "transfer",
        *,
        user: str = "uma",
        explanation: str | None = None,
        **args: Json,
    ) -> str:
        """Submit a call that people are asked about; gives the request's id."""
        client = self.client()
        try:
            answer = client.submit(
                ToolCall(PAYMENTS, tool, args), agent=AGENT, user=user, explanation=explanation
            )
        finally:
            client.close()
        return answer.id


def open_site(
    home: Path,
    url: str,
    *,
    short: int = 900,
    public: str | None = None,
    jobs: bool = True,
    view_seconds: int = 0,
    **more: Any,
) -> Site:
    """The company's service, not yet listening. `public` is its address if that is not `url`."""
    settings = load(
        home=home,
        url=public or url,
        log_interval=0.05,
        **{**UNLIMITED, "view_seconds": view_seconds, **more},
    )
    service = open_service(settings)
    jwk = new_key()
    activate.activate(
        service, tenant=DEFAULT_TENANT, files=bundle_files(public_jwk(jwk), short=short), by="otto"
    )
    return Site(service, build_app(service, jobs=jobs), url, jwk)


@contextmanager
def running_site(
    home: Path,
    *,
    short: int = 900,
    public: str | None = None,
    jobs: bool = True,
    view_seconds: int = 0,
    **more: Any,
) -> Iterator[Site]:
    """The company's service on a free port of this machine; `more` are further settings."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        site = open_site(
            home,
            f"http://localhost:{port}",
            short=short,
            public=public,
            jobs=jobs,
            view_seconds=view_seconds,
            **more,
        )
        with serving(site.app, listening):
            yield site


def submit_directly(
    site: Site,
    tool: str,
    *,
    user: str = "uma",
    task: str | None = None,
    explanation: str | None = None,
    **args: Json,
) -> str:
    """Submit a call without the network; gives the request's id."""
    submission = Submission(
        call=ToolCall(PAYMENTS, tool, args),
        agent=AGENT,
        user=user,
        body_digest="none",
        task=task,
        explanation=explanation,
    )
    answer = submit.submit(site.service, caller_of(site.service, ENFORCER), submission)
    assert isinstance(answer, answers.Opened)
    return answer.id


def everything(site: Site) -> dict[str, list[Any]]:
    """Every row of every table."""
    tables = [
        table
        for tables_of in (calls, log, notices, people)
        for table in vars(tables_of).values()
        if isinstance(table, type) and issubclass(table, SQLModel) and hasattr(table, "__table__")
    ]
    assert len(tables) > 10
    with site.service.store.read() as tx:
        return {
            table.__name__: sorted(repr(row.model_dump()) for row in tx.session.exec(select(table)))
            for table in tables
        }
