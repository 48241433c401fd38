"""One reader of public keys: what it refuses is refused wherever a key comes from outside."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

import approvals
from approvals.core import b64, jws
from approvals.core.decision import passkey
from approvals.core.errors import EvidenceError, KeySetError, ProofError
from approvals.core.public_key import ed25519_key, p256_key, rsa_key
from approvals.core.tlog.checkpoint import verify_note, vkey
from approvals.policy.bundle import check
from approvals.verifier import Verifier
from tests import small_bundle as small

if TYPE_CHECKING:
    from collections.abc import Callable

P = 2**255 - 19
ORDER_8 = (
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
)


def written(y: int, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


SMALL = [
    *(bytes.fromhex(point) for point in ORDER_8),
    *(bytes([*bytes.fromhex(point)[:31], bytes.fromhex(point)[31] | 0x80]) for point in ORDER_8),
    written(0),
    written(0, 1),
    written(1),
    written(P - 1),
]
SECOND_SPELLINGS = [written(1, 1), written(P - 1, 1), written(P), written(P + 1), written(P, 1)]
OFF_CURVE = [written(2), written(P - 2)]
BAD = [*SMALL, *SECOND_SPELLINGS, *OFF_CURVE]


def from_jwks(raw: bytes) -> None:
    jws.KeySet.from_jwks({"keys": [_jwk(raw)]})


def from_verifier(raw: bytes) -> None:
    Verifier(issuer="https://a.example", audience="gate", keys={"keys": [_jwk(raw)]})


def from_bundle(raw: bytes) -> None:
    """An enforcer's key: who holds it speaks for the enforcer."""
    enforcers = {"enforcers": {"gate": {"keys": [_jwk(raw)], "targets": [small.TARGET]}}}
    problems = check(small.files(enforcers=json.dumps(enforcers)))
    if [problem.code for problem in problems] == ["bad_key"]:
        raise KeySetError(problems[0].message)


def from_cose(raw: bytes) -> None:
    passkey.decode_public_key(cbor2.dumps({1: 1, 3: -8, -1: 6, -2: raw}, canonical=True))


def from_vkey(raw: bytes) -> None:
    """A log's or a witness's key."""
    key_id = hashlib.sha256(b"log.example\n\x01" + raw).digest()[:4].hex()
    text = f"log.example+{key_id}+{base64.b64encode(chr(1).encode() + raw).decode()}"
    signature = base64.b64encode(bytes(68)).decode()
    verify_note(f"text\n\n— other {signature}\n", vkeys=[text])


def _jwk(raw: bytes) -> dict[str, Any]:
    return {"kty": "OKP", "crv": "Ed25519", "x": b64.encode(raw)}


READERS: list[tuple[Callable[[bytes], None], type[Exception]]] = [
    (from_jwks, KeySetError),
    (from_verifier, KeySetError),
    (from_bundle, KeySetError),
    (from_cose, EvidenceError),
    (from_vkey, ProofError),
]


@pytest.mark.parametrize("raw", BAD, ids=bytes.hex)
@pytest.mark.parametrize(("read", "error"), READERS)
def test_a_key_under_which_anybody_could_sign_is_refused_by_every_reader(
    read: Callable[[bytes], None], error: type[Exception], raw: bytes
) -> None:
    with pytest.raises(error, match=r"anybody can sign|one encoding|not on its curve"):
        read(raw)


def test_every_other_key_is_the_key_that_it_was() -> None:
    for _ in range(50):
        public = ed25519.Ed25519PrivateKey.generate().public_key()
        raw = public.public_bytes_raw()
        assert ed25519_key(raw) == public
        from_jwks(raw)
        from_cose(raw)
        from_bundle(raw)
        assert vkey("log.example", public)


@given(st.binary(min_size=32, max_size=32))
def test_whether_bytes_are_a_point_is_what_the_field_says(raw: bytes) -> None:
    """Against the definition: some x in the field fulfils the curve's equation."""
    y = int.from_bytes(raw, "little") & ~(1 << 255)
    d = -121665 * pow(121666, -1, P)
    square = (y * y - 1) * pow(d * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    on_curve = any(r * r % P == square for r in (root, root * pow(2, (P - 1) // 4, P) % P))
    if on_curve and y < P and raw not in BAD:
        assert ed25519_key(raw).public_bytes_raw() == raw
    else:
        with pytest.raises(ValueError, match="the key"):
            ed25519_key(raw)


def test_a_p256_key_is_a_point_of_the_curve() -> None:
    with pytest.raises(ValueError, match="not on its curve"):
        p256_key(bytes(32), bytes(32))
    with pytest.raises(ValueError, match="32 bytes"):
        p256_key(bytes(31), bytes(32))


@pytest.mark.parametrize(
    ("n", "e", "why"),
    [
        (2**2047, 65537, "factored"),
        (3 * (2**2046 + 1), 65537, "factored"),
        ((2**1024 - 105) ** 2, 65537, "factored"),
        (2**2046 + 1, 65537, "2048"),
        (2**2047 + 1, 3, "65537"),
    ],
)
def test_a_weak_rsa_key_is_refused(n: int, e: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        rsa_key(n.to_bytes((n.bit_length() + 7) // 8), e.to_bytes((e.bit_length() + 7) // 8))


def test_no_other_module_makes_a_public_key_of_bytes() -> None:
    makers = re.compile(
        r"from_public_bytes|from_encoded_point|PublicNumbers\(|load_(pem|der|ssh)_public_key"
    )
    found = {
        path.name
        for folder in ("approvals", "web", "integrations")
        for path in (Path(approvals.__file__).parents[1] / folder).rglob("*.py")
        if makers.search(path.read_text())
    }
    assert found == {"public_key.py"}
