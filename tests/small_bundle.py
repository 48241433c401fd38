"""A bundle of a few lines, to change one thing in at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from approvals.core.calls import ToolCall
from approvals.policy import USAGE_COUNTERS, Facts
from approvals.policy.bundle import Bundle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.canonical import Json

TARGET = "https://bank.example"

PEOPLE = """\
people:
  ada: {name: Ada}
  ben: {name: Ben}
  cleo: {name: Cleo}
  dan: {name: Dan}
groups:
  finance: [ada, ben, cleo]
  managers: [cleo, dan]
  nobody: []
"""

AGENTS = """\
agents:
  clerk:
    owner: ada
    purpose: pays
    model: m-1
    tier: 2
    users: [finance, dan]
"""

TOOLS = """\
risk_groups:
  money: Moving money
tools:
  - name: transfer
    target: https://bank.example
    title: Transfer
    groups: [money]
    owner: dan
    schema:
      type: object
      additionalProperties: false
      required: [amount, to]
      properties:
        amount: {type: string, x-cedar: decimal}
        to: {type: string}
        memo: {type: [string, "null"]}
    display:
      - {path: /amount, label: Amount, kind: money, currency: EUR}
"""

ENFORCERS = """\
enforcers:
  gate:
    keys:
      - {kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}
    targets: [https://bank.example]
"""

PERMIT = '@id("all") permit (principal, action, resource);\n'

LARGE = """\
@id("large")
@reason("Large")
@approvers("finance") @quorum("2")
forbid (principal, action in Action::"money", resource)
when { context.args.amount.greaterThanOrEqual(decimal("500.0")) }
unless { context.approved };
"""


def files(*, rules: str = PERMIT + LARGE, **changed: str) -> dict[str, str]:
    """The bundle's files; name a YAML file without its ending to put another in its place."""
    texts = {"people": PEOPLE, "agents": AGENTS, "tools": TOOLS, "enforcers": ENFORCERS, **changed}
    return {f"{n}.yaml": text for n, text in texts.items()} | {"policies/rules.cedar": rules}


def load(*, rules: str = PERMIT + LARGE, **changed: str) -> Bundle:
    """The bundle of those files."""
    return Bundle.load(files(rules=rules, **changed))


def facts(args: Mapping[str, Json] | None = None, **changed: Any) -> Facts:
    """A transfer of 10.00 by the clerk for ben; `args` are added to its arguments."""
    given: dict[str, Any] = {
        "call": ToolCall(TARGET, "transfer", {"amount": "10.00", "to": "x", **(args or {})}),
        "agent": "clerk",
        "user": "ben",
        "now": 1_767_614_400,
        "task": None,
        "usage": dict.fromkeys(USAGE_COUNTERS, 0),
    }
    return Facts(**{**given, **changed})
