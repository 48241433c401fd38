"""The service put together: it opens, answers and closes, and says why when it cannot."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import structlog
from starlette.testclient import TestClient

from approvals.app import create_app
from approvals.client import ServiceAway
from approvals.config import Settings
from approvals.core.errors import AssentError, Unavailable
from tests.api.running import TRANSFER, open_company
from tests.attesting import Maker, MetadataService
from tests.postgres import database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URL = "http://localhost:8420"


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def test_a_fresh_folder_becomes_a_service(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path / "home", url=URL))
    with TestClient(app, base_url=URL) as http:
        assert http.get("/readyz").status_code == 200
        keys = http.get("/.well-known/jwks.json").json()["keys"]
    again = create_app(Settings(home=tmp_path / "home", url=URL))
    with TestClient(again, base_url=URL) as http:
        assert http.get("/.well-known/jwks.json").json()["keys"] == keys


def test_roots_of_attestation_that_cannot_be_used_stop_the_start(tmp_path: Path) -> None:
    """All but a list that became too old by itself, which must not stop a service's restart."""
    folder = tmp_path / "roots"
    settings = Settings(home=tmp_path / "home", url=URL, attestation_roots=folder)
    with pytest.raises(AssentError) as caught:
        create_app(settings)
    assert (caught.value.code, caught.value.place) == ("attestation_roots", str(folder))
    assert not settings.home.exists()
    metadata = MetadataService()
    metadata.write(folder, metadata.entry(Maker()), due=-1)
    with TestClient(create_app(settings), base_url=URL) as http:
        assert http.get("/healthz").status_code == 200


def test_the_environment_configures_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ASSENT_URL", "https://approve.example")
    app = create_app()
    with TestClient(app, base_url="https://approve.example") as http:
        response = http.get("/.well-known/assent-configuration")
    assert response.json()["issuer"] == "https://approve.example"
    assert "max-age" in response.headers["strict-transport-security"]


def test_a_service_without_a_bundle_says_so(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path / "home", url=URL))
    with TestClient(app, base_url=URL) as http:
        response = http.get(
            "/v1/people/keys", headers={"Authorization": "Bearer e30.eyJpc3MiOiJ4In0.AA"}
        )
    assert (response.status_code, response.json()["code"]) == (503, "no_bundle")
    assert response.headers["retry-after"]


def test_keys_that_others_can_read_stop_the_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with TestClient(create_app(Settings(home=home, url=URL)), base_url=URL):
        pass
    (home / "keys").chmod(0o755)
    with pytest.raises(AssentError) as refused:
        create_app(Settings(home=home, url=URL))
    assert refused.value.code == "keys_permissions"


def test_a_database_that_is_away_stops_the_start(tmp_path: Path) -> None:
    away = "postgresql://nobody@127.0.0.1:1/none"
    with pytest.raises(Unavailable):
        create_app(Settings(home=tmp_path / "home", url=URL, database=away))  # type: ignore[arg-type]


def test_a_database_that_goes_away_is_503_and_nothing_is_done(
    tmp_path: Path, postgres_cluster: str
) -> None:
    with database(postgres_cluster) as url:
        company = open_company(tmp_path / "home", url=URL, database=url)
        http = TestClient(company.app, base_url=URL)
        client = company.client(http=http)
        asked = client.submit(TRANSFER, agent="billing-agent", user="uma")
    # Dropped, with every connection to it.
    for method, path, body in (
        (
            "POST",
            "/v1/calls",
            {
                "call": {"target": TRANSFER.target, "tool": TRANSFER.tool, "args": TRANSFER.args},
                "agent": "billing-agent",
                "user": "uma",
            },
        ),
        ("GET", f"/v1/requests/{asked.id}", None),
        ("GET", f"/v1/requests/{asked.id}/evidence", None),
        ("POST", f"/v1/requests/{asked.id}/cancel", None),
        (
            "POST",
            f"/v1/approvals/apr_{'a' * 26}/consume",
            {"call_hash": "A" * 43, "use_id": "once"},
        ),
        ("GET", "/v1/people/keys", None),
        ("GET", "/log/checkpoint", None),
    ):
        response = http.request(method, path, json=body, headers=company.bearer())
        assert (response.status_code, response.json()["code"]) == (503, "unavailable"), path
        assert response.headers["retry-after"]
    ready = http.get("/readyz")
    assert (ready.status_code, ready.json()["code"]) == (503, "not_ready")
    assert ready.json()["checks"]["granting"]["code"] == "unavailable"
    assert http.get("/healthz").status_code == 200
    assert http.get("/.well-known/jwks.json").status_code == 200
    with pytest.raises(ServiceAway):
        client.submit(TRANSFER, agent="billing-agent", user="uma")
    company.service.store.close()


def test_logs_are_one_json_object_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with TestClient(create_app(Settings(home=tmp_path / "home", url=URL)), base_url=URL):
        structlog.get_logger("test").warning("event", value="a\nb\x1b[31m")
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert any('"value": "a\\nb\\u001b[31m"' in line for line in lines)
    assert all(line.startswith("{") and line.endswith("}") for line in lines)
    assert logging.getLogger("approvals").level <= logging.INFO
