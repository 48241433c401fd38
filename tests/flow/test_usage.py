"""Limits hold for calls that come at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from approvals.flow.asking.answers import Allowed, Denied
from approvals.flow.operating.activate import activate
from tests.service import AGENTS, RULES, bundle_files

if TYPE_CHECKING:
    from tests.service import Running

LIMIT = 3


def test_a_limit_is_not_outrun(running: Running) -> None:
    files = bundle_files(
        running.enforcer_key.public_jwk(),
        agents_yaml=AGENTS.rstrip() + f"\n    limits: {{calls_per_hour: {LIMIT}}}\n",
    )
    activate(running.service, tenant="default", files=files, by="ops")
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda n: running.submit(f"acc-{n}", tool="balance"), range(48))
        assert sum(isinstance(answer, Allowed) for answer in answers) == LIMIT


def test_a_rule_counts_the_calls_of_its_tool(running: Running) -> None:
    rule = """
@id("few-readings")
forbid (principal, action == Action::"balance", resource)
when { context.usage.tool_hour >= 2 };
"""
    files = bundle_files(running.enforcer_key.public_jwk(), policies_payments_cedar=RULES + rule)
    activate(running.service, tenant="default", files=files, by="ops")
    running.opened()  # a call of another tool
    answers = [running.submit(f"acc-{number}", tool="balance") for number in range(4)]
    assert [type(answer) for answer in answers] == [Allowed, Allowed, Denied, Denied]
