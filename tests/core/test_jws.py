"""A token is accepted in one form only, and two other libraries accept what is signed here."""

from __future__ import annotations

import json
from typing import Any

import joserfc.jwk
import joserfc.jws
import jwcrypto.jwk
import jwt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from approvals.core import b64, canonical, jws
from approvals.core.errors import AdmissionError, JwsError, KeySetError
from approvals.core.jwk import KeySet, SigningKey
from tests.core import jws_vectors
from tests.core.jws_vectors import ED, ES, FILE, JWKS, PAYLOAD, STRANGER, TYP

VECTORS: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
PRIVATE: dict[str, Any] = jws_vectors.private_jwk("one")
KEYS = KeySet.from_jwks(JWKS)
BOTH = pytest.mark.parametrize("key", [ES, ED], ids=["ES256", "Ed25519"])


# --- the vectors


def test_the_file_is_what_its_maker_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == jws_vectors.text()


@pytest.mark.parametrize("case", VECTORS["cases"], ids=[case["name"] for case in VECTORS["cases"]])
def test_what_is_refused_and_why(case: dict[str, str]) -> None:
    with pytest.raises(JwsError) as refusal:
        jws.verify(case["token"], keys=VECTORS["jwks"], typ=VECTORS["typ"])
    assert refusal.value.reason == refusal.value.code == case["reason"]


@pytest.mark.parametrize("token", VECTORS["valid"])
def test_the_valid_ones_are_accepted(token: str) -> None:
    """Would catch vectors that are refused for another fault than the one they are named after."""
    assert jws.verify(token, keys=VECTORS["jwks"], typ=VECTORS["typ"])[1] == PAYLOAD


def test_every_reason_has_a_vector() -> None:
    reasons = {case["reason"] for case in VECTORS["cases"]}
    assert reasons == {"malformed", "type", "unknown_key", "algorithm", "signature"}


# --- signing and verifying


@BOTH
def test_what_is_signed_is_verified(key: SigningKey) -> None:
    token = jws.sign({"b": 1, "a": "é"}, key=key, typ=TYP)
    assert jws.verify(token, keys=KEYS, typ=TYP) == (
        {"alg": key.alg, "kid": key.kid, "typ": TYP},
        {"a": "é", "b": 1},
    )
    first, second, _ = token.split(".")
    assert b64.decode(first) == canonical.encode({"alg": key.alg, "kid": key.kid, "typ": TYP})
    assert b64.decode(second) == '{"a":"é","b":1}'.encode()
    assert jws.sign({"a": "é", "b": 1}, key=key, typ=TYP) == token


def test_a_type_need_not_be_asked_for() -> None:
    for made in (jws_vectors.without("typ"), jws_vectors.header(typ="anything")):
        header, payload = jws.verify(jws_vectors.token(made), keys=KEYS, typ=None)
        assert (header, payload) == (made, PAYLOAD)


def test_what_is_returned_is_the_callers_own() -> None:
    token = jws.sign(dict(PAYLOAD), key=ES, typ=TYP)
    jws.verify(token, keys=KEYS, typ=TYP)[0]["alg"] = "none"
    assert jws.verify(token, keys=KEYS, typ=TYP)[0]["alg"] == "ES256"


def test_a_payload_that_is_not_json_is_not_signed() -> None:
    payload: Any = {"exp": float("nan")}
    with pytest.raises(AdmissionError):
        jws.sign(payload, key=ES, typ=TYP)


@pytest.mark.parametrize("token", [None, b"a.b.c", 7, "A" * (jws.MAX_TOKEN + 1)])
def test_other_things_than_tokens(token: Any) -> None:
    with pytest.raises(JwsError) as refusal:
        jws.verify(token, keys=KEYS, typ=TYP)
    assert refusal.value.code == "malformed"


def test_a_long_header_is_refused_however_well_it_is_signed() -> None:
    token = jws_vectors.token(jws_vectors.header(kid="k" * 1_000))
    with pytest.raises(JwsError) as refusal:
        jws.verify(token, keys=KEYS, typ=TYP)
    assert refusal.value.code == "malformed"


@BOTH
@given(data=st.data())
def test_a_changed_token_is_refused(key: SigningKey, data: st.DataObject) -> None:
    """Would catch any character that is not covered by a signature or by the one form."""
    token = jws.sign(dict(PAYLOAD), key=key, typ=TYP)
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, min(len(token), start + 3)))
    between = data.draw(
        st.text(st.sampled_from("AQgw_-+/=. \n0") | st.characters(max_codepoint=0x2FF), max_size=3)
    )
    changed = token[:start] + between + token[end:]
    assume(changed != token)
    with pytest.raises(JwsError):
        jws.verify(changed, keys=KEYS, typ=TYP)


@given(st.text() | st.text(st.sampled_from("eyJ0.AQ-_=")))
def test_any_text_is_refused_with_a_declared_error(text: str) -> None:
    with pytest.raises(JwsError):
        jws.verify(text, keys=KEYS, typ=TYP)


# --- other libraries


@BOTH
def test_joserfc_accepts_what_is_signed_here(key: SigningKey) -> None:
    token = jws.sign(dict(PAYLOAD), key=key, typ=TYP)
    public: Any = key.public_jwk()
    read = joserfc.jws.deserialize_compact(
        token, joserfc.jwk.import_key(public), algorithms=[key.alg]
    )
    assert json.loads(read.payload) == PAYLOAD


def test_pyjwt_accepts_what_is_signed_here() -> None:
    token = jws.sign(dict(PAYLOAD), key=ES, typ=TYP)
    public: Any = ES.public_jwk()
    read = jwt.decode(token, jwt.PyJWK(public), algorithms=["ES256"])
    assert read == PAYLOAD


