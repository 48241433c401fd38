"""A guard from the environment, for programs that configure nothing in code.

| variable | |
|---|---|
| `ASSENT_URL` | the service's address, which is the issuer of approvals; required |
| `ASSENT_ENFORCER` | this enforcer's id in the bundle; required |
| `ASSENT_KEY_FILE` | its private key, a JWK; required |
| `ASSENT_AGENT`, `ASSENT_USER` | the agent that calls and the person it calls for; required |
| `ASSENT_TENANT` | default `default` |
| `ASSENT_JWKS_FILE` | the service's public keys, pinned; unset: fetched from it over TLS |
| `ASSENT_PEOPLE_FILE` | the directory of approvers' keys, pinned: the document, or the signed token that `/v1/people/keys` serves |
| `ASSENT_UNATTENDED` | with a pinned directory, the tools that policy alone may allow, by commas |
| `ASSENT_WAIT` | seconds that a call holds for people; default 60 |

With the directory pinned the signatures of people are checked here, and not even the service's
own key can stand in for them. The pins are worth what the files' permissions are worth.
"""  # noqa: E501 - a table

from __future__ import annotations

import math
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from approvals.client import Client, ServiceAway, ServiceError
from approvals.core import canonical, jws
from approvals.core.directory import Directory
from approvals.core.errors import (
    ApprovalRejected,
    AssentError,
    Invalid,
    KeySetError,
    ReceiptRejected,
)
from approvals.guard.gate import Guard
from approvals.guard.refusals import CallRefused
from approvals.verifier import Verifier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from approvals.core.calls import ToolCall
    from approvals.core.canonical import Json
    from approvals.core.receipt import Receipt
    from approvals.verifier import VerifiedApproval

_REFETCH_AFTER: Final = 60.0
_MAX_FILE: Final = 16 * 1024 * 1024


class FetchedKeys:
    """A verifier whose keys come from the service and are fetched again for an unknown one.

    A fetch for an unknown key happens at most once a minute, so that forged tokens cannot make
    the enforcer hammer the service; whatever is still unknown afterwards is rejected.
    """

    def __init__(
        self,
        build: Callable[[Mapping[str, Json]], Verifier],
        fetch: Callable[[], Mapping[str, Json]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Fetch the keys for the first time when the first token is verified."""
        self._build = build
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._verifier: Verifier | None = None
        self._fetched_at = -math.inf

    def verify(
        self,
        token: str,
        call: ToolCall,
        *,
        now: int,
        agent: str | None = None,
        user: str | None = None,
        precondition: str | None = None,
    ) -> VerifiedApproval:
        """Verify as `Verifier.verify` does, with keys that are fresh enough."""
        verifier = self._current()
        try:
            return verifier.verify(
                token, call, now=now, agent=agent, user=user, precondition=precondition
            )
        except ApprovalRejected as error:
            if error.reason != "unknown_key":
                raise
            fresh = self._current(instead_of=verifier)
            if fresh is verifier:
                raise
        return fresh.verify(token, call, now=now, agent=agent, user=user, precondition=precondition)

    def verify_receipt(self, token: str, approval: VerifiedApproval, *, use_id: str) -> Receipt:
        """Verify as `Verifier.verify_receipt` does: the key may have changed since the approval."""
        verifier = self._current()
        try:
            return verifier.verify_receipt(token, approval, use_id=use_id)
        except ReceiptRejected as error:
            if error.reason != "unknown_key":
                raise
            fresh = self._current(instead_of=verifier)
            if fresh is verifier:
                raise
        return fresh.verify_receipt(token, approval, use_id=use_id)

    def _current(self, *, instead_of: Verifier | None = None) -> Verifier:
        """The verifier, fetching keys when there is none or a newer one is wanted."""
        with self._lock:
            if self._verifier is not None and self._verifier is not instead_of:
                return self._verifier
            if self._verifier is None or self._clock() - self._fetched_at >= _REFETCH_AFTER:
                self._fetched_at = self._clock()
                try:
                    self._verifier = self._build(self._fetch())
                except (ServiceAway, ServiceError, KeySetError) as error:
                    raise CallRefused(
                        f"the service's keys could not be fetched: {error}", reason=error.code
                    ) from error
            return self._verifier


def guard_from_environment() -> Guard:
    """Read the variables and the files they name; raise `CallRefused` (`configuration`)."""
    url, enforcer = _required("ASSENT_URL"), _required("ASSENT_ENFORCER")
    tenant = os.environ.get("ASSENT_TENANT") or "default"
    try:
        client = Client(
            url, enforcer=enforcer, key=_object(_required("ASSENT_KEY_FILE")), tenant=tenant
        )
    except ValueError as error:
        raise _wrong("ASSENT_URL", str(error)) from error
    except KeySetError as error:
        raise _wrong("ASSENT_KEY_FILE", f"holds no key to sign with: {error}") from error
    unattended = frozenset(
        name.strip() for name in os.environ.get("ASSENT_UNATTENDED", "").split(",") if name.strip()
    )
    people_file = os.environ.get("ASSENT_PEOPLE_FILE")

    def build(keys: Mapping[str, Json]) -> Verifier:
        people = None if not people_file else _directory(people_file, keys)
        try:
            return Verifier(
                issuer=client.url,
                audience=enforcer,
                keys=keys,
                people=people,
                tenant=tenant,
                unattended=unattended,
            )
        except Invalid as error:
            raise _wrong("ASSENT_PEOPLE_FILE", f"cannot be pinned here: {error}") from error

    return Guard(
        client=client,
        verifier=_pinned(build) or FetchedKeys(build, client.jwks),
        agent=_required("ASSENT_AGENT"),
        user=_required("ASSENT_USER"),
        wait=_seconds("ASSENT_WAIT", default=60.0),
    )


def _pinned(build: Callable[[Mapping[str, Json]], Verifier]) -> Verifier | None:
    path = os.environ.get("ASSENT_JWKS_FILE")
    if not path:
        return None
    try:
        return build(_object(path))
    except KeySetError as error:
        raise _wrong("ASSENT_JWKS_FILE", f"holds no keys to verify with: {error}") from error


def _required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise _wrong(name, "is not set")
    return value


def _seconds(name: str, *, default: float) -> float:
    text = os.environ.get(name)
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError as error:
        raise _wrong(name, "is not a number of seconds") from error
    if not 0 <= seconds <= 86_400:  # noqa: PLR2004 - a day
        raise _wrong(name, "is not between 0 and 86400 seconds")
    return seconds


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _wrong(path, f"cannot be read: {error.strerror}") from error


def _object(path: str) -> dict[str, Json]:
    raw = _read(path)
    try:
        value = canonical.parse(raw, max_bytes=_MAX_FILE)
    except AssentError as error:
        raise _wrong(path, f"is not strict JSON: {error.code}") from error
    if not isinstance(value, dict):
        raise _wrong(path, "is not a JSON object")
    return value


def _directory(path: str, keys: Mapping[str, Json]) -> Directory:
    raw = _read(path).strip()
    try:
        if raw.startswith(b"{"):
            return Directory.from_document(_object(path))
        _, document = jws.verify(raw.decode("ascii"), keys=keys, typ="assent-directory+jwt")
        return Directory.from_document(document)
    except UnicodeDecodeError as error:
        raise _wrong(path, "is neither a directory document nor a signed one") from error
    except AssentError as error:
        raise _wrong(path, f"is not a directory that can be pinned: {error}") from error


def _wrong(what: str, why: str) -> CallRefused:
    return CallRefused(f"{what} {why}", reason="configuration", place=what)
