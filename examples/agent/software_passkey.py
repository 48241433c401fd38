"""A passkey made of software, for the demo when nobody sits at the keyboard.

It answers the two questions a browser asks an authenticator, "make a credential" (WebAuthn Level 3,
section 5.1.3, attestation "none") and "sign this challenge" (section 5.1.4), in the JSON a browser
sends (`PublicKeyCredential.toJSON()`). The keys are real ES256 keys and the signatures are real;
what is missing is a person, a device and a protected key, so it belongs in demos only.
"""

import hashlib
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40
# A key that can be copied says so (backup eligible, backed up): it must never pass for hardware.
COPIED = 0x08 | 0x10
ES256 = -7


class SoftwarePasskey:
    """One person's authenticator for one origin; holds one credential once it has registered."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._credential_id = secrets.token_bytes(32)
        self._user_handle = b""
        self._uses = 0

    def register(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `navigator.credentials.create` with these options."""
        if ES256 not in [parameter["alg"] for parameter in options["pubKeyCredParams"]]:
            raise ValueError("the service does not take ES256 passkeys")
        self._user_handle = _decode(options["user"]["id"])
        point = self._key.public_key().public_numbers()
        public_key = cbor2.dumps(
            {
                1: 2,
                3: ES256,
                -1: 1,
                -2: point.x.to_bytes(32, "big"),
                -3: point.y.to_bytes(32, "big"),
            }
        )
        attested = (
            bytes(16)  # AAGUID: all zero, a device that does not say what it is
            + len(self._credential_id).to_bytes(2, "big")
            + self._credential_id
            + public_key
        )
        data = self._authenticator_data(PRESENT | VERIFIED | COPIED | ATTESTED) + attested
        response = {
            "clientDataJSON": _encode(self._client_data("webauthn.create", options["challenge"])),
            "attestationObject": _encode(
                cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
            ),
            "transports": ["internal"],
        }
        return self._credential(response)

    def sign(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `navigator.credentials.get` with these options."""
        allowed = [_decode(entry["id"]) for entry in options.get("allowCredentials", ())]
        if allowed and self._credential_id not in allowed:
            raise ValueError("the service asks for another passkey than this one")
        data = self._authenticator_data(PRESENT | VERIFIED | COPIED)
        client_data = self._client_data("webauthn.get", options["challenge"])
        signature = self._key.sign(
            data + hashlib.sha256(client_data).digest(), ec.ECDSA(hashes.SHA256())
        )
        response = {
            "clientDataJSON": _encode(client_data),
            "authenticatorData": _encode(data),
            "signature": _encode(signature),
            "userHandle": _encode(self._user_handle),
        }
        return self._credential(response)

    def _client_data(self, ceremony: str, challenge: str) -> bytes:
        document = {
            "type": ceremony,
            "challenge": challenge,
            "origin": self._origin,
            "crossOrigin": False,
        }
        return json.dumps(document, separators=(",", ":")).encode()

    def _authenticator_data(self, flags: int) -> bytes:
        self._uses += 1
        rp_id = urlsplit(self._origin).hostname or ""
        return (
            hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + self._uses.to_bytes(4, "big")
        )

    def _credential(self, response: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "id": _encode(self._credential_id),
            "rawId": _encode(self._credential_id),
            "type": "public-key",
            "response": dict(response),
            "clientExtensionResults": {},
            "authenticatorAttachment": "platform",
        }


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
