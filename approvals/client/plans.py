"""The service's routes: what is sent, what is repeated, and what the answers mean.

Only what is safe to repeat is repeated, and all of it is: a submission has an idempotency key, a
consumption its `use_id`, and reading, withdrawing and reporting twice is doing it once. When an
answer was lost, what was asked for may have been done; it is asked for again with the same key
until there is an answer, for `PATIENCE` seconds, and then it is `OutcomeUnknown`.
"""

from __future__ import annotations

import random
import re
import secrets
import time
from typing import TYPE_CHECKING, Final, Literal

from approvals.client.answers import Answer
from approvals.client.errors import OutcomeUnknown, ServiceAway, ServiceError
from approvals.client.outcomes import (
    Allowed,
    Approved,
    Cancelled,
    Denied,
    Expired,
    Outcome,
    Pending,
    Refused,
    Revoked,
    Submitted,
)
from approvals.client.steps import Pause, Plan, Send
from approvals.core import sizes
from approvals.core.tlog.tiles import LARGEST_BUNDLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.calls import ToolCall
    from approvals.core.canonical import Json

ATTEMPTS: Final = 3
"""How often something is sent while the service is away and nothing can have been done."""

PATIENCE: Final = 15.0
"""Seconds for which it is asked what became of something whose answer was lost."""

MAX_HOLD: Final = 60
"""The longest the service holds one request, in seconds; a longer wait is several requests."""

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,200}", re.ASCII)


def submit(
    call: ToolCall,
    *,
    agent: str,
    user: str,
    task: str | None = None,
    precondition: str | None = None,
    explanation: str | None = None,
    provenance: Mapping[str, Json] | None = None,
    idempotency_key: str | None = None,
) -> Plan[Submitted]:
    """Ask whether `call` may run for `user` at `agent`'s wish."""
    optional: dict[str, Json] = {
        "task": task,
        "precondition": precondition,
        "explanation": explanation,
        "provenance": None if provenance is None else dict(provenance),
    }
    body: dict[str, Json] = {
        "call": {"target": call.target, "tool": call.tool, "args": call.args},
        "agent": agent,
        "user": user,
    }
    body |= {name: value for name, value in optional.items() if value is not None}
    key = secrets.token_urlsafe(24) if idempotency_key is None else idempotency_key
    raw = yield from _insistently(
        Send(
            method="POST",
            path="/v1/calls",
            body=body,
            expected=(200, 202),
            headers={"Idempotency-Key": key},
        )
    )
    return _submitted(Answer.parse(raw))


def _submitted(answer: Answer) -> Submitted:
    match answer.text("decision"):
        case "allow":
            return Allowed(id=answer.text("id"), approval=answer.text("approval"))
        case "deny":
            return Refused(
                id=answer.text("id"),
                code=answer.text("code"),
                rules=answer.texts("rules"),
                reasons=answer.texts("reasons"),
                retry_after=answer.number_or_none("retry_after"),
                denied=_denied(answer.inner("request")) if answer.members.get("request") else None,
            )
        case "escalate":
            request = answer.inner("request")
            return Pending(
                id=request.text("id"), url=request.text("url"), expires=request.number("expires")
            )
        case _:
            raise answer.unlike("decision")


def _denied(status: Answer) -> Denied:
    denied = status.inner("denied")
    return Denied(
        id=status.text("id"),
        by=denied.text("by"),
        reason=denied.text_or_none("reason"),
        retry_after=denied.number_or_none("retry_after"),
    )


def look(request_id: str, *, wait: int = 0) -> Plan[Outcome]:
    """What became of a request, holding up to `wait` ≤ 60 seconds for a decision."""
    held = max(0, min(wait, MAX_HOLD))
    path = f"/v1/requests/{segment(request_id)}"
    raw = yield Send(method="GET", path=f"{path}?wait={held}" if held else path, hold=float(held))
    answer = Answer.parse(raw)
    name = answer.text("id")
    match answer.text("state"):
        case "pending":
            return Pending(id=name, url=answer.text("url"), expires=answer.number("expires"))
        case "approved":
            return Approved(id=name, token=answer.text("approval"))
        case "denied":
            return _denied(answer)
        case "expired":
            return Expired(id=name)
        case "cancelled":
            return Cancelled(id=name)
        case "revoked":
            return Revoked(id=name)
        case _:
            raise answer.unlike("state")


def wait(request_id: str, *, timeout: float) -> Plan[Outcome]:
    """Wait up to `timeout` seconds for a decision; `Pending` means that there is none yet.

    Where the connection is lost or the service says that it is stopping, the wait goes on with a
    new connection, which another replica may answer, until the time is over.
    """
    end = time.monotonic() + timeout
    pauses = _Pauses()
    while True:
        left = end - time.monotonic()
        try:
            outcome = yield from look(request_id, wait=int(left))
        except ServiceAway as away:
            pause = pauses.after(away)
            if end - time.monotonic() <= pause:
                raise
        else:
            # A service that does not hold the connection is not asked in a tight loop.
            pauses = _Pauses()
            pause = pauses.after(None)
            if not isinstance(outcome, Pending) or end - time.monotonic() <= pause:
                return outcome
        yield Pause(pause)


