"""The models of authenticators whose makers' attestation the operator trusts.

A folder, named by `ASSENT_ATTESTATION_ROOTS`, holds either or both of:

- `<aaguid>.pem`: the root certificates of one model, for instance from its maker's web site;
- `metadata.jwt`, the signed list of the FIDO Metadata Service (MDS3), and `metadata-root.pem`, the
  root certificate under which it is signed.

What holds:
1. Every file in the folder is read, or is an error.
2. The list counts only if the metadata service signed it and its next issue is not due.
3. A model counts only if its keys are held in hardware and no report says that it is broken.
4. The folder is read anew for each use, so a new list is in force as soon as it is there.

Follows FIDO Metadata Service 3.1, section 3.
"""

from __future__ import annotations

import binascii
import stat
from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from webauthn.helpers import validate_certificate_chain
from webauthn.helpers.exceptions import InvalidCertificateChain

from approvals import files
from approvals.core import b64
from approvals.core.errors import AssentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

LIST: Final = "metadata.jwt"
LIST_ROOT: Final = "metadata-root.pem"
SIGNER: Final = "mds.fidoalliance.org"
"""Whose name the certificate bears that signs the list: its root certifies others as well."""

MAX_FILE: Final = 64 * 1024 * 1024
_P256_BYTES: Final = 64
# Any of these, however old: what was taken out of a device once can be used ever after.
_BROKEN: Final = frozenset(
    {
        "REVOKED",
        "USER_VERIFICATION_BYPASS",
        "ATTESTATION_KEY_COMPROMISE",
        "USER_KEY_REMOTE_COMPROMISE",
        "USER_KEY_PHYSICAL_COMPROMISE",
    }
)


@dataclass(frozen=True, slots=True)
class Model:
    """A model of authenticator: its AAGUID, what it is called, and its roots in PEM."""

    aaguid: bytes
    name: str
    roots: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Authenticators:
    """The models that are trusted, by AAGUID; `broken` are listed and refused, with the reason."""

    models: Mapping[bytes, Model]
    broken: Mapping[bytes, str]


def read_authenticators(folder: Path, *, now: int) -> Authenticators:
    """Read the folder.

    Raises:
        AssentError: code `attestation_roots`; the place is the file that is wrong.
    """
    models: dict[bytes, Model] = {}
    broken: dict[bytes, str] = {}
    texts = _files(folder)
    if (LIST in texts) is not (LIST_ROOT in texts):
        missing = LIST_ROOT if LIST in texts else LIST
        raise _wrong(folder / missing, f"{LIST} and {LIST_ROOT} belong together; this is missing")
    if LIST in texts:
        roots = _certificates(texts[LIST_ROOT], place=folder / LIST_ROOT)
        models, broken = _read_list(texts[LIST], roots, place=folder / LIST, now=now)
    for name, raw in texts.items():
        if name not in {LIST, LIST_ROOT}:
            aaguid = _aaguid(name.removesuffix(".pem"), place=folder / name)
            certificates = _certificates(raw, place=folder / name)
            # What was put there by hand some time ago does not outweigh a report that it is broken.
            if aaguid not in broken:
                models[aaguid] = Model(aaguid, name.removesuffix(".pem"), certificates)
    if not models:
        raise _wrong(folder, "no model of authenticator is in it")
    return Authenticators(models, broken)


def _files(folder: Path) -> dict[str, bytes]:
    try:
        found = {}
        # Every file in it counts, so the sticky bit, which keeps each as it is, is not enough.
        if folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise _wrong(folder, f"others may put files into it; do: chmod go-w {folder}")
        for path in sorted(folder.iterdir()):
            if path.name not in {LIST, LIST_ROOT} and path.suffix != ".pem":
                raise _wrong(path, f"not <aaguid>.pem, {LIST} or {LIST_ROOT}")
            # Who can write here can have any key pass for hardware.
            found[path.name] = files.read(path, most=MAX_FILE, trust=files.MOUNTED_PIN)
    except files.FileRefusedError as refused:
        raise _wrong(path, refused.why) from refused
    except OSError as error:
        raise _wrong(folder, f"cannot be read: {error.strerror}") from error
    return found


