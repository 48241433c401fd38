"""What a browser sends of a passkey, read and checked.

Every assertion is checked twice: by `core.passkey`, the strict reader that offline verifiers use as
well, and by the WebAuthn library. A mistake in one is not a forged decision. The library's defaults
are not relied on: each option that matters is stated here. What it does not look at (`crossOrigin`,
`topOrigin`, duplicate members of the client data) the strict reader refuses.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import webauthn
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import (
    InvalidAuthenticationResponse,
    InvalidRegistrationResponse,
    WebAuthnException,
)
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticatorSelectionCriteria,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from approvals.core import b64, passkey
from approvals.core.errors import EvidenceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.config import Settings
    from approvals.store.people import Passkey

ALGORITHMS = [
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
TIMEOUT_MILLISECONDS = 300_000
LONGEST_FIELD = 16_384


@dataclass(frozen=True, slots=True)
class Assertion:
    """The parts of a `navigator.credentials.get` answer, as the browser's `toJSON` writes them."""

    credential_id: bytes
    client_data_json: bytes
    authenticator_data: bytes
    signature: bytes
    user_handle: bytes | None

    def document(self) -> dict[str, Any]:
        """The form that the WebAuthn library reads."""
        response = {
            "clientDataJSON": b64.encode(self.client_data_json),
            "authenticatorData": b64.encode(self.authenticator_data),
            "signature": b64.encode(self.signature),
        }
        if self.user_handle is not None:
            response["userHandle"] = b64.encode(self.user_handle)
        return {
            "id": b64.encode(self.credential_id),
            "rawId": b64.encode(self.credential_id),
            "type": "public-key",
            "response": response,
            "clientExtensionResults": {},
        }


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """A passkey that a browser has just made."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    aaguid: bytes
    backup_eligible: bool
    backup_state: bool


def creation_options(
    settings: Settings,
    *,
    challenge: bytes,
    handle: bytes,
    name: str,
    display_name: str,
    known: Sequence[Passkey],
) -> dict[str, Any]:
    """Options for `navigator.credentials.create`: resident, user verification required."""
    options = webauthn.generate_registration_options(
        rp_id=settings.rp_id,
        rp_name="Assent",
        user_id=handle,
        user_name=name,
        user_display_name=display_name,
        challenge=challenge,
        timeout=TIMEOUT_MILLISECONDS,
        attestation=AttestationConveyancePreference.NONE,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[_descriptor(each) for each in known],
        supported_pub_key_algs=ALGORITHMS,
    )
    document: dict[str, Any] = json.loads(webauthn.options_to_json(options))
    return document


def request_options(
    settings: Settings, *, challenge: bytes, allowed: Sequence[Passkey]
) -> dict[str, Any]:
    """Options for `navigator.credentials.get`. Nothing `allowed`: any resident passkey may do."""
    options = webauthn.generate_authentication_options(
        rp_id=settings.rp_id,
        challenge=challenge,
        timeout=TIMEOUT_MILLISECONDS,
        allow_credentials=[_descriptor(each) for each in allowed],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    document: dict[str, Any] = json.loads(webauthn.options_to_json(options))
    return document


def read_assertion(credential: object) -> Assertion:
    """Read what the browser sent.

    Raises:
        EvidenceError: a part is missing or not base64url (`credential`).
    """
    it = _object(credential, "credential")
    response = _object(it.get("response"), "credential.response")
    if it.get("type") != "public-key" or it.get("id") != it.get("rawId"):
        raise EvidenceError("this is not a public-key credential", code="credential")
    handle = response.get("userHandle")
    return Assertion(
        credential_id=_octets(it, "rawId"),
        client_data_json=_octets(response, "clientDataJSON"),
        authenticator_data=_octets(response, "authenticatorData"),
        signature=_octets(response, "signature"),
        user_handle=None if handle is None else _octets(response, "userHandle"),
    )


def check_assertion(
    settings: Settings, assertion: Assertion, *, challenge: bytes, enrolled: Passkey
) -> passkey.AuthenticatorData:
    """Check an assertion by the enrolled passkey over `challenge`, by both readers.

    Raises:
        EvidenceError: it does not hold; the code says what.
    """
    passkey.check_client_data(
        assertion.client_data_json, challenge=challenge, origins=(settings.origin,)
    )
    seen = passkey.read_authenticator_data(assertion.authenticator_data, rp_id=settings.rp_id)
    if seen.backup_eligible is not enrolled.backup_eligible:
        raise EvidenceError("backup eligibility differs from the enrolment", code="backup")
    try:
        webauthn.verify_authentication_response(
            credential=assertion.document(),
            expected_challenge=challenge,
            expected_rp_id=settings.rp_id,
            expected_origin=settings.origin,
            credential_public_key=enrolled.public_key,
            credential_current_sign_count=enrolled.sign_count,
            require_user_verification=True,
        )
    except InvalidAuthenticationResponse as error:
        raise EvidenceError(str(error), code="assertion") from error
    except (WebAuthnException, ValueError) as error:
        raise EvidenceError("the passkey's answer cannot be read", code="credential") from error
    return seen


def check_registration(settings: Settings, credential: object, *, challenge: bytes) -> NewPasskey:
    """Check a new passkey.

    Raises:
        EvidenceError: it does not hold, or it is one that offline verifiers could not use.
    """
    it = _object(credential, "credential")
    response = _object(it.get("response"), "credential.response")
    passkey.check_client_data(
        _octets(response, "clientDataJSON"),
        challenge=challenge,
        origins=(settings.origin,),
        kind="webauthn.create",
    )
    try:
        made = webauthn.verify_registration_response(
            credential=it,
            expected_challenge=challenge,
            expected_rp_id=settings.rp_id,
            expected_origin=settings.origin,
            require_user_presence=True,
            require_user_verification=True,
            supported_pub_key_algs=ALGORITHMS,
        )
    except InvalidRegistrationResponse as error:
        raise EvidenceError(str(error), code="registration") from error
    except (WebAuthnException, ValueError, LookupError, TypeError, AttributeError) as error:
        # The library trusts the types inside an attestation, which is whatever a browser sent.
        raise EvidenceError("the new passkey cannot be read", code="credential") from error
    passkey.decode_public_key(made.credential_public_key)
    return NewPasskey(
        credential_id=made.credential_id,
        public_key=made.credential_public_key,
        sign_count=made.sign_count,
        aaguid=bytes.fromhex(made.aaguid.replace("-", "")),
        backup_eligible=made.credential_device_type is CredentialDeviceType.MULTI_DEVICE,
        backup_state=made.credential_backed_up,
    )


def _descriptor(enrolled: Passkey) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor(id=b64.decode(enrolled.credential_id))


def _object(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise EvidenceError("an object is expected", code="credential", place=place)
    return value


def _octets(holder: dict[str, Any], name: str) -> bytes:
    value = holder.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_FIELD:
        raise EvidenceError("base64url is expected", code="credential", place=name)
    try:
        return b64.decode(value)
    except ValueError as error:
        raise EvidenceError("base64url is expected", code="credential", place=name) from error
