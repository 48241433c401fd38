"""Keys as JSON Web Keys (RFC 7517), each for one algorithm and named by what it is.

Two algorithms are known: ES256 (RFC 7518) and Ed25519 (RFC 9864). A key's `kid` is its RFC 7638
thumbprint, so that a name cannot be given to another key, and its algorithm follows from its curve,
so that a token cannot choose one. Keys of other kinds in a set are passed over, as RFC 7517 section
5 asks; a key of a known kind that contradicts itself is an error, because someone meant it to work.

A key may have a time: `nbf`, from which on it signs, and `exp`, from which on nothing that it
signed is alive any more. (The members of OpenID Federation's historical keys.) Who publishes all
keys that there ever were says so in them, so that a retired key answers for its own time only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias, runtime_checkable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from approvals.core import b64, canonical
from approvals.core.errors import KeySetError
from approvals.core.public_key import ed25519_key, p256_key

ES256: Final = "ES256"
ED25519: Final = "Ed25519"
SIGNATURE_BYTES: Final = 64

_ALGORITHMS: Final = MappingProxyType({("EC", "P-256"): ES256, ("OKP", "Ed25519"): ED25519})
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_COORDINATE: Final = 32
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
_CHECK: Final = ec.ECDSA(SHA256())
# RFC 6979: the same input gives the same signature, and a poor source of randomness cannot give the
# key away.
_SIGN: Final = ec.ECDSA(SHA256(), deterministic_signing=True)

_Public: TypeAlias = "ec.EllipticCurvePublicKey | Ed25519PublicKey"
_Private: TypeAlias = "ec.EllipticCurvePrivateKey | Ed25519PrivateKey"


@runtime_checkable
class ExportableKey(Protocol):
    """A private key that can write itself as a JWK, such as `jwcrypto.jwk.JWK`."""

    def export(self, *, private_key: bool, as_dict: bool) -> object:
        """The JWK as a mapping."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key, its name and the one algorithm that it is for."""

    kid: str
    alg: str
    _public: _Public = field(repr=False)
    not_before: int | None = None
    expires: int | None = None

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, object]) -> VerifyingKey | None:
        """Read a public JWK; None if it is of another kind or for another use.

        Raises:
            KeySetError: code private_key, algorithm, key or kid.
        """
        if found := sorted(_PRIVATE_MEMBERS & jwk.keys()):
            raise KeySetError(
                f"a set of public keys holds the private member {found[0]!r}", code="private_key"
            )
        alg = _ALGORITHMS.get((str(jwk.get("kty")), str(jwk.get("crv"))))
        if alg is None or jwk.get("use", "sig") != "sig" or not _may_verify(jwk):
            return None
        _check_algorithm(jwk, alg)
        return _named(jwk, alg, _read_public(jwk, alg))

    def held_at(self, time: int) -> bool:
        """Whether the key may have signed something at `time`."""
        begun = self.not_before is None or self.not_before <= time
        return begun and not self.retired_at(time)

    def retired_at(self, time: int) -> bool:
        """Whether the key's end has come at `time`."""
        return self.expires is not None and self.expires <= time

    def accepts(self, signature: bytes, signed: bytes) -> bool:
        """Whether these 64 bytes are this key's signature over `signed`."""
        if len(signature) != SIGNATURE_BYTES:
            return False
        try:
            if isinstance(self._public, Ed25519PublicKey):
                self._public.verify(signature, signed)
                return True
            r = int.from_bytes(signature[:_COORDINATE], "big")
            s = int.from_bytes(signature[_COORDINATE:], "big")
            # Zero makes the equation hold for any message where a library forgets to look.
            if not (0 < r < _ORDER and 0 < s < _ORDER):
                return False
            self._public.verify(encode_dss_signature(r, s), signed, _CHECK)
        except InvalidSignature:
            return False
        return True

    def public_jwk(self) -> dict[str, canonical.Json]:
        """Write the key as it is published."""
        return {
            **_public_members(self._public),
            "alg": self.alg,
            "kid": self.kid,
            "use": "sig",
            **({} if self.not_before is None else {"nbf": self.not_before}),
            **({} if self.expires is None else {"exp": self.expires}),
        }


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, ready to sign; neither its repr nor any method gives its secret away."""

    verifying: VerifyingKey
    _private: _Private = field(repr=False)

    @classmethod
    def from_jwk(cls, key: Mapping[str, object] | ExportableKey) -> SigningKey:
        """Read a private JWK.

        Raises:
            KeySetError: code algorithm, key or kid.
        """
        jwk = key if isinstance(key, Mapping) else key.export(private_key=True, as_dict=True)
        if not isinstance(jwk, Mapping):
            raise KeySetError("a private key is a JWK, which is a JSON object")
        alg = _ALGORITHMS.get((str(jwk.get("kty")), str(jwk.get("crv"))))
        if alg is None:
            raise KeySetError(
                "a signing key is P-256 (ES256) or Ed25519; this one is neither", code="algorithm"
            )
        _check_algorithm(jwk, alg)
        private = _read_private(jwk, alg)
        public = private.public_key()
        # A public half of another key would put signatures under a name that cannot check them.
        if {**jwk, **_public_members(public)} != jwk:
            raise KeySetError("the public half of the key does not belong to its private half")
        return cls(_named(jwk, alg, public), private)

    @property
    def kid(self) -> str:
        """The RFC 7638 thumbprint."""
        return self.verifying.kid

    @property
    def alg(self) -> str:
        """`ES256` or `Ed25519`."""
        return self.verifying.alg

    def public_jwk(self) -> dict[str, canonical.Json]:
        """Write the public half as it is published."""
        return self.verifying.public_jwk()

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature; the same message gives the same bytes."""
        if isinstance(self._private, Ed25519PrivateKey):
            return self._private.sign(message)
        r, s = decode_dss_signature(self._private.sign(message, _SIGN))
        return r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")