@given(st.dictionaries(st.text(), st.integers(-(2**53) + 1, 2**53 - 1) | st.text(), max_size=5))
def test_what_joserfc_signs_is_accepted_here(payload: dict[str, Any]) -> None:
    token = joserfc.jws.serialize_compact(
        jws_vectors.header(),
        json.dumps(payload).encode(),
        joserfc.jwk.import_key(PRIVATE),
        algorithms=["ES256"],
    )
    assert jws.verify(token, keys=KEYS, typ=TYP)[1] == payload


@pytest.mark.parametrize("kind", [{"kty": "EC", "crv": "P-256"}, {"kty": "OKP", "crv": "Ed25519"}])
def test_keys_of_jwcrypto_sign(kind: dict[str, str]) -> None:
    made = jwcrypto.jwk.JWK.generate(**kind)
    key = SigningKey.from_jwk(made)
    assert key.kid == made.thumbprint()
    assert SigningKey.from_jwk(made.export(private_key=True, as_dict=True)).kid == key.kid
    token = jws.sign(dict(PAYLOAD), key=made, typ=TYP)
    assert jws.verify(token, keys={"keys": [key.public_jwk()]}, typ=TYP)[1] == PAYLOAD


class Box:
    """A key of another library, which gives its secret only when it is asked for it."""

    def __init__(self, jwk: object) -> None:
        self._jwk = jwk

    def export(self, *, private_key: bool, as_dict: bool) -> object:
        return self._jwk if private_key is True and as_dict is True else ES.public_jwk()


def test_a_key_that_can_only_be_exported_signs() -> None:
    token = jws.sign(dict(PAYLOAD), key=Box(PRIVATE), typ=TYP)
    assert jws.verify(token, keys=KEYS, typ=TYP)[1] == PAYLOAD
    with pytest.raises(KeySetError):
        SigningKey.from_jwk(Box("a text"))


# --- keys


def test_the_thumbprint_is_that_of_rfc_8037() -> None:
    """RFC 8037 appendix A.3 gives the only published thumbprint of a key of our kinds."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert KeySet.from_jwks({"keys": [jwk]}).kids() == {
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    }


def test_a_set_is_written_as_it_is_read() -> None:
    assert KEYS.jwks() == JWKS
    assert KEYS.get(STRANGER.kid) is None
    assert KeySet.from_jwks({"keys": []}).kids() == frozenset()


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "enc"},
        {"key_ops": ["encrypt"]},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"crv": "P-384"},
        {"kty": "AKP", "alg": "ML-DSA-44"},
    ],
)
def test_keys_for_other_things_are_passed_over(changes: dict[str, object]) -> None:
    found = KeySet.from_jwks({"keys": [{**ES.public_jwk(), **changes}, ED.public_jwk()]})
    assert found.kids() == {ED.kid}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"d": "AAAA"}, "private_key"),
        ({"kty": "oct", "k": "AAAA"}, "private_key"),
        ({"kid": STRANGER.kid}, "kid"),
        ({"kid": "1"}, "kid"),
        ({"kid": None}, "kid"),
        ({"alg": "ES384"}, "algorithm"),
        ({"alg": "none"}, "algorithm"),
        ({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA"}, "algorithm"),
        ({"x": "AAAA"}, "key"),
        ({"x": None}, "key"),
        ({"x": 7}, "key"),
        ({"x": ES.public_jwk()["y"]}, "key"),
        ({"y": b64.encode(bytes(32))}, "key"),
        ({"y": b64.encode(bytes(31))}, "key"),
        ({"y": f"{ES.public_jwk()['y']}="}, "key"),
    ],
)
def test_keys_that_contradict_themselves_are_refused(changes: dict[str, object], code: str) -> None:
    with pytest.raises(KeySetError) as refusal:
        KeySet.from_jwks({"keys": [ED.public_jwk(), {**ES.public_jwk(), **changes}]})
    assert (refusal.value.code, refusal.value.place) == (code, "/keys/1")


@pytest.mark.parametrize("doc", [{}, {"keys": None}, {"keys": {}}, {"keys": "x"}, {"keys": [1]}])
def test_other_things_than_sets(doc: dict[str, object]) -> None:
    with pytest.raises(KeySetError) as refusal:
        KeySet.from_jwks(doc)
    assert refusal.value.place == ("/keys/0" if doc == {"keys": [1]} else "/keys")


def test_a_key_that_says_it_verifies_is_taken() -> None:
    jwk = {**ES.public_jwk(), "key_ops": ["verify"]}
    assert KeySet.from_jwks({"keys": [jwk]}).kids() == {ES.kid}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"d": b64.encode(bytes(32))}, "key"),
        ({"d": b64.encode(b"\xff" * 32)}, "key"),
        ({"d": b64.encode(b"\x01" * 32)}, "key"),
        ({"d": None}, "key"),
        ({"x": STRANGER.public_jwk()["x"]}, "key"),
        ({"y": None}, "key"),
        ({"kid": STRANGER.kid}, "kid"),
        ({"alg": "EdDSA"}, "algorithm"),
        ({"kty": "RSA"}, "algorithm"),
    ],
)
def test_private_keys_that_cannot_be_used_are_refused(
    changes: dict[str, object], code: str
) -> None:
    assert SigningKey.from_jwk(PRIVATE).kid == ES.kid
    assert SigningKey.from_jwk({**PRIVATE, "alg": "ES256", "kid": ES.kid}).kid == ES.kid
    with pytest.raises(KeySetError) as refusal:
        SigningKey.from_jwk({**PRIVATE, **changes})
    assert refusal.value.code == code


def test_a_signing_key_does_not_show_its_secret() -> None:
    assert str(PRIVATE["d"]) not in repr(ES)
    assert "d" not in ES.public_jwk()
