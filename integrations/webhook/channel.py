"""The webhook channel: a notice as signed JSON to the hook that a person's channel names.

The address comes from the bundle that is current when it is sent, where people reviewed it. Each
revision of a notice is posted, as far as the one before has not been overtaken; `webhook-id` is the
same at every attempt to post one, so that a receiver can drop a second copy.
"""

from __future__ import annotations

import ssl
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from approvals.core import canonical
from approvals.core.errors import Unavailable
from approvals.flow.telling.deliver import GiveUp, TryAgain
from approvals.integrations.webhook import sender, signature
from approvals.integrations.webhook.target import HookRefused, target

if TYPE_CHECKING:
    from approvals.core.canonical import Json
    from approvals.flow.service import Service
    from approvals.flow.telling.brief import Brief
    from approvals.flow.telling.deliver import Message
    from approvals.integrations.webhook.sender import Answer, Dial, Resolve
    from approvals.policy.bundle import Hook

NAME: Final = "webhook"
LONG: Final = 900
"""Seconds until it is tried again where somebody has to change something first."""

_GONE: Final = 410
_TOO_MANY: Final = 429
_BROKEN: Final = range(500, 600)
_TAKEN: Final = range(200, 300)
_LONGEST_WAIT: Final = 86_400
_WAITS: Final = {"hook_address": LONG, "hook_certificate": LONG}


class WebhookChannel:
    """Posts to registered hooks. Safe to share between threads.

    `tls` is for hosts whose certificate a private authority signed; without it the machine's own
    trust decides. `resolve` and `dial` are the machine's own as well.
    """

    def __init__(
        self,
        service: Service,
        *,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve = sender.addresses,
        dial: Dial = sender.dialled,
    ) -> None:
        self._service = service
        self._tls = ssl.create_default_context() if tls is None else tls
        self._resolve, self._dial = resolve, dial
        self._local = service.settings.is_local

    @property
    def name(self) -> str:
        """As in people.yaml, before the colon and the hook's name."""
        return NAME

    def send(self, message: Message, reference: str | None) -> str | None:  # noqa: ARG002
        """Post the notice, if its hook is told of this kind.

        Raises:
            TryAgain: the host is away or busy, answers with an error, or is not one that may be
                reached; the outbox's patience ends it.
            GiveUp: the hook is not registered any more (`hook_gone`), its address is none
                (`hook_url`), or it says itself that it has ended (`hook_ended`).
        """
        hook = self._hook(message)
        if message.kind.value not in hook.events:
            return None
        answer = self._post(hook, message)
        if answer.status in _TAKEN:
            return None
        if answer.status == _GONE:
            raise GiveUp("hook_ended")
        if answer.status == _TOO_MANY or answer.status in _BROKEN:
            raise TryAgain("hook_busy", after=_seconds(answer.retry_after))
        raise TryAgain("hook_refused")

    def _hook(self, message: Message) -> Hook:
        try:
            bundle, _ = self._service.recent_bundle(message.tenant)
        except Unavailable as error:
            raise TryAgain(error.code) from None
        hook = bundle.hooks.get(message.channel.partition(":")[2])
        if hook is None:
            raise GiveUp("hook_gone")
        return hook

    def _post(self, hook: Hook, message: Message) -> Answer:
        body = canonical.encode(document(message))
        headers = signature.signed(
            body,
            webhook_id=f"{message.id}-{message.revision}",
            timestamp=int(time.time()),
            key=self._service.keys.webhook_key,
        )
        try:
            return sender.post(
                target(hook.url, loopback=self._local),
                {"Content-Type": "application/json", "User-Agent": "assent", **headers},
                body,
                tls=self._tls,
                resolve=self._resolve,
                dial=self._dial,
            )
        except HookRefused as error:
            if error.code == "hook_url":
                raise GiveUp(error.code) from None
            raise TryAgain(error.code, after=_WAITS.get(error.code)) from None


def document(message: Message) -> dict[str, Json]:
    """What is posted: the notice, and the request's facts as far as they may leave the service."""
    notice: dict[str, Json] = {
        "notice": message.id,
        "revision": message.revision,
        "tenant": message.tenant,
        "person": message.recipient.id,
        "url": message.url,
        "lines": list(message.lines),
        "request": None if message.brief is None else _facts(message.brief),
    }
    return {"type": message.kind.value, "data": notice}


def _facts(brief: Brief) -> dict[str, Json]:
    return {
        "id": brief.request_id,
        "state": brief.state.value,
        "ended": brief.ended,
        "title": brief.title,
        "tool": brief.tool,
        "target": brief.target,
        "agent": brief.agent,
        "agent_owner": brief.agent_owner,
        "user": brief.user,
        "risk": list(brief.risk),
        "fields": [{"label": label, "value": value} for label, value in brief.fields],
        "hidden": brief.hidden,
        "fingerprint": brief.fingerprint,
        "created": brief.created,
        "expires": brief.expires,
        "progress": [
            {"reason": reason, "filled": filled, "quorum": quorum}
            for reason, filled, quorum in brief.progress
        ],
        "decided": [
            {"person": name, "decision": decision.value} for name, decision in brief.decided
        ],
        "repeats": brief.repeats,
    }


def _seconds(retry_after: str | None) -> int | None:
    """`Retry-After` (RFC 9110, 10.2.3) as seconds from now; None where it says nothing usable."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        # As long as a number can be before it costs something to read.
        return max(1, min(int(retry_after[:9]), _LONGEST_WAIT))
    try:
        at = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):  # a year, or a zone, of thirty digits
        return None
    left = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - time.time())
    return max(1, min(left, _LONGEST_WAIT))