def _read_list(
    raw: bytes, roots: tuple[bytes, ...], *, place: Path, now: int
) -> tuple[dict[bytes, Model], dict[bytes, str]]:
    payload = _verified(raw.strip(), roots, place=place)
    models: dict[bytes, Model] = {}
    broken: dict[bytes, str] = {}
    try:
        if date.fromisoformat(payload["nextUpdate"]) < datetime.fromtimestamp(now, UTC).date():
            raise _wrong(place, f"its next issue was due on {payload['nextUpdate']}; fetch it")
        for entry in payload["entries"]:
            if "aaguid" not in entry:  # authenticators of older protocols, which make no passkeys
                continue
            aaguid = _aaguid(entry["aaguid"], place=place)
            if why := _unfit(entry):
                broken[aaguid] = why
                continue
            statement = entry["metadataStatement"]
            models[aaguid] = Model(
                aaguid,
                str(statement["description"]),
                tuple(
                    _pem(b64decode("".join(text.split()), validate=True))
                    for text in statement["attestationRootCertificates"]
                ),
            )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _wrong(place, "not a list as the metadata service writes it") from error
    return models, broken


def _unfit(entry: dict[str, Any]) -> str | None:
    """Why this model's keys are not to be called hardware, if they are not."""
    reported = {report["status"] for report in entry["statusReports"]}
    if found := sorted(reported & _BROKEN):
        return f"the metadata service reports {found[0]}"
    protection = entry["metadataStatement"]["keyProtection"]
    if "hardware" not in protection or "software" in protection:
        return "its keys are not held in hardware"
    if not entry["metadataStatement"]["attestationRootCertificates"]:
        return "its maker attests to nothing"
    return None


def _verified(token: bytes, roots: tuple[bytes, ...], *, place: Path) -> dict[str, Any]:
    """The payload of the list, once a certificate of the metadata service signed it."""
    try:
        head, body, tail = token.split(b".")
        header = orjson.loads(b64.decode(head.decode("ascii")))
        chain = [b64decode(text, validate=True) for text in header["x5c"]]
        signature = b64.decode(tail.decode("ascii"))
        payload = orjson.loads(b64.decode(body.decode("ascii")))
        leaf = x509.load_der_x509_certificate(chain[0])
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (LookupError, TypeError, ValueError, binascii.Error, x509.ExtensionNotFound) as error:
        raise _wrong(place, "not a token that carries its certificates") from error
    if SIGNER not in names.get_values_for_type(x509.DNSName):
        raise _wrong(place, f"signed by another than {SIGNER}")
    if not _chains(chain, roots):
        raise _wrong(place, f"its certificates do not lead to {LIST_ROOT}")
    if not _signed(leaf, header.get("alg"), signature, head + b"." + body):
        raise _wrong(place, "its signature does not hold")
    if not isinstance(payload, dict):
        raise _wrong(place, "not a list as the metadata service writes it")
    return payload


def _signed(leaf: x509.Certificate, alg: object, signature: bytes, signed: bytes) -> bool:
    key = leaf.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey) and alg == "RS256":
            key.verify(signature, signed, padding.PKCS1v15(), SHA256())
            return True
        if (
            isinstance(key, ec.EllipticCurvePublicKey)
            and isinstance(key.curve, ec.SECP256R1)
            and alg == "ES256"
            and len(signature) == _P256_BYTES
        ):
            half = _P256_BYTES // 2
            r, s = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
            key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(SHA256()))
            return True
    except InvalidSignature:
        pass
    return False


def _chains(chain: Sequence[bytes], roots: tuple[bytes, ...]) -> bool:
    """Whether OpenSSL finds a valid path to a root; without any root there is none."""
    try:
        return bool(roots) and validate_certificate_chain(
            x5c=list(chain), pem_root_certs_bytes=list(roots)
        )
    except InvalidCertificateChain:
        return False


def _certificates(raw: bytes, *, place: Path) -> tuple[bytes, ...]:
    try:
        found = x509.load_pem_x509_certificates(raw)
    except ValueError as error:
        raise _wrong(place, "not certificates in PEM") from error
    return tuple(certificate.public_bytes(Encoding.PEM) for certificate in found)


def _pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


def _aaguid(text: str, *, place: Path) -> bytes:
    try:
        aaguid = UUID(text)
    except ValueError as error:
        raise _wrong(place, "not the AAGUID of a model of authenticator") from error
    # All zeros is what a device says that does not want to be known by its model.
    if str(aaguid) != text or not aaguid.int:
        raise _wrong(place, "not the AAGUID of a model of authenticator")
    return aaguid.bytes


def _wrong(place: Path, message: str) -> AssentError:
    return AssentError(message, code="attestation_roots", place=str(place))
