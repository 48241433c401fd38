"""What anybody, or any enforcer, can fetch: keys, configuration, directory, the log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from approvals.client import Allowed
from approvals.core import jws
from approvals.core.directory import Directory
from approvals.core.merkle import leaf_hash, root
from approvals.core.tlog.checkpoint import parse_checkpoint, read_entry_bundle
from tests.api.running import BALANCE

if TYPE_CHECKING:
    from starlette.testclient import TestClient

    from tests.api.running import Running


def test_keys_verify_an_approval_and_hold_nothing_private(
    http: TestClient, company: Running
) -> None:
    response = http.get("/.well-known/jwks.json")
    assert response.headers["content-type"] == "application/jwk-set+json"
    assert "max-age" in response.headers["cache-control"]
    keys = response.json()
    assert all("d" not in key for key in keys["keys"])
    allowed = company.client(http=http).submit(BALANCE, agent="billing-agent", user="uma")
    assert isinstance(allowed, Allowed)
    jws.verify(allowed.approval, keys=keys, typ="agent-approval+jwt")


def test_the_configuration_names_addresses_that_answer(http: TestClient, company: Running) -> None:
    configuration = http.get("/.well-known/assent-configuration").json()
    assert configuration["issuer"] == company.url
    assert http.get(configuration["jwks_uri"]).status_code == 200
    keys = http.get(configuration["people_keys_endpoint"], headers=company.bearer())
    assert keys.status_code == 200
    assert configuration["webhook_public_key"] == company.service.keys.webhook_public_key
    for name in ("submission_endpoint", "requests_endpoint", "approvals_endpoint"):
        assert configuration[name].startswith(f"{company.url}/v1/")


def test_the_directory_is_signed_and_for_enforcers_only(http: TestClient, company: Running) -> None:
    company.session("ada")
    assert http.get("/v1/people/keys").status_code == 401
    response = http.get("/v1/people/keys", headers=company.bearer())
    assert response.headers["content-type"] == "application/assent-directory+jwt"
    keys = http.get("/.well-known/jwks.json").json()
    _, document = jws.verify(response.text, keys=keys, typ="assent-directory+jwt")
    ada = Directory.from_document(document).person("ada")
    assert ada is not None
    assert len(ada.keys) == 1


def test_a_reader_of_the_log_can_check_it_with_nothing_but_the_verifier_key(
    http: TestClient, company: Running
) -> None:
    company.client(http=http).submit(BALANCE, agent="billing-agent", user="uma")
    identity = http.get("/.well-known/assent-configuration").json()["log"]
    # The background job gives the events their places.
    while (response := http.get(f"{identity['url']}/checkpoint")).status_code == 404:
        time.sleep(0.01)
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    checkpoint = parse_checkpoint(response.text, vkeys=[identity["vkey"]])
    bundle = http.get(f"/log/tile/entries/000.p/{checkpoint.size}")
    assert bundle.headers["content-type"] == "application/octet-stream"
    assert "immutable" in bundle.headers["cache-control"]
    hashes = [leaf_hash(leaf) for leaf in read_entry_bundle(bundle.content)]
    assert root(hashes) == checkpoint.root
    tile = http.get(f"/log/tile/0/000.p/{checkpoint.size}")
    assert tile.content == b"".join(hashes)


def test_a_tile_that_is_not_there_is_not_there(http: TestClient) -> None:
    for path in ("0/000", "9/000", "0/x001/000", "entries/999", "0/0", "a/b", "0/000.p/0", "0"):
        response = http.get(f"/log/tile/{path}")
        assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_probes_answer_whatever_the_host(http: TestClient) -> None:
    for path in ("/healthz", "/readyz"):
        response = http.get(path, headers={"Host": "10.0.0.7:8420"})
        assert (response.status_code, response.json()["status"]) == (200, "ok")


def test_nothing_is_served_that_loads_scripts_from_elsewhere(http: TestClient) -> None:
    for path in ("/docs", "/redoc"):
        assert http.get(path).status_code == 404
    assert http.get("/openapi.json").json()["info"]["version"] == "1"
