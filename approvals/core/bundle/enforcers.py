"""enforcers.yaml: who may submit and spend, by public key, and the targets each guards.

Keys are JWKs (RFC 7517) for ES256 or Ed25519 (RFC 9864). A private key in a bundle would be one in
version control, so a private member is refused by name before anything else is looked at.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from approvals.core import b64, canonical
from approvals.core.calls import ToolCall
from approvals.core.errors import CallError
from approvals.core.registry import Enforcer

if TYPE_CHECKING:
    from approvals.core.bundle.cursor import Cursor
    from approvals.core.canonical import Json

_PRIVATE = frozenset({"d", "dp", "dq", "k", "oth", "p", "q", "qi"})
# What RFC 7638 hashes, and the algorithm of each key type that is taken.
_KINDS = {
    ("EC", "P-256"): ("ES256", ("crv", "kty", "x", "y")),
    ("OKP", "Ed25519"): ("Ed25519", ("crv", "kty", "x")),
}
_COORDINATE = 32


def read_enforcers(file: Cursor) -> dict[str, Enforcer]:
    """Enforcers; no two share a key, since the key is who they are."""
    enforcers: dict[str, Enforcer] = {}
    if not file.expect_members(required=("enforcers",)) or not file.has("enforcers"):
        return enforcers
    holders: dict[str, str] = {}
    for name, enforcer in file.at("enforcers").entries():
        enforcer.expect_members(required=("keys", "targets"))
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
        enforcers[name] = Enforcer(id=name, keys=tuple(keys), targets=tuple(sorted(targets)))
    return enforcers


def check_target(place: Cursor, target: str) -> None:
    """Note a target that no call could name."""
    try:
        ToolCall(target=target, tool="any", args={})
    except CallError as error:
        place.wrong("bad_target", error.message)


def _public_key(place: Cursor) -> dict[str, Json] | None:
    """The key with its thumbprint as `kid` and its one algorithm, or None after noting why not."""
    jwk = place.value
    if isinstance(jwk, dict) and _PRIVATE & jwk.keys():
        place.wrong("private_key", "this is a private key: put only its public half in a bundle")
        return None
    known = ("kty", "crv", "x", "y", "alg", "kid", "use")
    if not place.expect_members(required=("kty", "crv", "x"), optional=known):
        return None
    kind = _KINDS.get((place.text("kty"), place.text("crv")))
    if kind is None or not isinstance(jwk, dict):
        place.wrong("bad_key", "a key is of type EC on P-256 (ES256) or OKP on Ed25519")
        return None
    algorithm, hashed = kind
    if not _is_point(place, hashed):
        place.wrong("bad_key", "x (and y) are not a public key on this curve")
        return None
    if jwk.get("alg", algorithm) != algorithm or jwk.get("use", "sig") != "sig":
        place.wrong("bad_key", f"this key is for {algorithm} signatures and nothing else")
        return None
    named: dict[str, Json] = {name: jwk[name] for name in hashed}
    kid = b64.encode(sha256(canonical.encode(named)).digest())
    if jwk.get("kid", kid) != kid:
        place.at("kid").wrong("bad_key", f"kid must be the RFC 7638 thumbprint, {kid}")
        return None
    return {**named, "alg": algorithm, "kid": kid, "use": "sig"}


def _is_point(place: Cursor, hashed: tuple[str, ...]) -> bool:
    try:
        parts = [b64.decode(place.text(name)) for name in hashed if name in ("x", "y")]
        if any(len(part) != _COORDINATE for part in parts):
            return False
        if "y" in hashed:
            x, y = (int.from_bytes(part) for part in parts)
            EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()
        else:
            Ed25519PublicKey.from_public_bytes(parts[0])
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True