def consume(jti: str, *, call_hash: str, use_id: str) -> Plan[str]:
    """Spend an approval and return the receipt as it came: it is not verified yet."""
    raw = yield from _insistently(
        Send(
            method="POST",
            path=f"/v1/approvals/{segment(jti)}/consume",
            body={"call_hash": call_hash, "use_id": use_id},
        )
    )
    return Answer.parse(raw).text("receipt")


def report(
    jti: str, *, status: Literal["ok", "error"], output_hash: str | None = None
) -> Plan[None]:
    """Tell what became of the call that the approval was spent on."""
    body: dict[str, Json] = {"status": status}
    if output_hash is not None:
        body["output_hash"] = output_hash
    yield from _insistently(
        Send(
            method="POST",
            path=f"/v1/approvals/{segment(jti)}/outcome",
            body=body,
            expected=(204,),
            # The caller waits for the result of what has run, and not for this.
            answer_within=5.0,
        ),
        patience=0.0,
    )


def cancel(request_id: str) -> Plan[None]:
    """Withdraw a request that nobody has decided."""
    path = f"/v1/requests/{segment(request_id)}/cancel"
    tries = _Tries()
    while True:
        try:
            yield Send(method="POST", path=path)
        except ServiceAway as away:
            pause = tries.next(away)
        except ServiceError as error:
            # The answer to an earlier try was lost: it may have been this very withdrawal.
            if error.code == "not_pending" and tries.unknown:
                outcome = yield from look(request_id)
                if isinstance(outcome, Cancelled):
                    return
            raise
        else:
            return
        yield Pause(pause)


def evidence(request_id: str) -> Plan[bytes]:
    """Fetch the evidence file of a request, byte for byte as `assent verify` takes it."""
    path = f"/v1/requests/{segment(request_id)}/evidence"
    return (yield from _reading(Send(method="GET", path=path, limit=sizes.EVIDENCE)))


def jwks() -> Plan[dict[str, Json]]:
    """Fetch the keys that the service signs with."""
    # Keys are public: no token is shown where none is needed.
    raw = yield from _reading(Send(method="GET", path="/.well-known/jwks.json", named=False))
    return Answer.parse(raw).members


def jwks_history() -> Plan[dict[str, Json]]:
    """Fetch every key that the service signs with or ever did, each with its time."""
    send = Send(method="GET", path="/.well-known/jwks-history.json", named=False)
    return Answer.parse((yield from _reading(send))).members


def log(path: str) -> Plan[bytes]:
    """Fetch what is behind a path of the log, as in `checkpoint` or `tile/entries/000`."""
    send = Send(method="GET", path=f"/log/{path}", named=False, limit=LARGEST_BUNDLE)
    return (yield from _reading(send))


def directory() -> Plan[str]:
    """Fetch the signed directory of approvers' keys, as a token."""
    raw = yield from _reading(Send(method="GET", path="/v1/people/keys", limit=sizes.DIRECTORY))
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError as error:
        raise ServiceError("the directory is not a token", code="answer", status=200) from error


def segment(identifier: str) -> str:
    """Return an id that can stand in a path, or raise `ValueError`.

    Quoting would not do: servers decode %2F before they route, and an id could reach another route.
    """
    if _ID.fullmatch(identifier) is None:
        raise ValueError(f"not an id: {identifier!r}")
    return identifier


class _Pauses:
    """How long to pause before each further try: longer each time, and never all at once."""

    def __init__(self) -> None:
        self._next = _FIRST_PAUSE

    def after(self, away: ServiceAway | None) -> float:
        """The pause before the next try; at least what the service asks for."""
        pause = self._next
        self._next = min(self._next * 4, _LONGEST_PAUSE)
        wished = None if away is None else away.retry_after
        # Callers that were all told to come back in a second do not come back in one moment.
        spread = 1 + random.random() / 4  # noqa: S311 - spreads load, keeps no secret
        return max(pause, wished or 0.0) * spread


class _Tries:
    """Whether to try once more, and how the last failure is told when not."""

    def __init__(self, *, patience: float = PATIENCE) -> None:
        self._left = ATTEMPTS
        self._end = time.monotonic() + patience
        self._pauses = _Pauses()
        self.unknown = False

    def next(self, away: ServiceAway) -> float:
        """The pause before the next try; raises the failure where there is to be none."""
        self._left -= 1
        self.unknown = self.unknown or isinstance(away, OutcomeUnknown)
        pause = self._pauses.after(away)
        in_time = time.monotonic() + pause <= self._end
        if (self._left > 0 and pause <= PATIENCE) or (self.unknown and in_time):
            return pause
        if self.unknown and not isinstance(away, OutcomeUnknown):
            raise OutcomeUnknown(away.message, retry_after=away.retry_after) from away
        raise away


def _insistently(send: Send, *, patience: float = PATIENCE) -> Plan[bytes]:
    """Send what changes something under a key of its own until it is known what became of it."""
    tries = _Tries(patience=patience)
    while True:
        try:
            return (yield send)
        except ServiceAway as away:
            pause = tries.next(away)
        yield Pause(pause)


def _reading(send: Send) -> Plan[bytes]:
    """Send what changes nothing, a few times while the service is away."""
    pauses = _Pauses()
    for left in reversed(range(ATTEMPTS)):
        try:
            return (yield send)
        except ServiceAway as away:
            pause = pauses.after(away)
            if left == 0 or pause > PATIENCE:
                raise
        yield Pause(pause)
    raise AssertionError("the last try returns or raises")
