"""What the counterpart keeps and is told: members, messages, faults."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

TEAM = "T0ASSENT"


@dataclass
class User:
    """A member of the workspace, or somebody who is not quite one."""

    id: str
    team: str = TEAM
    flags: dict[str, bool] = field(default_factory=dict)
    organization: str | None = None
    workspaces: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        flags = dict.fromkeys(
            ("deleted", "is_bot", "is_restricted", "is_ultra_restricted", "is_app_user"), False
        )
        return {
            "id": self.id,
            "team_id": self.team,
            "name": f"name-of-{self.id.lower()}",
            "profile": {"email": "anyone@example.com", "display_name": "Anyone"},
            **flags,
            **self.flags,
            **({} if self.organization is None else {"enterprise_user": self._of_organization()}),
        }

    def _of_organization(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "enterprise_id": self.organization,
            "enterprise_name": "Company",
            "is_admin": False,
            "is_owner": False,
            "teams": list(self.workspaces),
        }


@dataclass
class Message:
    """A message as it is now, and every version that it had."""

    channel: str
    ts: str
    arguments: dict[str, Any]
    versions: list[dict[str, Any]] = field(default_factory=list)

    @property
    def blocks(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.arguments.get("blocks") or []
        return found

    @property
    def text(self) -> str:
        return str(self.arguments["text"])

    @property
    def thread(self) -> str | None:
        return self.arguments.get("thread_ts")

    @property
    def notice(self) -> str:
        return str(self.arguments["metadata"]["event_payload"]["notice"])

    @property
    def buttons(self) -> dict[str, dict[str, Any]]:
        return {
            element["action_id"]: element
            for block in self.blocks
            if block["type"] == "actions"
            for element in block["elements"]
        }

    @property
    def shown(self) -> str:
        return json.dumps(self.blocks, ensure_ascii=False)


@dataclass
class Fault:
    """How the next calls fail: an answer of its own, after a while, or none at all."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0
    drop: bool = False
    drip: bool = False
    after: bool = False  # the call is carried out first: only its answer is lost
    methods: frozenset[str] = frozenset()
    times: int | None = None


def refusal(error: str, **more: Any) -> Fault:
    """A fault that is an answer of Slack's."""
    return Fault(body=json.dumps({"ok": False, "error": error}).encode(), **more)
