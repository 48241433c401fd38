"""Nothing runs on anything but the service's signed receipt for this very use."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from approvals.client import Client
from approvals.core.receipt import sign
from approvals.guard import CallRefused, Guard, guarded, use
from tests.company import AUDIENCE, CALL, NOW, Company, make_signing_key, new_key
from tests.test_client import give, serving
from tests.vectors.make_receipt_vectors import receipt_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.test_client import Handler

COMPANY, STRANGER = Company(), make_signing_key()
ran: list[str] = []


@guarded(target=CALL.target, tool=CALL.tool)
def transfer(amount: str, to: str) -> str:
    ran.append(to)
    return amount


@contextmanager
def answering(spent: Callable[[str], object]) -> Iterator[Guard]:
    """A guard whose service approves the call, and answers 200 with `spent` of the use's id."""

    def answer(handler: Handler) -> None:
        sent: dict[str, Any] = json.loads(handler.body or b"{}")
        if handler.path == "/v1/calls":
            token = COMPANY.token(COMPANY.approval())
            body = json.dumps({"decision": "allow", "id": "vrd_x", "approval": token})
        elif handler.path.endswith("/consume"):
            body = json.dumps(spent(sent["use_id"]))
        else:
            return give(204, b"")(handler)
        return give(200, body.encode())(handler)

    ran.clear()
    with (
        serving(answer) as server,
        Client(server.url, enforcer=AUDIENCE, key=new_key()) as client,
    ):
        verifier = COMPANY.verifier()
        guard = Guard(client, verifier, agent="billing-agent", user="uma", clock=lambda: NOW)
        with use(guard):
            yield guard


def signed(use_id: str, **changes: Any) -> dict[str, str]:
    return {"receipt": sign(receipt_for(COMPANY, use_id=use_id, **changes), key=COMPANY.key)}


def test_the_signed_receipt_lets_the_call_run() -> None:
    with answering(signed):
        assert transfer("750.00", to="vendor@example.com") == "750.00"
    assert ran == ["vendor@example.com"]


@pytest.mark.parametrize(
    "spent",
    [
        lambda _: {},
        lambda use_id: receipt_for(COMPANY, use_id=use_id).claims(),
        lambda use_id: {"receipt": sign(receipt_for(COMPANY, use_id=use_id), key=STRANGER)},
        lambda _: signed("the-use-of-another-run"),
        lambda use_id: signed(use_id, jti="apr_" + "b" * 26, txn="req_" + "b" * 26),
        lambda use_id: signed(use_id, audience="another"),
        lambda _: {"receipt": COMPANY.token(COMPANY.approval())},
    ],
    ids=["empty", "unsigned", "stranger", "use", "approval", "enforcer", "token"],
)
def test_one_approval_never_runs_on_another_answer(spent: Callable[[str], object]) -> None:
    with answering(spent):
        for _ in range(3):
            with pytest.raises(CallRefused) as refused:
                transfer("750.00", to="vendor@example.com")
            assert refused.value.reason in {"receipt", "answer"}
    assert ran == []


def test_a_receipt_runs_one_call_however_often_it_is_shown() -> None:
    first: list[dict[str, str]] = []

    def same_again(use_id: str) -> dict[str, str]:
        first.append(signed(use_id))
        return first[0]

    with answering(same_again):
        transfer("750.00", to="vendor@example.com")
        for _ in range(2):
            with pytest.raises(CallRefused) as refused:
                transfer("750.00", to="vendor@example.com")
            assert refused.value.reason == "receipt"
    assert len(ran) == 1
