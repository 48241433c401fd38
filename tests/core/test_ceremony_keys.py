"""Public keys of passkeys: their one form, the standard's own vectors, a second implementation."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from webauthn import verify_authentication_response, verify_registration_response
from webauthn.helpers.exceptions import InvalidAuthenticationResponse

from approvals.core import b64
from approvals.core.decision import passkey
from approvals.core.decision.ceremony import challenge
from approvals.core.errors import EvidenceError
from tests.company import ORIGIN, RP_ID, sign
from tests.core.assertions import KEY, KEYS, STATEMENT, SYNCED, check, refused
from tests.softkey import ED, EDDSA, ES256, RS256, UP, UV, SoftKey

if TYPE_CHECKING:
    from collections.abc import Callable


VECTORS = json.loads(
    (Path(__file__).parent.parent / "vectors/webauthn/w3c-level-3.json").read_text()
)


P256 = cbor2.loads(KEY.cose)
OKP = cbor2.loads(KEYS[EDDSA].cose)
RSA = cbor2.loads(KEYS[RS256].cose)


def cose(key: dict[int, Any], **_: Any) -> bytes:
    return cbor2.dumps(key, canonical=True)


def rsa_modulus(bits: int) -> bytes:
    n = rsa.generate_private_key(public_exponent=65537, key_size=bits).public_key()
    return n.public_numbers().n.to_bytes(bits // 8)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x00",
        KEY.cose + b"\x00",
        KEY.cose[:-1],
        cbor2.dumps(dict(reversed(P256.items()))),  # another order
        b"\xbf" + KEY.cose[1:] + b"\xff",  # indefinite length
        b"\xa6" + KEY.cose[1:] + KEY.cose[1:3],  # kty twice
        cose({**P256, 2: b"kid"}),  # a parameter more
        cose({**P256, 1: 1}),
        cose({**P256, 3: -8}),
        cose({**P256, 3: -35}),  # ES384
        cose({**P256, 3: -47}),  # ES256K
        cose({**P256, -1: 2}),
        cose({**P256, -1: True}),  # True == 1 in Python
        cose({**P256, -3: True}),  # a compressed point's sign
        cose({**P256, -2: P256[-2] + b"\x00"}),
        cose({**P256, -2: bytes(32), -3: bytes(32)}),  # not on the curve
        cose({**P256, -2: "x"}),
        cose({key: value for key, value in P256.items() if key != 3}),
        cose({**OKP, 3: -7}),
        cose({**OKP, -1: 4}),  # X25519
        cose({**OKP, -2: OKP[-2][:-1]}),
        cose({**OKP, -2: bytes(32)}),  # small order: anyone signs anything
        cose({**OKP, -2: b"\x01" + bytes(31)}),
        cose({**OKP, -2: b"\x01" + bytes(30) + b"\x80"}),
        cose({**RSA, 3: -37}),  # PS256
        cose({**RSA, -2: b"\x03"}),
        cose({**RSA, -1: b"\x00" + RSA[-1]}),
        cose({**RSA, -1: b""}),
        cose({**RSA, -1: rsa_modulus(1024)}),
        cose({**RSA, -1: b"\xff" * 2048}),
    ],
    # The keys are fresh: an id made of one would be another in every process.
    ids=lambda raw: f"{len(raw)} bytes",
)
def test_a_public_key_has_one_form_and_enough_strength(raw: bytes) -> None:
    with pytest.raises(EvidenceError) as caught:
        passkey.decode_public_key(raw)
    assert caught.value.code == "public_key"


def test_a_point_of_another_curve_is_not_taken_for_p256() -> None:
    numbers = ec.generate_private_key(ec.SECP256K1()).public_key().public_numbers()
    raw = cose({**P256, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)})
    with pytest.raises(EvidenceError) as caught:
        passkey.decode_public_key(raw)
    assert caught.value.code == "public_key"


def accepts(act: Callable[[], object]) -> bool:
    """Whether it goes through; anything but the declared error fails the test."""
    try:
        act()
    except EvidenceError:
        return False
    return True


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_bytes_from_anywhere_raise_nothing_but_the_declared_error(raw: bytes) -> None:
    head = hashlib.sha256(RP_ID.encode()).digest() + bytes([UP | UV | ED, 0, 0, 0, 0])
    assert not accepts(lambda: passkey.decode_public_key(raw))
    assert not accepts(lambda: passkey.read_authenticator_data(raw, rp_id=RP_ID))
    assert not accepts(lambda: passkey.check_client_data(raw, challenge=b"", origins=[ORIGIN]))
    assert not accepts(lambda: passkey.verify_signature(KEY.cose, signature=raw, message=raw))
    extended = accepts(lambda: passkey.read_authenticator_data(head + raw, rp_id=RP_ID))
    assert not extended or cbor2.dumps(cbor2.loads(raw), canonical=True) == raw


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["section"])
def test_the_standards_own_vectors(vector: dict[str, Any]) -> None:
    """Web Authentication Level 3, section "Test Vectors"."""
    public_key, data, client_data, signature, expected = (
        bytes.fromhex(vector[name])
        for name in (
            "public_key",
            "authenticator_data",
            "client_data_json",
            "signature",
            "challenge",
        )
    )
    message = data + hashlib.sha256(client_data).digest()
    passkey.verify_signature(public_key, signature=signature, message=message)
    with pytest.raises(EvidenceError):
        passkey.verify_signature(public_key, signature=signature, message=message + b"\x00")

    def read() -> None:
        passkey.check_client_data(client_data, challenge=expected, origins=[VECTORS["origin"]])
        passkey.read_authenticator_data(data, rp_id=VECTORS["rp_id"])

    if vector["refused"] is None:
        read()
    else:
        with pytest.raises(EvidenceError) as caught:
            read()
        assert caught.value.code == vector["refused"]


@pytest.mark.parametrize("algorithm", [ES256, EDDSA, RS256])
@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"origin": "https://other.example"},
        {"rp_id": "other.example"},
        {"flags_off": UV},
        {"flags_off": UP},
        {"type": "webauthn.create"},
        {"challenge": b64.encode(bytes(32))},
        {"signature": b"\x30\x06\x02\x01\x01\x02\x01\x01"},
    ],
    ids=["nothing", "origin", "rp_id", "unverified", "absent", "type", "challenge", "signature"],
)
def test_a_second_implementation_agrees(algorithm: int, wrong: dict[str, Any]) -> None:
    """py_webauthn, told to require user verification, accepts and refuses the same assertions."""
    key = KEYS[algorithm]
    expected = challenge(STATEMENT)
    response = key.authenticate({"challenge": b64.encode(expected)}, **wrong)
    theirs = partial(
        verify_authentication_response,
        credential=response,
        expected_challenge=expected,
        expected_rp_id=RP_ID,
        expected_origin=ORIGIN,
        credential_public_key=key.cose,
        credential_current_sign_count=0,
        require_user_verification=True,
    )
    evidence = sign(key, STATEMENT, **wrong)
    if wrong:
        with pytest.raises(InvalidAuthenticationResponse):
            theirs()
        refused(evidence, key=key)
    else:
        assert theirs().user_verified
        assert check(evidence, key=key).approver == "ada"


@pytest.mark.parametrize("key", [*KEYS.values(), SYNCED], ids=lambda key: key.seed)
def test_the_software_passkey_registers_with_a_second_implementation(key: SoftKey) -> None:
    expected = bytes(range(32))
    found = verify_registration_response(
        credential=key.register({"challenge": b64.encode(expected)}),
        expected_challenge=expected,
        expected_rp_id=RP_ID,
        expected_origin=ORIGIN,
        require_user_verification=True,
    )
    assert found.credential_public_key == key.cose
    assert found.credential_id == key.credential_id
