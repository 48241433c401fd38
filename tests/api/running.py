"""A running service with a small company in it, and everything that talks to it for real."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from approvals.app import build_app
from approvals.client import Client, mint_token
from approvals.config import load
from approvals.core.calls import ToolCall
from approvals.flow.operating.activate import activate
from approvals.verifier import Verifier
from tests.company import new_key, public_jwk
from tests.service import UNLIMITED, Peopled, open_service, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx2
    from fastapi import FastAPI


TARGET = "https://payments.example"
OTHER_TARGET = "https://mail.example"

PEOPLE = """\
people:
  ada: {name: Ada Finance}
  ben: {name: Ben Finance}
  uma: {name: Uma User}
groups:
  finance: [ada, ben]
"""
AGENTS = """\
agents:
  billing-agent:
    owner: ada
    purpose: Pays invoices
    model: model-1
    tier: 2
    users: [uma]
"""
TOOLS = """\
risk_groups:
  reads: Looks and changes nothing
  money-movement: Moves money
tools:
  - name: balance
    target: https://payments.example
    title: Look at the balance
    groups: [reads]
    owner: finance
    schema: {type: object, properties: {}, additionalProperties: false}
  - name: search
    target: https://payments.example
    title: Search for payments
    groups: [reads]
    owner: finance
    schema:
      type: object
      required: [words]
      additionalProperties: false
      properties:
        words: {type: array, items: {type: string}}
  - name: transfer
    target: https://payments.example
    title: Transfer money
    groups: [money-movement]
    owner: finance
    schema:
      type: object
      required: [amount, to]
      additionalProperties: false
      properties:
        amount: {type: integer}
        to: {type: string}
        note: {type: string}
    display:
      - {path: /amount, label: Amount, kind: number}
      - {path: /to, label: To, kind: address}
  - name: wipe
    target: https://payments.example
    title: Delete everything
    groups: []
    owner: finance
    schema: {type: object, properties: {}, additionalProperties: false}
"""
POLICY = """\
@id("reads")
permit (principal, action in Action::"reads", resource);

@id("transfers")
permit (principal, action in Action::"money-movement", resource);

@id("two-from-finance")
@reason("Transfers need two people from finance")
@approvers("finance") @quorum("2") @step_up("passkey") @ttl("15m")
forbid (principal, action in Action::"money-movement", resource)
unless { context.approved };
"""

TRANSFER = ToolCall(TARGET, "transfer", {"amount": 750, "to": "vendor@example.com"})
BALANCE = ToolCall(TARGET, "balance", {})


@dataclass
class Running(Peopled):
    """The service with its people, its application, and the keys of its two enforcers."""

    app: FastAPI
    keys: dict[str, dict[str, Any]]
    clients: list[Client] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.service.settings.url

    def client(
        self, enforcer: str = "gateway", *, http: httpx2.Client | None = None, **options: Any
    ) -> Client:
        """A client of this service as one of its enforcers; `close` closes it."""
        made = Client(self.url, enforcer=enforcer, key=self.keys[enforcer], http=http, **options)
        self.clients.append(made)
        return made

    def close(self) -> None:
        """Close what was opened for tests; the application closes the service."""
        for client in self.clients:
            client.close()

    def now(self) -> int:
        """The time, as the service has it."""
        return int(time.time())

    def bearer(self, enforcer: str = "gateway") -> dict[str, str]:
        """The header by which an enforcer is known."""
        token = mint_token(
            enforcer=enforcer, key=self.keys[enforcer], audience=self.url, now=self.now()
        )
        return {"Authorization": f"Bearer {token}"}

    def verifier(self, enforcer: str = "gateway") -> Verifier:
        """What that enforcer checks approvals with."""
        return Verifier(
            issuer=self.url,
            audience=enforcer,
            keys=self.service.keys.jwks(int(time.time())),
        )

    def approve(self, request_id: str) -> None:
        """Let both people of finance approve."""
        for person in ("ada", "ben"):
            self.decide(person, request_id)


def bundle(keys: dict[str, dict[str, Any]], *, ttl: str = "15m") -> dict[str, str]:
    """The files of the company's bundle; `ttl` is how long a request waits."""
    enforcers = {
        "enforcers": {
            "gateway": {"keys": [public_jwk(keys["gateway"])], "targets": [TARGET]},
            "other": {"keys": [public_jwk(keys["other"])], "targets": [OTHER_TARGET, TARGET]},
        }
    }
    return {
        "people.yaml": PEOPLE,
        "agents.yaml": AGENTS,
        "tools.yaml": TOOLS,
        "enforcers.yaml": json.dumps(enforcers, indent=1),
        "policies/rules.cedar": POLICY.replace("15m", ttl),
    }


def open_company(
    home: Path, *, url: str, database: str | None = None, ttl: str = "15m", **settings: Any
) -> Running:
    """A fresh service with the company's bundle active; its application closes it."""
    configured = load(home=home, url=url, database=database, **{**UNLIMITED, **settings})
    service = open_service(configured)
    keys = {"gateway": new_key(), "other": new_key()}
    activate(service, tenant="default", files=bundle(keys, ttl=ttl), by="uma")
    return Running(service=service, app=build_app(service), keys=keys)


@contextlib.contextmanager
def served(home: Path, *, database: str | None = None, **settings: Any) -> Iterator[Running]:
    """The company's service behind a real server on the loopback address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        company = open_company(home, url=f"http://localhost:{port}", database=database, **settings)
        try:
            with serving(company.app, listening):
                yield company
        finally:
            company.close()
