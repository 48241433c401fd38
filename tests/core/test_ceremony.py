"""Decision statements and passkeys: what is taken for a decision, and every near miss."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.core import b64
from approvals.core.decision.ceremony import (
    Decision,
    Evidence,
    Statement,
    StepUp,
    VerifiedEvidence,
    challenge,
)
from approvals.core.errors import Invalid
from tests.company import NOW, ORIGIN, digest_of, sign
from tests.core.assertions import KEY, KEYS, STATEMENT, SYNCED, check, refused
from tests.softkey import AT, BE, BS, ED, EDDSA, ES256, RS256, UP, UV


@pytest.mark.parametrize("algorithm", [ES256, EDDSA, RS256])
def test_a_passkeys_signature_over_the_statement_is_accepted(algorithm: int) -> None:
    key = KEYS[algorithm]
    verified = check(sign(key, STATEMENT), key=key)
    assert verified == VerifiedEvidence(approver="ada", step_up=StepUp.PASSKEY, sign_count=0)


def test_a_key_is_hardware_where_that_was_shown_at_its_enrolment_and_nowhere_else() -> None:
    """What a key says of itself (device-bound, backed up or not) anybody can program."""
    evidence = sign(KEY, STATEMENT)
    assert not evidence.backup_eligible
    assert check(evidence).step_up is StepUp.PASSKEY
    assert check(evidence, enrolled_as=StepUp.HARDWARE).step_up is StepUp.HARDWARE


def test_a_key_that_can_be_copied_is_not_hardware() -> None:
    evidence = sign(SYNCED, STATEMENT)
    assert check(evidence, key=SYNCED, enrolled_as=StepUp.HARDWARE).step_up is StepUp.PASSKEY


def test_the_challenge_is_the_documented_digest() -> None:
    canonical = json.dumps(STATEMENT.document(), sort_keys=True, separators=(",", ":")).encode()
    assert challenge(STATEMENT) == hashlib.sha256(b"assent/decision/1\x00" + canonical).digest()


@pytest.mark.parametrize(
    "change",
    [
        {"decision": Decision.DENY},
        {"request": "req_2"},
        {"request_digest": digest_of("other")},
        {"call_hash": digest_of("other")},
        {"display_digest": digest_of("other")},
        {"approver": "ben"},
        {"nonce": b64.encode(bytes(32))},
        {"iat": NOW + 1},
        {"exp": NOW + 299},
    ],
)
def test_an_assertion_over_one_statement_is_none_over_another(change: dict[str, Any]) -> None:
    evidence = sign(KEY, STATEMENT)
    assert refused(evidence, statement=replace(STATEMENT, **change)) == "challenge"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"type": "webauthn.create"}, "client_data"),
        ({"origin": "https://approve.example.evil.example"}, "origin"),
        ({"origin": ORIGIN + "/"}, "origin"),
        ({"origin": ORIGIN.upper()}, "origin"),
        ({"origin": None}, "origin"),
        ({"origin": [ORIGIN]}, "origin"),
        ({"cross_origin": True}, "cross_origin"),
        ({"cross_origin": None}, "cross_origin"),
        ({"cross_origin": 0}, "cross_origin"),
        ({"cross_origin": "false"}, "cross_origin"),
        ({"extra": {"topOrigin": ORIGIN}}, "cross_origin"),
        ({"extra": {"topOrigin": None}}, "cross_origin"),
        ({"extra": {"tokenBinding": {"status": "present", "id": "x"}}}, "client_data"),
        ({"extra": {"tokenBinding": None}}, "client_data"),
        ({"challenge": b64.encode(bytes(32))}, "challenge"),
        ({"challenge": b64.encode(challenge(STATEMENT)) + "="}, "challenge"),
        ({"rp_id": "other.example"}, "rp_id"),
        ({"flags_off": UP}, "user_presence"),
        ({"flags_off": UV}, "user_verification"),
        ({"flags_on": BE}, "backup"),
        ({"flags_on": BS}, "backup"),
        ({"flags_on": BE | BS}, "backup"),
        ({"flags_on": AT}, "authenticator_data"),
        ({"flags_on": 0x02}, "authenticator_data"),
        ({"flags_on": 0x20}, "authenticator_data"),
        ({"flags_on": ED}, "authenticator_data"),
        ({"tail": b"\xa0"}, "authenticator_data"),
        ({"flags_on": ED, "tail": b"\xa0\x00"}, "authenticator_data"),
        ({"flags_on": ED, "tail": b"\x80"}, "authenticator_data"),
        ({"flags_on": ED, "tail": b"\xbf\xff"}, "authenticator_data"),
        ({"flags_on": ED, "tail": b"\xa2\x01\x01\x01\x02"}, "authenticator_data"),
        ({"flags_on": ED, "tail": b"\xa1\x01\xc1\x00"}, "authenticator_data"),
        ({"flags_on": ED, "tail": b"\xa1\x18\x01\x01"}, "authenticator_data"),
        ({"flags_on": ED, "tail": b"\x81" * 5000}, "authenticator_data"),
        ({"signature": bytes(64)}, "signature"),
        ({"signature": b""}, "signature"),
        ({"user_handle": b"somebody else"}, "user_handle"),
    ],
)
def test_what_a_hostile_page_or_key_may_send_is_refused(wrong: dict[str, Any], code: str) -> None:
    assert refused(sign(KEY, STATEMENT, **wrong)) == code


@pytest.mark.parametrize(
    "wrong",
    [
        {"extra": {"tokenBinding": {"status": "supported"}}},
        {"extra": {"other_keys_can_be_added_here": "do not compare clientDataJSON to a template"}},
        {"flags_on": ED, "tail": cbor2.dumps({"credProtect": 2}, canonical=True)},
        {"sign_count": 41},
    ],
)
def test_what_the_standard_lets_browsers_add_is_accepted(wrong: dict[str, Any]) -> None:
    verified = check(sign(KEY, STATEMENT, **wrong))
    assert verified.sign_count == wrong.get("sign_count", 0)


def test_absent_cross_origin_and_absent_user_handle_are_accepted() -> None:
    """Safari leaves crossOrigin out; a user handle is optional where the credential was named."""
    data = {"type": "webauthn.get", "origin": ORIGIN}
    data["challenge"] = b64.encode(challenge(STATEMENT))
    evidence = sign(KEY, STATEMENT, client_data=json.dumps(data).encode())
    assert check(replace(evidence, user_handle=None)).approver == "ada"


CLIENT_DATA = json.dumps(
    {
        "type": "webauthn.get",
        "challenge": b64.encode(challenge(STATEMENT)),
        "origin": ORIGIN,
        "crossOrigin": False,
    }
).removesuffix("}")


@pytest.mark.parametrize(
    "raw",
    [
        (CLIENT_DATA + ',"crossOrigin":false}').encode(),
        ('{"origin":"https://evil.example",' + CLIENT_DATA[1:] + "}").encode(),
        b"\xef\xbb\xbf" + (CLIENT_DATA + "}").encode(),
        (CLIENT_DATA + "}").encode("utf-16"),
        (CLIENT_DATA + ',"x":"\xff"}').encode("latin-1"),
        (CLIENT_DATA + ',"x":NaN}').encode(),
        (CLIENT_DATA + "} ").encode() + b"{}",
        ("[" + CLIENT_DATA + "}]").encode(),
        (CLIENT_DATA + ',"x":"' + "x" * 20000 + '"}').encode(),
        b"",
    ],
)
def test_client_data_that_reads_in_two_ways_is_refused(raw: bytes) -> None:
    assert refused(sign(KEY, STATEMENT, client_data=raw)) == "client_data"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"public_key": KEYS[EDDSA].cose}, "public_key"),
        ({"rp_id": "other.example"}, "rp_id"),
        ({"origins": ("https://other.example",)}, "origin"),
        ({"origins": ()}, "origin"),
        ({"backup_eligible": True}, "backup"),
        ({"backup_state": True}, "backup"),
    ],
)
def test_evidence_that_describes_itself_falsely_is_refused(
    change: dict[str, Any], code: str
) -> None:
    assert refused(replace(sign(KEY, STATEMENT), **change)) == code


def test_an_enrolled_key_bound_to_its_device_stays_so() -> None:
    evidence = replace(
        sign(KEY, STATEMENT, flags_on=BE | BS), backup_eligible=True, backup_state=True
    )
    assert refused(evidence) == "backup"
    assert check(evidence, backup_eligible=None).step_up is StepUp.PASSKEY


@pytest.mark.parametrize(
    ("now", "alive"),
    [(NOW - 1, False), (NOW, True), (NOW + 299, True), (NOW + 300, False), (None, True)],
)
def test_a_statement_is_alive_from_iat_until_before_exp(now: int | None, *, alive: bool) -> None:
    if alive:
        assert check(sign(KEY, STATEMENT), now=now).approver == "ada"
    else:
        assert refused(sign(KEY, STATEMENT), now=now) == "statement"


@pytest.mark.parametrize("exp", [NOW - 1, NOW, NOW + 301])
def test_a_statement_that_lives_too_long_is_refused_even_signed(exp: int) -> None:
    statement = replace(STATEMENT, exp=exp)
    assert refused(sign(KEY, statement), statement=statement, now=None) == "statement"


@pytest.mark.parametrize("algorithm", [ES256, EDDSA, RS256])
@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_no_bit_of_the_evidence_can_change(algorithm: int, position: int, bit: int) -> None:
    """Law: any flipped bit in what was signed, or in the signature, is refused."""
    key = KEYS[algorithm]
    evidence = sign(key, STATEMENT)
    for name in ("client_data_json", "authenticator_data", "signature", "public_key"):
        raw = bytearray(getattr(evidence, name))
        raw[position % len(raw)] ^= 1 << bit
        change: dict[str, Any] = {name: bytes(raw)}
        refused(replace(evidence, **change), key=key)


def test_statement_and_evidence_read_back_as_themselves() -> None:
    evidence = sign(KEY, STATEMENT)
    assert Statement.from_document(STATEMENT.document()) == STATEMENT
    assert Evidence.from_document(evidence.document()) == evidence
    without = replace(evidence, user_handle=None)
    assert Evidence.from_document(without.document()) == without


@pytest.mark.parametrize(
    ("kind", "member", "value"),
    [
        ("statement", "typ", "assent/decision/2"),
        ("statement", "decision", "maybe"),
        ("statement", "decision", None),
        ("statement", "request_digest", "x"),
        ("statement", "call_hash", "A" * 42 + "B"),
        ("statement", "display_digest", ""),
        ("statement", "nonce", b64.encode(bytes(31))),
        ("statement", "nonce", "!"),
        ("statement", "iat", True),
        ("statement", "exp", NOW + 301),
        ("statement", "exp", NOW),
        ("statement", "surprise", 1),
        ("evidence", "credential_id", "a b"),
        ("evidence", "signature", "AB=="),
        ("evidence", "signature", "AB"),
        ("evidence", "user_handle", 7),
        ("evidence", "aaguid", b64.encode(bytes(15))),
        ("evidence", "backup_eligible", 1),
        ("evidence", "origins", ORIGIN),
        ("evidence", "surprise", 1),
    ],
)
def test_a_document_that_is_not_exact_is_refused(kind: str, member: str, value: object) -> None:
    document: dict[str, Any] = (
        STATEMENT.document() if kind == "statement" else sign(KEY, STATEMENT).document()
    )
    document[member] = value
    with pytest.raises(Invalid) as caught:
        (Statement if kind == "statement" else Evidence).from_document(document)
    assert (caught.value.code, caught.value.place) == ("malformed", f"{kind}.{member}")
