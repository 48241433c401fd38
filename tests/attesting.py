"""A maker of security keys in software: a root, certificates, and attestations that really verify.

Everything is signed by fresh keys; what a test wants wrong stands in arguments.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID, ObjectIdentifier

from approvals.core import b64
from tests.softkey import ES256

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.softkey import Attest

AAGUID = UUID("11223344-5566-4788-99aa-bbccddeeff00")
OTHER = UUID("99999999-5566-4788-99aa-bbccddeeff00")
_AAGUID_EXTENSION = ObjectIdentifier("1.3.6.1.4.1.45724.1.1.4")


def _name(common: str, unit: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "SE"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Maker AB"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


@dataclass(frozen=True)
class Certified:
    """A key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        """The certificate as an attestation holds it."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate as an operator is given it."""
        return self.certificate.public_bytes(Encoding.PEM)


def certify(
    common: str,
    *,
    by: Certified | None = None,
    ca: bool = False,
    unit: str = "Authenticator Attestation",
    aaguid: UUID | None = None,
    critical: bool = False,
    dns: str | None = None,
    days: tuple[int, int] = (-1, 30),
) -> Certified:
    """A fresh key with a certificate that `by` signs; its own key if nobody does."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(common, unit)
    today = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if by is None else by.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today + timedelta(days=days[0]))
        .not_valid_after(today + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if aaguid is not None:
        value = x509.UnrecognizedExtension(_AAGUID_EXTENSION, b"\x04\x10" + aaguid.bytes)
        builder = builder.add_extension(value, critical=critical)
    if dns is not None:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(dns)]), critical=False
        )
    signer = key if by is None else by.key
    return Certified(key, builder.sign(signer, hashes.SHA256()))


@dataclass(frozen=True)
class Maker:
    """Makes security keys of one model, and attests to what they hold."""

    root: Certified = field(default_factory=lambda: certify("Root", ca=True, unit="Roots"))
    aaguid: UUID = AAGUID

    def packed(self, *, signer: Certified | None = None, **certificate: Any) -> Attest:
        """A packed attestation by a certificate of this model; changes make it wrong."""
        leaf = certify("Key 1", **{"by": self.root, "aaguid": self.aaguid, **certificate})

        def attest(
            authenticator_data: bytes, client_data_hash: bytes
        ) -> tuple[str, dict[str, Any]]:
            key = leaf.key if signer is None else signer.key
            signature = key.sign(authenticator_data + client_data_hash, ec.ECDSA(hashes.SHA256()))
            return "packed", {"alg": ES256, "sig": signature, "x5c": [leaf.der]}

        return attest

    def write_root(self, folder: Path, *, name: str | None = None) -> Path:
        """The folder of roots that an operator makes for this model."""
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / f"{name or self.aaguid}.pem").write_bytes(self.root.pem)
        return folder


@dataclass(frozen=True)
class MetadataService:
    """Signs lists as the FIDO Metadata Service does."""

    root: Certified = field(default_factory=lambda: certify("Trust", ca=True, unit="Trust"))

    def entry(self, maker: Maker, **changes: Any) -> dict[str, Any]:
        """What the list says of a maker's model."""
        statement = {
            "description": "Maker Key 5",
            "keyProtection": changes.pop("protection", ["hardware", "secure_element"]),
            "attestationTypes": ["basic_full"],
            "attestationRootCertificates": [b64encode(maker.root.der).decode()],
        }
        status = [{"status": each} for each in changes.pop("status", ["FIDO_CERTIFIED_L1"])]
        return {
            "aaguid": str(maker.aaguid),
            "metadataStatement": statement,
            "statusReports": status,
            **changes,
        }

    def write(
        self,
        folder: Path,
        *entries: Mapping[str, Any],
        dns: str = "mds.fidoalliance.org",
        due: int = 20,
        by: Certified | None = None,
        forged: bool = False,
    ) -> Path:
        """A folder with a list of these entries and the root that an operator was given."""
        folder.mkdir(mode=0o700, exist_ok=True)
        leaf = certify("Signer", by=by or self.root, unit="Metadata", dns=dns)
        next_update = (datetime.now(UTC) + timedelta(days=due)).date().isoformat()
        payload = {"no": 7, "nextUpdate": next_update, "entries": list(entries)}
        header = {"alg": "ES256", "typ": "JWT", "x5c": [b64encode(leaf.der).decode()]}
        head, body = (b64.encode(json.dumps(part).encode()) for part in (header, payload))
        signed = f"{head}.{body}".encode()
        r, s = decode_dss_signature(leaf.key.sign(signed, ec.ECDSA(hashes.SHA256())))
        if forged:
            s ^= 1
        signature = b64.encode(r.to_bytes(32) + s.to_bytes(32))
        (folder / "metadata.jwt").write_text(f"{head}.{body}.{signature}\n")
        (folder / "metadata-root.pem").write_bytes(self.root.pem)
        return folder
