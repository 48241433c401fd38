"""Whether a new passkey counts as a hardware passkey, which its maker has to attest.

A registration can claim any model, and that its key cannot be copied. It counts as hardware only if

1. the attestation is `packed` with certificates (WebAuthn section 8.2), signed over this very key;
2. the certificates lead to a root that the operator trusts for exactly this model (AAGUID), are
   valid now, and the first is an attestation certificate that names the same AAGUID;
3. the authenticator says that the key cannot be backed up.

Other formats do not count. `tpm` also certifies keys that can be moved out of the TPM. The library
checks `android-key` and `apple` against roots of its own. `fido-u2f` names no model, and
self-attestation proves nothing. A passkey with one of these is enrolled like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import cbor2
from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from approvals.core import b64, canonical
from approvals.core.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from approvals.keys.authenticators import Authenticators

DOCUMENT_TYPE: Final = "assent/attestation/1"
LONGEST_CHAIN: Final = 8

_AAGUID: Final = ObjectIdentifier("1.3.6.1.4.1.45724.1.1.4")  # id-fido-gen-ce-aaguid
_OCTET_STRING_16: Final = b"\x04\x10"  # its value: an OCTET STRING of 16 bytes, in DER


@dataclass(frozen=True, slots=True)
class AttestationObject:
    """What `navigator.credentials.create` gives: a format, a statement, authenticator data."""

    fmt: str
    statement: dict[str, Any]
    authenticator_data: bytes

    def whole(self) -> bytes:
        """The object, in the one form in which all that follows reads it."""
        return _encode(self.fmt, self.statement, self.authenticator_data)

    def bare(self) -> bytes:
        """The same registration without any attestation."""
        return _encode("none", {}, self.authenticator_data)


def _encode(fmt: str, statement: dict[str, Any], authenticator_data: bytes) -> bytes:
    return cbor2.dumps({"fmt": fmt, "attStmt": statement, "authData": authenticator_data})


def read_object(raw: bytes) -> AttestationObject:
    """Read an attestation object; nothing in it is verified yet.

    Raises:
        EvidenceError: it is something else (`credential`).
    """
    try:
        value = cbor2.loads(raw, max_depth=8, allow_duplicate_keys=False)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise EvidenceError("the new passkey cannot be read", code="credential") from error
    match value:
        case {"fmt": str(fmt), "attStmt": dict(statement), "authData": bytes(data), **rest} if (
            not rest
        ):
            return AttestationObject(fmt, statement, data)
        case _:
            raise EvidenceError("the new passkey cannot be read", code="credential")


def document(made: AttestationObject, client_data_json: bytes) -> str:
    """What is kept, so that anybody with roots of their own can check it again."""
    return canonical.encode(
        {
            "typ": DOCUMENT_TYPE,
            "attestation_object": b64.encode(made.whole()),
            "client_data_json": b64.encode(client_data_json),
        }
    ).decode()


def verify_hardware(
    made: AttestationObject,
    *,
    aaguid: bytes,
    backup_eligible: bool,
    authenticators: Authenticators,
    now: int,
    verify: Callable[[bytes, tuple[bytes, ...]], object],
) -> str:
    """The name of the model that holds this key.

    `verify` has the library check the registration with this attestation object under these roots.

    Raises:
        EvidenceError: code `attestation`, and in words why this is not a hardware passkey.
    """
    if backup_eligible:
        raise _not_hardware("it can be synced between devices")
    certificates = made.statement.get("x5c")
    if made.fmt != "packed" or not isinstance(certificates, list) or not certificates:
        raise _not_hardware("no maker attests to it in a form that is taken (packed)")
    if aaguid in authenticators.broken:
        raise _not_hardware(authenticators.broken[aaguid])
    model = authenticators.models.get(aaguid)
    if model is None:
        raise _not_hardware(f"the model {_written(aaguid)} is not one that the operator trusts")
    if len(certificates) > LONGEST_CHAIN:
        raise _not_hardware("its chain of certificates is too long")
    _check_leaf(certificates[0], aaguid=aaguid, now=now)
    # Without roots the library takes any chain for good.
    if not model.roots:
        raise _not_hardware("no root is known for its model")
    try:
        verify(made.whole(), model.roots)
    except EvidenceError as error:
        raise _not_hardware("its attestation does not hold under its model's roots") from error
    return model.name


def _check_leaf(raw: object, *, aaguid: bytes, now: int) -> None:
    """The requirements of section 8.2.1, which the library leaves out, and the AAGUID always."""
    try:
        leaf = x509.load_der_x509_certificate(raw if isinstance(raw, bytes) else b"")
        constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
        named = leaf.extensions.get_extension_for_oid(_AAGUID)
        units = leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension) as error:
        raise _not_hardware("its certificate is not one for attestation") from error
    if (
        leaf.version is not x509.Version.v3
        or constraints.value.ca
        or [unit.value for unit in units] != ["Authenticator Attestation"]
    ):
        raise _not_hardware("its certificate is not one for attestation")
    # One root certifies many models: without this a weak model could claim to be a strong one.
    if named.critical or named.value.public_bytes() != _OCTET_STRING_16 + aaguid:
        raise _not_hardware("its certificate is of another model")
    moment = datetime.fromtimestamp(now, UTC)
    if not leaf.not_valid_before_utc <= moment <= leaf.not_valid_after_utc:
        raise _not_hardware("its certificate is not valid at this time")


def _written(aaguid: bytes) -> str:
    text = aaguid.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _not_hardware(why: str) -> EvidenceError:
    return EvidenceError(f"not a hardware passkey: {why}", code="attestation")
