"""A receipt is for one use of one approval, signed by the service; nothing else is a receipt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from approvals.core import jws
from approvals.core.approval import TOKEN_TYPE, Approval
from approvals.core.errors import ReceiptRejected
from approvals.core.receipt import Receipt, sign, verify
from tests.company import Company
from tests.vectors.make_receipt_vectors import USE, receipt_for, receipts

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPANY = Company()
VECTORS = sorted((Path(__file__).parents[1] / "vectors" / "receipt").glob("*.json"))
MADE = {name: (reason, token) for name, reason, _, token in receipts(COMPANY)}


def reason(token: str, **changes: Any) -> str | None:
    given: dict[str, Any] = {
        "keys": COMPANY.jwks,
        "approval": COMPANY.approval(),
        "use_id": USE,
        **changes,
    }
    try:
        verify(token, **given)
    except ReceiptRejected as error:
        return error.reason
    return None


@pytest.mark.parametrize("name", MADE)
def test_a_receipt_is_taken_or_refused_for_its_reason(name: str) -> None:
    wanted, token = MADE[name]
    assert reason(token) == wanted


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_the_published_vectors(path: Path) -> None:
    vector = json.loads(path.read_text())
    _, claims = jws.verify(vector["approval"], keys=vector["jwks"], typ=TOKEN_TYPE)
    given = {"approval": Approval.from_claims(claims), "keys": vector["jwks"]}
    assert reason(vector["receipt"], use_id=vector["use_id"], **given) == vector["reason"]


def test_there_is_a_vector_for_each() -> None:
    assert {path.stem for path in VECTORS} == set(MADE)


def test_what_was_read_is_what_was_signed() -> None:
    receipt = receipt_for(COMPANY)
    token = sign(receipt, key=COMPANY.key)
    read = verify(token, keys=COMPANY.jwks, approval=COMPANY.approval(), use_id=USE)
    assert read == receipt


def test_the_code_of_a_refusal_is_stable() -> None:
    with pytest.raises(ReceiptRejected) as refused:
        verify("", keys=COMPANY.jwks, approval=COMPANY.approval(), use_id=USE)
    assert (refused.value.code, refused.value.place) == ("receipt", "receipt.header")


def test_no_character_of_a_receipt_can_change() -> None:
    token = sign(receipt_for(COMPANY), key=COMPANY.key)
    for position, character in enumerate(token):
        other = "A" if character != "A" else "B"
        assert reason(token[:position] + other + token[position + 1 :]) is not None, position


@pytest.mark.parametrize("claim", receipt_for(COMPANY).claims())
def test_a_claim_of_another_type_is_malformed(claim: str) -> None:
    for value in wrong_types(receipt_for(COMPANY).claims()[claim]):
        with pytest.raises(Exception, match=claim):
            Receipt.from_claims({**receipt_for(COMPANY).claims(), claim: value})


def wrong_types(value: object) -> Iterator[object]:
    yield from (None, True, 1.5, [], {}, [value])
    yield 1 if isinstance(value, str) else "1"
