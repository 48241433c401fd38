"""The parts of a WebAuthn assertion, each read strictly.

What holds: client data is one unambiguous JSON object of type `webauthn.get`; a public key is a
canonical COSE_Key of one of three algorithms (ES256 on P-256, EdDSA on Ed25519, RS256 with at least
2048 bits) and its own `alg` decides how the signature is checked; authenticator data has no bytes
that nobody reads. Every failure is an `EvidenceError`.

General WebAuthn libraries leave out checks that matter where an assertion *is* the decision: they
take cross-origin frames, keep the last of two equal members, and make user verification optional.

Follows Web Authentication Level 3 (sections 5.8.1, 6.1, 7.2), RFC 9053 and RFC 8230.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from approvals.core import b64, canonical
from approvals.core.errors import AdmissionError, EvidenceError
from approvals.core.public_key import ed25519_key, p256_key, rsa_key

if TYPE_CHECKING:
    from collections.abc import Collection

ES256, EDDSA, RS256 = -7, -8, -257
ALGORITHMS = (ES256, EDDSA, RS256)
"""COSE algorithms accepted at enrolment and after, in order of preference."""

_MAX_CLIENT_DATA = 16_384

_USER_PRESENT, _USER_VERIFIED = 0x01, 0x04
_BACKUP_ELIGIBLE, _BACKED_UP = 0x08, 0x10
_ATTESTED, _EXTENSIONS = 0x40, 0x80
_RESERVED = 0x22
_HEAD = 37  # rpIdHash (32), flags (1), signCount (4)
_MAX_AUTHENTICATOR_DATA = 4096


def check_client_data(
    raw: bytes, *, challenge: bytes, origins: Collection[str], kind: str = "webauthn.get"
) -> None:
    """Check client data over `challenge` made at one of `origins`.

    `kind` is `webauthn.get` for an assertion and `webauthn.create` for an enrolment.
    """
    try:
        data = canonical.parse(raw, max_bytes=_MAX_CLIENT_DATA)
    except AdmissionError as error:
        # Two equal members could show one origin to us and another to the next reader.
        raise EvidenceError(f"client data: {error}", code="client_data") from error
    if type(data) is not dict:
        raise EvidenceError("client data is not an object", code="client_data")
    # A registration is signed by the same key; it decides nothing.
    if data.get("type") != kind:
        raise EvidenceError(f"client data is not of {kind}", code="client_data")
    if data.get("challenge") != b64.encode(challenge):
        raise EvidenceError("the passkey signed another challenge", code="challenge")
    origin = data.get("origin")
    if type(origin) is not str or origin not in origins:
        raise EvidenceError("the decision was made at another origin", code="origin")
    # A page that frames ours could dress the decision up: only a top-level page counts.
    if data.get("crossOrigin", False) is not False or "topOrigin" in data:
        raise EvidenceError("the decision was made in a frame of another site", code="cross_origin")
    binding = data.get("tokenBinding")
    if "tokenBinding" in data and binding not in (
        {"status": "supported"},
        {"status": "not-supported"},
    ):
        # A bound channel that we cannot check was meant to be checked.
        raise EvidenceError("client data binds a TLS channel", code="client_data")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticatorData:
    """What an authenticator said about itself; presence and verification are given."""

    backup_eligible: bool
    backup_state: bool
    sign_count: int


def read_authenticator_data(raw: bytes, *, rp_id: str) -> AuthenticatorData:
    """Read the authenticator data of an assertion for `rp_id` in which the person was verified."""
    if not _HEAD <= len(raw) <= _MAX_AUTHENTICATOR_DATA:
        raise EvidenceError("authenticator data of a wrong length", code="authenticator_data")
    if not hmac.compare_digest(raw[:32], hashlib.sha256(rp_id.encode()).digest()):
        raise EvidenceError("the passkey signed for another relying party", code="rp_id")
    flags = raw[32]
    if flags & (_RESERVED | _ATTESTED):
        raise EvidenceError("flags that an assertion does not have", code="authenticator_data")
    if not flags & _USER_PRESENT:
        raise EvidenceError("nobody was present", code="user_presence")
    # Without it a stolen device, or a key left in its socket, decides.
    if not flags & _USER_VERIFIED:
        raise EvidenceError("the person was not verified", code="user_verification")
    if flags & _BACKED_UP and not flags & _BACKUP_ELIGIBLE:
        raise EvidenceError("backed up without being eligible for it", code="backup")
    rest = raw[_HEAD:]
    if bool(rest) != bool(flags & _EXTENSIONS):
        raise EvidenceError("bytes behind the authenticator data", code="authenticator_data")
    if rest:
        _canonical_map(rest, code="authenticator_data")
    return AuthenticatorData(
        backup_eligible=bool(flags & _BACKUP_ELIGIBLE),
        backup_state=bool(flags & _BACKED_UP),
        sign_count=int.from_bytes(raw[33:37]),
    )


def verify_signature(cose: bytes, *, signature: bytes, message: bytes) -> None:
    """Check `signature` over `message` by a COSE_Key, with that key's own algorithm."""
    key = decode_public_key(cose)
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        else:
            key.verify(signature, message)
    except InvalidSignature as error:
        raise EvidenceError("the signature is not this key's", code="signature") from error


PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


def decode_public_key(raw: bytes) -> PublicKey:
    """The public key in a COSE_Key: canonical, with exactly the parameters of its algorithm."""
    key = _canonical_map(raw, code="public_key")
    # True == 1 in Python: a CBOR bool must not pass for a label or a curve.
    if any(type(label) is not int for label in key) or any(
        type(value) not in (int, bytes) for value in key.values()
    ):
        raise EvidenceError("not a COSE key", code="public_key")
    try:
        # Labels: 1 kty, 3 alg; then crv, x, y of a curve, or n, e of RSA (RFC 9053, RFC 8230).
        match key:
            case {1: 2, 3: -7, -1: 1, -2: bytes(x), -3: bytes(y), **rest} if not rest:
                return p256_key(x, y)
            case {1: 1, 3: -8, -1: 6, -2: bytes(x), **rest} if not rest:
                return ed25519_key(x)
            case {1: 3, 3: -257, -1: bytes(n), -2: bytes(e), **rest} if not rest:
                return rsa_key(n, e)
            case _:
                raise EvidenceError("not a key of an accepted algorithm", code="public_key")
    except ValueError as error:
        raise EvidenceError(f"not a usable public key: {error}", code="public_key") from error


def _canonical_map(raw: bytes, *, code: str) -> dict[object, object]:
    """A CBOR map whose canonical encoding (CTAP2) is `raw` itself: it reads in one way only."""
    try:
        value = cbor2.loads(
            raw,
            max_depth=8,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            tag_hook=_refuse_tag,
        )
        again = cbor2.dumps(value, canonical=True)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError) as error:
        raise EvidenceError("not well-formed CBOR", code=code) from error
    if type(value) is not dict or again != raw:
        raise EvidenceError("not one canonical CBOR map", code=code)
    return value


def _refuse_tag(tag: cbor2.CBORTag, _immutable: object = None) -> object:
    raise ValueError(f"tag {tag.tag}")