@dataclass(frozen=True, slots=True)
class KeySet:
    """Public keys by name. To read a key costs as much as to use it: make the set once."""

    _by_kid: Mapping[str, VerifyingKey]

    @classmethod
    def from_jwks(cls, doc: Mapping[str, object]) -> KeySet:
        """Read a JWK Set.

        Raises:
            KeySetError: code private_key, algorithm, key or kid, with the key's place in the set.
        """
        listed = doc.get("keys")
        if not isinstance(listed, list | tuple):
            raise KeySetError('a JWK Set is an object with a list of "keys"', place="/keys")
        by_kid: dict[str, VerifyingKey] = {}
        for position, jwk in enumerate(listed):
            place = f"/keys/{position}"
            if not isinstance(jwk, Mapping):
                raise KeySetError("a key is a JSON object", place=place)
            try:
                key = VerifyingKey.from_jwk(jwk)
            except KeySetError as error:
                raise KeySetError(error.message, code=error.code, place=place) from error
            if key is not None:
                by_kid[key.kid] = key
        return cls(MappingProxyType(by_kid))

    def get(self, kid: str) -> VerifyingKey | None:
        """Look up a key by its thumbprint."""
        return self._by_kid.get(kid)

    def kids(self) -> frozenset[str]:
        """The names of all keys in the set."""
        return frozenset(self._by_kid)

    def are_retired(self, time: int) -> bool:
        """Whether no key of the set can sign anything from `time` on."""
        return all(key.retired_at(time) for key in self._by_kid.values())

    def jwks(self) -> dict[str, canonical.Json]:
        """Write the set as it is published."""
        return {"keys": [key.public_jwk() for key in self._by_kid.values()]}


def _may_verify(jwk: Mapping[str, object]) -> bool:
    operations = jwk.get("key_ops")
    return operations is None or (isinstance(operations, list) and "verify" in operations)


def _check_algorithm(jwk: Mapping[str, object], alg: str) -> None:
    # "EdDSA" names a family and leaves the curve to the token; RFC 9864 deprecates it.
    if jwk.get("alg", alg) != alg:
        raise KeySetError(f'the key is for {alg}, but its "alg" says otherwise', code="algorithm")


def _named(jwk: Mapping[str, object], alg: str, public: _Public) -> VerifyingKey:
    kid = canonical.digest(_public_members(public))
    if jwk.get("kid", kid) != kid:
        raise KeySetError(f"a key's kid is its RFC 7638 thumbprint, here {kid}", code="kid")
    return VerifyingKey(kid, alg, public, _time(jwk, "nbf"), _time(jwk, "exp"))


def _time(jwk: Mapping[str, object], name: str) -> int | None:
    time = jwk.get(name)
    if time is None and name not in jwk:
        return None
    # One that cannot be read would leave a key without its end.
    if type(time) is not int or time < 0:
        raise KeySetError(f"the key's {name!r} is not a time in seconds since 1970")
    return time


def _read_public(jwk: Mapping[str, object], alg: str) -> _Public:
    try:
        if alg == ED25519:
            return ed25519_key(_member(jwk, "x"))
        return p256_key(_member(jwk, "x"), _member(jwk, "y"))
    except ValueError as error:
        raise KeySetError(str(error)) from error


def _read_private(jwk: Mapping[str, object], alg: str) -> _Private:
    secret = _member(jwk, "d")
    if alg == ED25519:
        return Ed25519PrivateKey.from_private_bytes(secret)
    try:
        return ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256R1())
    except ValueError as error:
        raise KeySetError("the private half of the key is out of range") from error


def _member(jwk: Mapping[str, object], name: str) -> bytes:
    text = jwk.get(name)
    try:
        raw = b64.decode(text) if isinstance(text, str) else b""
    except ValueError as error:
        raise KeySetError(f"the key's {name!r} is not base64url without padding") from error
    if len(raw) != _COORDINATE:
        raise KeySetError(f"the key's {name!r} is not {_COORDINATE} bytes long")
    return raw


def _public_members(public: _Public) -> dict[str, canonical.Json]:
    """The members that RFC 7638 hashes, and no other."""
    if isinstance(public, Ed25519PublicKey):
        x = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return {"crv": "Ed25519", "kty": "OKP", "x": b64.encode(x)}
    point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    x, y = point[1 : 1 + _COORDINATE], point[1 + _COORDINATE :]
    return {"crv": "P-256", "kty": "EC", "x": b64.encode(x), "y": b64.encode(y)}
