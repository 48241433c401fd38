"""enforcers.yaml: who may submit and spend, by public key, for which agents and targets.

Keys are public JWKs (RFC 7517) for ES256 or Ed25519 (RFC 9864). A private key in a bundle would be
one in version control, so it is refused before anything else is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.core.calls import ToolCall
from approvals.core.errors import CallError, KeySetError
from approvals.core.jwk import VerifyingKey
from approvals.core.registry import Enforcer

if TYPE_CHECKING:
    from collections.abc import Collection

    from approvals.core.canonical import Json
    from approvals.policy.bundle.cursor import Cursor

_HOW = ": put only the public half of a key in a bundle"
_MEMBERS = ("alg", "crv", "kid", "kty", "use", "x", "y")


def read_enforcers(file: Cursor, agents: Collection[str]) -> dict[str, Enforcer]:
    """Enforcers; no two share a key, since the key is who they are."""
    enforcers: dict[str, Enforcer] = {}
    if not file.expect_members(required=("enforcers",)) or not file.has("enforcers"):
        return enforcers
    holders: dict[str, str] = {}
    for name, enforcer in file.at("enforcers").entries():
        enforcer.expect_members(required=("keys", "targets"), optional=("agents",))
        keys = []
        for place in enforcer.at("keys").items() if enforcer.has("keys") else ():
            key = _public_key(place)
            if key is None:
                continue
            kid = str(key["kid"])
            if kid in holders:
                place.wrong("duplicate", f"the enforcer {holders[kid]!r} already has this key")
            holders[kid] = name
            keys.append(key)
        targets = enforcer.texts("targets")
        for index, target in enumerate(targets):
            check_target(enforcer.at("targets", index), target)
        served = enforcer.texts("agents") if enforcer.has("agents") else None
        for index, agent in enumerate(served or ()):
            if agent not in agents:
                enforcer.at("agents", index).wrong(
                    "unknown_agent", f"{agent!r} is not in agents.yaml"
                )
        enforcers[name] = Enforcer(
            id=name,
            keys=tuple(keys),
            targets=tuple(sorted(targets)),
            agents=None if served is None else tuple(sorted(served)),
        )
    return enforcers


def check_target(place: Cursor, target: str) -> None:
    """Note a target that no call could name."""
    try:
        ToolCall(target=target, tool="any", args={})
    except CallError as error:
        place.wrong("bad_target", error.message)


def _public_key(place: Cursor) -> dict[str, Json] | None:
    """The key as it is published, or None after noting what is wrong with it."""
    jwk = place.value
    try:
        # Before unknown members: that a private key is here matters more than any other word on it.
        key = VerifyingKey.from_jwk(jwk) if isinstance(jwk, dict) else None
    except KeySetError as error:
        private = error.code == "private_key"
        place.wrong("private_key" if private else "bad_key", f"{error.message}{_HOW * private}")
        return None
    place.expect_members(required=("crv", "kty", "x"), optional=_MEMBERS)
    if key is None:
        place.wrong("bad_key", "a key is for signatures, on P-256 (ES256) or Ed25519")
        return None
    return key.public_jwk()
