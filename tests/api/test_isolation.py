"""One enforcer cannot reach, or even find, another's things (every route that takes an id)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fastapi.routing import APIRoute

from approvals import api
from tests.api.running import BALANCE, TRANSFER

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.api.running import Running

ROUTES = [
    route
    for room in api.ROUTED
    for route in room.router.routes
    if isinstance(route, APIRoute) and "_id}" in route.path
]
BODIES = {
    "consumeApproval": {"call_hash": "A" * 43, "use_id": "one"},
    "reportOutcome": {"status": "ok"},
}
UNKNOWN = "a" * 26


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.operation_id)
def test_a_foreign_id_looks_like_one_that_never_was(
    http: TestClient, company: Running, route: APIRoute
) -> None:
    client = company.client(http=http)
    waits = client.submit(TRANSFER, agent="billing-agent", user="uma")
    allowed = client.submit(BALANCE, agent="billing-agent", user="uma")
    ids = {"request_id": waits.id, "approval_id": allowed.id.replace("vrd_", "apr_")}
    unknown = {"request_id": f"req_{UNKNOWN}", "approval_id": f"apr_{UNKNOWN}"}
    (method,) = route.methods or {"GET"}
    answers = []
    for named in (ids, unknown, dict.fromkeys(ids, "not-an-id")):
        response = http.request(
            method,
            route.path.format(**named),
            json=BODIES.get(str(route.operation_id)),
            headers=company.bearer("other"),
        )
        answers.append((response.status_code, response.json()["code"]))
    assert answers == [(404, "not_found")] * 3


def test_another_enforcer_has_its_own_idempotency_keys(http: TestClient, company: Running) -> None:
    answers = {
        company.client(name, http=http)
        .submit(BALANCE, agent="billing-agent", user="uma", idempotency_key="same")
        .id
        for name in ("gateway", "other")
    }
    assert len(answers) == 2
