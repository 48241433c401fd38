"""Who calls: an enforcer, known by a JWT that it signed itself (RFC 7523, section 3).

The steps, each with the attack it stops:

1. One `Authorization: Bearer` header, of bounded size.
2. Which enforcer it claims to be decides only whose keys are tried: nothing else is read from a
   token before its signature holds.
3. The enforcer is in the tenant's current bundle, and one of *its* keys signed, with that key's
   algorithm, as type `JWT`: an approval, signed by whatever key, is no caller's token.
4. `iss` and `sub` are the enforcer, `aud` is this service alone: a token made for another
   service is not taken here.
5. It lives five minutes at most, has begun, has not ended, and has an id.

Any failure is one 401 with one sentence, so that nobody learns which enforcers exist. A token that
held is remembered by its digest until it ends or the bundle changes. The bundle that is asked here
may be a second old: whether the enforcer still is one, and may do what it asks for, is asked again
in the transaction that does it (`flow.acting.access`).
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from approvals.api.account import account_of
from approvals.core import b64, canonical, jws
from approvals.core.errors import (
    AdmissionError,
    JwsError,
    KeySetError,
    Unavailable,
)
from approvals.flow.acting.access import stranger
from approvals.flow.acting.caller import Caller
from approvals.flow.service import DEFAULT_TENANT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from approvals.core.canonical import Json
    from approvals.flow.service import Service
    from approvals.policy.bundle.bundle import Bundle

MAX_TOKEN: Final = 4_096
MAX_LIFE: Final = 300
REMEMBERED: Final = 1_024


@dataclass(frozen=True, slots=True)
class _Known:
    """A token that held."""

    caller: Caller
    ends: int
    bundle: str


class Callers:
    """Authenticates the callers of one service. Safe to share between threads."""

    def __init__(self, service: Service) -> None:
        """Remember nobody yet."""
        self._service = service
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, request: Request) -> Caller:
        """Who calls.

        Raises:
            Unauthenticated: nobody who is known.
            Unavailable: the database is away, or nothing has ever been configured (`no_bundle`).
        """
        # 1. The header.
        token = _bearer(request)
        # 2. The claim of an identity.
        tenant, enforcer = _claimed(token)
        try:
            bundle, now = self._service.recent_bundle(tenant)
        except Unavailable as error:
            # Only the tenant that every installation has may say that it has no bundle yet.
            if error.code == "no_bundle" and tenant != DEFAULT_TENANT:
                raise stranger("unknown_tenant") from None
            raise
        digest = hashlib.sha256(token.encode("ascii")).digest()
        known = self._recall(digest, bundle.version, now)
        if known is not None:
            account_of(request).enforcer = known.enforcer
            return known
        # 3. The signature.
        key, payload = _verified(token, bundle, enforcer)
        # 4. and 5.
        ends = self._checked(payload, enforcer=enforcer, now=now)
        caller = Caller(tenant=tenant, enforcer=enforcer, key=key)
        self._remember(digest, _Known(caller, ends, bundle.version))
        account_of(request).enforcer = enforcer
        return caller

    def _checked(self, payload: Mapping[str, Json], *, enforcer: str, now: int) -> int:
        """Check the claims and return when the token ends."""
        settings = self._service.settings
        issued, ends = payload.get("iat"), payload.get("exp")
        begins = payload.get("nbf", issued)
        jti = payload.get("jti")
        # 4. From whom, for whom.
        addressed = (
            payload.get("iss") == payload.get("sub") == enforcer
            and payload.get("aud") == settings.url
        )
        # 5. When. `type(...) is int`: JSON's true is an int to Python.
        if not addressed:
            raise stranger("issuer_or_audience")
        if (
            type(issued) is not int
            or type(ends) is not int
            or type(begins) is not int
            or not isinstance(jti, str)
            or not jti
            or not issued < ends <= issued + MAX_LIFE
            or max(issued, begins) > now + settings.skew
            or now >= ends + settings.skew
        ):
            raise stranger("times")
        return ends + settings.skew

    def _recall(self, digest: bytes, bundle: str, now: int) -> Caller | None:
        with self._lock:
            known = self._known.get(digest)
            if known is None or known.bundle != bundle or now >= known.ends:
                return None
            self._known.move_to_end(digest)
            return known.caller

    def _remember(self, digest: bytes, known: _Known) -> None:
        with self._lock:
            self._known[digest] = known
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)


def _bearer(request: Request) -> str:
    values = request.headers.getlist("authorization")
    if not values:
        raise stranger("no_token")
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    token = token.strip()
    if scheme.lower() != "bearer" or not 0 < len(token) <= MAX_TOKEN or not token.isascii():
        raise stranger("not_a_bearer_token")
    return token


def _claimed(token: str) -> tuple[str, str]:
    """The tenant and enforcer that a token claims; nothing is believed yet."""
    parts = token.split(".")
    try:
        payload = canonical.parse(b64.decode(parts[1]), max_bytes=MAX_TOKEN)
    except (IndexError, ValueError, AdmissionError):
        raise stranger("not_a_token") from None
    if not isinstance(payload, dict):
        raise stranger("not_a_token")
    tenant, enforcer = payload.get("tenant", DEFAULT_TENANT), payload.get("iss")
    # NUL is no text to a database, and a name that long is nobody's.
    for name in (tenant, enforcer):
        if not isinstance(name, str) or not 0 < len(name) <= 200 or not name.isprintable():  # noqa: PLR2004 - as Name in wire
            raise stranger("not_a_token")
    return str(tenant), str(enforcer)


def _verified(token: str, bundle: Bundle, enforcer: str) -> tuple[str, dict[str, Json]]:
    """The thumbprint of the key that signed, and the payload."""
    registered = bundle.enforcers.get(enforcer)
    if registered is None:
        raise stranger("unknown_enforcer")
    keys = {"keys": [dict(key) for key in registered.keys]}
    try:
        header, payload = jws.verify(token, keys=keys, typ="JWT")
    except (JwsError, KeySetError):
        raise stranger("signature") from None
    return str(header["kid"]), payload
