"""A submission on its way through one transaction."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.core import b64
from approvals.core.requests import RequestDocument

if TYPE_CHECKING:
    from approvals.core.decision.requirement import Requirement
    from approvals.flow.acting.caller import Caller, Submission
    from approvals.flow.asking.weigh import Weighed
    from approvals.flow.service import Service
    from approvals.store import Tx


@dataclass(frozen=True, slots=True)
class Submitted:
    """A submission on its way through one transaction, with what policy says about it there."""

    service: Service
    tx: Tx
    caller: Caller
    submission: Submission
    weighed: Weighed
    occasion: str

    @property
    def verdict(self) -> str:
        """The id of the verdict that answers it."""
        return f"vrd_{self.occasion}"

    def document(
        self,
        *,
        life: int,
        requirements: tuple[Requirement, ...] = (),
        display_digest: str | None = None,
    ) -> RequestDocument:
        """What people are asked, or what an approval by policy is of, for `life` seconds."""
        tool = self.weighed.tool()
        return RequestDocument(
            call_hash=self.weighed.written.call_hash,
            tool_definition="" if tool is None else tool.definition,
            tenant=self.caller.tenant,
            user=self.submission.user,
            agent=self.submission.agent,
            task=self.submission.task,
            precondition=self.submission.precondition,
            bundle=self.weighed.current.bundle.version,
            requirements=requirements,
            display_digest=display_digest,
            audience=self.caller.enforcer,
            nonce=b64.encode(secrets.token_bytes(32)),
            created=self.tx.now,
            expires=self.tx.now + life,
        )
