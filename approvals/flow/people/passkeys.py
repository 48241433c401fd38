"""What a browser sends of a passkey, read and checked.

Every assertion is checked twice: by `core.decision.passkey`, the strict reader that offline
verifiers use as well, and by the WebAuthn library. A mistake in one is not a forged decision. The
library's defaults are not relied on: each option that matters is stated here. What it does not look
at (`crossOrigin`, `topOrigin`, duplicate members of the client data) the strict reader refuses.
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
    AttestationFormat,
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from approvals.core import b64, sizes
from approvals.core.decision import passkey
from approvals.core.decision.ceremony import StepUp
from approvals.core.errors import EvidenceError
from approvals.flow.people import attestation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webauthn.registration.verify_registration_response import VerifiedRegistration

    from approvals.config import Settings
    from approvals.keys.authenticators import Authenticators
    from approvals.store.passkeys import Passkey

ALGORITHMS = [
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
TRANSPORTS = frozenset(transport.value for transport in AuthenticatorTransport)
TIMEOUT_MILLISECONDS = 300_000
LONGEST_FIELD = 16_384
LONGEST_ATTESTATION = 65_536
"""Its certificates are in it."""


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
    """A passkey that a browser has just made.

    `step_up` is `hardware-passkey` where `attestation` shows that it is one. `not_hardware` says
    in words why it is not, where the operator trusts makers of hardware at all.
    """

    credential_id: bytes
    public_key: bytes
    sign_count: int
    aaguid: bytes
    backup_eligible: bool
    backup_state: bool
    transports: tuple[str, ...]
    step_up: StepUp
    attestation: str | None
    not_hardware: str | None


def creation_options(
    settings: Settings,
    *,
    challenge: bytes,
    handle: bytes,
    name: str,
    display_name: str,
    known: Sequence[Passkey],
) -> dict[str, Any]:
    """Options for `navigator.credentials.create`: resident, user verification required.

    The browser is asked for the maker's attestation only where one could count: it tells which
    model a person has, and some browsers ask the person first.
    """
    options = webauthn.generate_registration_options(
        rp_id=settings.rp_id,
        rp_name="Assent",
        user_id=handle,
        user_name=name,
        user_display_name=display_name,
        challenge=challenge,
        timeout=TIMEOUT_MILLISECONDS,
        attestation=(
            AttestationConveyancePreference.NONE
            if settings.attestation_roots is None
            else AttestationConveyancePreference.DIRECT
        ),
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
    # Some password managers and older browsers write an absent handle as an empty one.
    handle = response.get("userHandle") or None
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
        assertion.client_data_json, challenge=challenge, origins=(settings.url,)
    )
    seen = passkey.read_authenticator_data(assertion.authenticator_data, rp_id=settings.rp_id)
    if seen.backup_eligible is not enrolled.backup_eligible:
        raise EvidenceError("backup eligibility differs from the enrolment", code="backup")
    try:
        webauthn.verify_authentication_response(
            credential=assertion.document(),
            expected_challenge=challenge,
            expected_rp_id=settings.rp_id,
            expected_origin=settings.url,
            credential_public_key=enrolled.public_key,
            credential_current_sign_count=enrolled.sign_count,
            require_user_verification=True,
        )
    except InvalidAuthenticationResponse as error:
        raise EvidenceError(str(error), code="assertion") from error
    except (WebAuthnException, ValueError) as error:
        raise EvidenceError("the passkey's answer cannot be read", code="credential") from error
    return seen


def check_registration(
    settings: Settings,
    credential: object,
    *,
    challenge: bytes,
    authenticators: Authenticators | None,
    now: int,
) -> NewPasskey:
    """Check a new passkey, and whether one of `authenticators` holds it.

    An attestation that does not count makes it a passkey like any other.

    Raises:
        EvidenceError: it does not hold, or it is one that offline verifiers could not use.
    """
    it = _object(credential, "credential")
    response = _object(it.get("response"), "credential.response")
    client_data = _octets(response, "clientDataJSON")
    passkey.check_client_data(
        client_data, challenge=challenge, origins=(settings.url,), kind="webauthn.create"
    )
    made = attestation.read_object(_octets(response, "attestationObject", LONGEST_ATTESTATION))

    def verify(attestation_object: bytes, roots: tuple[bytes, ...] = ()) -> VerifiedRegistration:
        told = {**response, "attestationObject": b64.encode(attestation_object)}
        return _verify_registration(
            settings, {**it, "response": told}, challenge=challenge, roots=roots
        )

    # First without the attestation: whatever it is, what a passkey needs must hold.
    verified = verify(made.bare())
    passkey.decode_public_key(verified.credential_public_key)
    if len(verified.credential_id) > sizes.CREDENTIAL_ID:
        raise EvidenceError(
            f"a passkey's id has at most {sizes.CREDENTIAL_ID} bytes; use another passkey",
            code="credential",
        )
    aaguid = bytes.fromhex(verified.aaguid.replace("-", ""))
    backup_eligible = verified.credential_device_type is CredentialDeviceType.MULTI_DEVICE
    step_up, not_hardware = StepUp.PASSKEY, None
    if authenticators is not None:
        try:
            attestation.verify_hardware(
                made,
                aaguid=aaguid,
                backup_eligible=backup_eligible,
                authenticators=authenticators,
                now=now,
                verify=verify,
            )
            step_up = StepUp.HARDWARE
        except EvidenceError as error:
            not_hardware = error.message
    return NewPasskey(
        credential_id=verified.credential_id,
        public_key=verified.credential_public_key,
        sign_count=verified.sign_count,
        aaguid=aaguid,
        backup_eligible=backup_eligible,
        backup_state=verified.credential_backed_up,
        transports=_transports(response.get("transports")),
        step_up=step_up,
        attestation=(
            attestation.document(made, client_data) if step_up is StepUp.HARDWARE else None
        ),
        not_hardware=not_hardware,
    )


def _verify_registration(
    settings: Settings, credential: dict[str, Any], *, challenge: bytes, roots: tuple[bytes, ...]
) -> VerifiedRegistration:
    try:
        return webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=settings.rp_id,
            expected_origin=settings.url,
            require_user_presence=True,
            require_user_verification=True,
            supported_pub_key_algs=ALGORITHMS,
            # Without roots the library takes any chain: `attestation` never asks so.
            pem_root_certs_bytes_by_fmt={AttestationFormat.PACKED: list(roots)},
        )
    except InvalidRegistrationResponse as error:
        raise EvidenceError(str(error), code="registration") from error
    except (WebAuthnException, ValueError, LookupError, TypeError, AttributeError) as error:
        # The library trusts the types inside an attestation, which is whatever a browser sent.
        raise EvidenceError("the new passkey cannot be read", code="credential") from error


def _transports(told: object) -> tuple[str, ...]:
    """How the authenticator can be reached, as far as it is known: a hint for later prompts."""
    found = {each for each in told if isinstance(each, str)} if isinstance(told, list) else set()
    return tuple(sorted(found & TRANSPORTS))


def _descriptor(enrolled: Passkey) -> PublicKeyCredentialDescriptor:
    return PublicKeyCredentialDescriptor(
        id=b64.decode(enrolled.credential_id),
        transports=[AuthenticatorTransport(each) for each in enrolled.transports] or None,
    )


def _object(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise EvidenceError("an object is expected", code="credential", place=place)
    return value


def _octets(holder: dict[str, Any], name: str, longest: int = LONGEST_FIELD) -> bytes:
    value = holder.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise EvidenceError("base64url is expected", code="credential", place=name)
    try:
        return b64.decode(value)
    except ValueError as error:
        raise EvidenceError("base64url is expected", code="credential", place=name) from error
