"""What a person's script may send that no page of ours would: refused, and never a 5xx."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cbor2
import pytest
from starlette.testclient import TestClient

from approvals.app import build_app
from approvals.core import b64
from approvals.core.decision.ceremony import StepUp
from approvals.flow.people import enrol
from tests.service import Running, start
from tests.softkey import SoftKey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NUL = "a\0b"


@pytest.fixture
def running(tmp_path: Path, database_url: str) -> Running:
    return start(tmp_path, database_url)


@pytest.fixture
def http(running: Running) -> Iterator[TestClient]:
    """Ada's script, signed in."""
    origin = running.service.settings.url
    headers = {"Origin": origin, "Cookie": f"assent={running.tokens['ada']}"}
    with TestClient(
        build_app(running.service, jobs=False),
        base_url=origin,
        headers=headers,
        raise_server_exceptions=False,
    ) as client:
        yield client


def finish(http: TestClient, running: Running, request: str, **changed: Any) -> Any:
    begun = http.post(f"/r/{request}/decide/begin", json={"decision": "deny"}).json()
    credential = running.passkeys["ada"].authenticate(begun["options"])
    sent = {"ceremony": begun["ceremony"], "credential": credential, "reason": "", **changed}
    return http.post(f"/r/{request}/decide/finish", json=sent)


def test_nul_is_refused_before_a_database_meets_it(http: TestClient, running: Running) -> None:
    request = running.opened()
    for changed in ({"reason": NUL}, {"ceremony": NUL}):
        answer = finish(http, running, request, **changed)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert http.get("/r/%00").status_code == 404
    assert http.get("/live?request=%00").status_code == 422
    assert http.post("/signin/finish", json={"ceremony": NUL, "credential": {}}).status_code == 422
    assert finish(http, running, request).json() == {"state": "denied"}


@pytest.mark.parametrize("format_", ["apple", "packed", "tpm", "fido-u2f", "android-key"])
@pytest.mark.parametrize("statement", [{}, {"x5c": 1}, {"x5c": [1]}, {"sig": 1, "alg": "x"}, 1, []])
def test_an_attestation_of_the_wrong_types_shows_nothing(
    http: TestClient, running: Running, format_: str, statement: object
) -> None:
    invited = enrol.invite(running.service, tenant="default", person="cleo").url
    path = "/invite/" + invited.rpartition("/")[2]
    begun = http.post(f"{path}/begin", json={}).json()
    settings = running.service.settings
    made = SoftKey("cleo", rp_id=settings.rp_id, origin=settings.url).register(begun["options"])
    data = cbor2.loads(b64.decode(made["response"]["attestationObject"]))["authData"]
    attestation = {"fmt": format_, "attStmt": statement, "authData": data}
    made["response"]["attestationObject"] = b64.encode(cbor2.dumps(attestation))
    answer = http.post(f"{path}/finish", json={"ceremony": begun["ceremony"], "credential": made})
    if not isinstance(statement, dict):  # then it is no attestation object at all
        assert (answer.status_code, answer.json()["code"]) == (422, "credential")
        return
    # What is not read cannot do harm, and the passkey is an ordinary one.
    assert answer.status_code == 200
    with running.service.store.read() as tx:
        (key,) = tx.passkeys.active(tenant="default", person="cleo")
    assert (key.step_up, key.attestation) == (StepUp.PASSKEY, None)
