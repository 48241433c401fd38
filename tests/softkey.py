"""A passkey in software: real registrations and real assertions, in the shape browsers send them.

It does what an authenticator and a browser do together, over the same cryptography, so that what is
tested is the real checking. `SoftKey` behaves; what it is told to do wrong stands in the arguments
called `wrong`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from approvals.core import b64
from approvals.core.decision.ceremony import StepUp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ES256, EDDSA, RS256 = -7, -8, -257
UP, UV, BE, BS, AT, ED = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80
Attest: TypeAlias = "Callable[[bytes, bytes], tuple[str, dict[str, Any]]]"
"""Authenticator data and the hash of client data to the format and statement of an attestation."""
PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


def make_private_key(algorithm: int) -> PrivateKey:
    """A fresh private key of one of the three algorithms."""
    match algorithm:
        case -7:
            return ec.generate_private_key(ec.SECP256R1())
        case -8:
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class SoftKey:
    """One passkey. Credential id and user handle follow from its `seed`; the key does not.

    `step_up` is what a directory of the tests lists it as; nothing that it says depends on it.
    """

    seed: str
    rp_id: str = "localhost"
    origin: str = "http://localhost:8420"
    algorithm: int = ES256
    backup_eligible: bool = False
    backed_up: bool = False
    counts: bool = False
    aaguid: bytes = bytes(16)
    sign_count: int = 0
    step_up: StepUp = StepUp.PASSKEY
    attest: Attest | None = None
    private: PrivateKey = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.private = make_private_key(self.algorithm)
        self.credential_id = hashlib.sha256(b"credential " + self.seed.encode()).digest()
        self.user_handle = hashlib.sha256(b"user " + self.seed.encode()).digest()

    @property
    def cose(self) -> bytes:
        """The public key as a COSE_Key."""
        public = self.private.public_key()
        if isinstance(public, ec.EllipticCurvePublicKey):
            point = public.public_numbers()
            x, y = point.x.to_bytes(32), point.y.to_bytes(32)
            return cbor2.dumps({1: 2, 3: ES256, -1: 1, -2: x, -3: y}, canonical=True)
        if isinstance(public, ed25519.Ed25519PublicKey):
            key = {1: 1, 3: EDDSA, -1: 6, -2: public.public_bytes_raw()}
            return cbor2.dumps(key, canonical=True)
        numbers = public.public_numbers()
        n = numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8)
        return cbor2.dumps({1: 3, 3: RS256, -1: n, -2: b"\x01\x00\x01"}, canonical=True)

    def register(self, options: Mapping[str, Any], **wrong: Any) -> dict[str, Any]:
        """A registration, attested if there is who attests, as a browser's `toJSON` gives it."""
        if handle := options.get("user", {}).get("id"):
            self.user_handle = b64.decode(handle)
        client_data = self._client_data("webauthn.create", options["challenge"], wrong)
        identity = self.aaguid + len(self.credential_id).to_bytes(2) + self.credential_id
        data = self._authenticator_data(AT, wrong) + identity + self.cose
        fmt = "none"
        statement: dict[str, Any] = {}
        if self.attest is not None:
            fmt, statement = self.attest(data, hashlib.sha256(client_data).digest())
        attestation = {"fmt": fmt, "attStmt": statement, "authData": data}
        return self._credential(
            {
                "clientDataJSON": b64.encode(client_data),
                "attestationObject": b64.encode(cbor2.dumps(attestation, canonical=True)),
                "transports": wrong.get("transports", ["internal"]),
            }
        )

    def authenticate(self, options: Mapping[str, Any], **wrong: Any) -> dict[str, Any]:
        """An assertion over `options["challenge"]`, as `PublicKeyCredential.toJSON()` gives it.

        `wrong` may set: `type`, `origin`, `cross_origin`, `extra` (members of client data),
        `client_data` (all of its bytes), `challenge`, `rp_id`, `flags_on`, `flags_off`,
        `sign_count`, `tail` (bytes behind the authenticator data), `signature`, `user_handle`.
        """
        if self.counts:
            self.sign_count += 1
        challenge = wrong.get("challenge", options["challenge"])
        client_data = self._client_data("webauthn.get", challenge, wrong)
        data = self._authenticator_data(0, wrong) + wrong.get("tail", b"")
        signature = self._sign(data + hashlib.sha256(client_data).digest())
        return self._credential(
            {
                "clientDataJSON": b64.encode(client_data),
                "authenticatorData": b64.encode(data),
                "signature": b64.encode(wrong.get("signature", signature)),
                "userHandle": b64.encode(wrong.get("user_handle", self.user_handle)),
            }
        )

    def _client_data(self, kind: str, challenge: str, wrong: Mapping[str, Any]) -> bytes:
        data = {
            "type": wrong.get("type", kind),
            "challenge": challenge,
            "origin": wrong.get("origin", self.origin),
            "crossOrigin": wrong.get("cross_origin", False),
            **wrong.get("extra", {}),
        }
        whole: bytes = wrong.get("client_data", json.dumps(data, separators=(",", ":")).encode())
        return whole

    def _authenticator_data(self, more: int, wrong: Mapping[str, Any]) -> bytes:
        flags = UP | UV | more
        flags |= BE if self.backup_eligible else 0
        flags |= BS if self.backed_up else 0
        flags = (flags | wrong.get("flags_on", 0)) & ~wrong.get("flags_off", 0)
        rp_id = hashlib.sha256(wrong.get("rp_id", self.rp_id).encode()).digest()
        sign_count: int = wrong.get("sign_count", self.sign_count)
        return rp_id + bytes([flags]) + sign_count.to_bytes(4)

    def _sign(self, message: bytes) -> bytes:
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            signature: bytes = self.private.sign(message, ec.ECDSA(hashes.SHA256()))
        elif isinstance(self.private, rsa.RSAPrivateKey):
            signature = self.private.sign(message, padding.PKCS1v15(), hashes.SHA256())
        else:
            signature = self.private.sign(message)
        return signature

    def _credential(self, response: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": b64.encode(self.credential_id),
            "rawId": b64.encode(self.credential_id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": response,
        }
