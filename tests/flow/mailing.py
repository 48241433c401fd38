"""A company whose people have mail, and a channel that notes what it is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.service import PEOPLE

if TYPE_CHECKING:
    from approvals.core.errors import AssentError
    from approvals.flow.telling.deliver import Message


WITH_MAIL = PEOPLE.replace("Ada Okafor}", "Ada Okafor, email: ada@example.com}").replace(
    "Ben Silva}", "Ben Silva, email: ben@example.com}"
)


@dataclass
class Recorder:
    """A channel that keeps what it is given, and fails as it is told."""

    name: str = "email"
    sent: list[tuple[Message, str | None]] = field(default_factory=list)
    fails: list[AssentError] = field(default_factory=list)

    def send(self, message: Message, reference: str | None) -> str | None:
        if self.fails:
            raise self.fails.pop(0)
        self.sent.append((message, reference))
        return f"ref-of-{message.id}"
