"""A service that answers a client as it was told to, and what it answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from approvals.client.steps import Pause, Send, drive

if TYPE_CHECKING:
    from approvals.client.steps import Plan, Step

WHO: dict[str, Any] = {"agent": "billing-agent", "user": "uma"}
PENDING = json.dumps({"id": "req_x", "state": "pending", "url": "u", "expires": 1}).encode()


class Scripted:
    """A service that answers each step with the next of its answers; no time passes."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers = list(answers)
        self.sent: list[Send] = []
        self.paused: list[float] = []

    def __call__(self, step: Step) -> bytes:
        if isinstance(step, Pause):
            self.paused.append(step.seconds)
            return b""
        self.sent.append(step)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def run(self, plan: Plan[Any]) -> Any:
        return drive(plan, self)
