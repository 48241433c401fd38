"""What can be watched: a line for each request, and metrics for whom the settings name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
import yaml
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from approvals.client import mint_token
from approvals.core.errors import Unavailable
from approvals.flow.integrity.rounds import sequence
from tests.api.running import BALANCE, TRANSFER, open_company
from tests.company import new_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.running import Running

URL = "http://localhost:8420"
DOCS = Path(__file__).parents[2] / "docs"
HERE = ("127.0.0.1", 50_000)


@pytest.fixture
def company(tmp_path: Path, database_url: str) -> Iterator[Running]:
    running = open_company(tmp_path / "home", url=URL, database=database_url, metrics="loopback")
    yield running
    running.service.store.close()


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    before = structlog.get_config()
    structlog.reset_defaults()
    yield
    structlog.configure(**before)


def http(company: Running, client: tuple[str, int] = HERE) -> TestClient:
    return TestClient(company.app, base_url=URL, client=client)


def scraped(company: Running) -> dict[str, list[tuple[dict[str, str], float]]]:
    response = http(company).get("/metrics")
    assert response.status_code == 200
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(response.text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def asked(company: Running, call: Any = TRANSFER) -> dict[str, Any]:
    body = {
        "call": {"target": call.target, "tool": call.tool, "args": call.args},
        "agent": "billing-agent",
        "user": "uma",
    }
    answer: dict[str, Any] = (
        http(company).post("/v1/calls", json=body, headers=company.bearer()).json()
    )
    return answer


def value(metrics: dict[str, Any], name: str, **labels: str) -> float:
    (found,) = (each for each in metrics[name] if labels.items() <= each[0].items())
    return float(found[1])


def test_what_happened_and_what_waits_is_in_the_metrics(company: Running) -> None:
    asked(company)
    asked(company, BALANCE)
    http(company).get("/v1/requests/none", headers=company.bearer())
    sequence(company.service)
    metrics = scraped(company)
    assert value(metrics, "assent_open_requests", state="pending") == 1
    assert value(metrics, "assent_open_requests", state="approved") == 1
    assert value(metrics, "assent_events_total", type="request.opened") == 1
    assert value(metrics, "assent_events_total", type="call.allowed") == 1
    assert value(metrics, "assent_http_requests_total", route="/v1/calls", status="202") == 1
    assert value(metrics, "assent_http_refusals_total", code="not_found") == 1
    assert value(metrics, "assent_database_up") == 1
    assert value(metrics, "assent_closed") == 0
    assert value(metrics, "assent_log_waiting_events") == 0
    assert value(metrics, "assent_log_size") > 2
    assert value(metrics, "assent_waiting_callers") == 0
    assert value(metrics, "assent_database_seconds_count", kind="write") > 0


def test_a_closed_service_shows(company: Running) -> None:
    with company.service.store.begin() as tx:
        tx.standing.close(code="log_altered", reason="", now=tx.now)
    assert value(scraped(company), "assent_closed") == 1


def test_no_id_and_no_name_is_a_label(company: Running) -> None:
    answer = asked(company)
    sequence(company.service)
    series = str(
        [(name, [labels for labels, _ in each]) for name, each in scraped(company).items()]
    )
    for secret in (
        answer["request"]["id"][4:],
        "uma",
        "billing-agent",
        "vendor@example.com",
        "750",
    ):
        assert secret not in series


def test_any_path_and_any_method_is_one_label(company: Running) -> None:
    for number in range(20):
        http(company).get(f"/nothing/{number}")
        http(company).request(f"M{number}", "/healthz")
    routes = {labels["route"] for labels, _ in scraped(company)["assent_http_requests_total"]}
    methods = {labels["method"] for labels, _ in scraped(company)["assent_http_requests_total"]}
    assert not any("nothing" in route for route in routes)
    assert methods <= {"GET", "POST", "other"}


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        (("10.0.0.7", 1), {}),
        (HERE, {"Host": "attacker.example"}),
        (HERE, {"Host": "approve.example"}),
        (HERE, {"X-Forwarded-For": "10.0.0.7"}),
        (HERE, {"Forwarded": "for=10.0.0.7"}),
    ],
)
def test_on_loopback_nobody_else_reads_them(
    company: Running, client: tuple[str, int], headers: dict[str, str]
) -> None:
    response = http(company, client).get("/metrics", headers=headers)
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_unset_nobody_reads_them(tmp_path: Path, sqlite_url: str) -> None:
    company = open_company(tmp_path / "home", url=URL, database=sqlite_url)
    assert http(company).get("/metrics").status_code == 404
    company.service.store.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (None, 404),
        ("Bearer ", 404),
        ("Bearer wrong-wrong-wrong-wrong", 404),
        ("Basic a-token-of-some-length", 404),
        ("Bearer a-token-of-some-length", 200),
    ],
)
def test_with_a_token_only_who_sends_it_reads_them(
    tmp_path: Path, sqlite_url: str, sent: str | None, status: int
) -> None:
    company = open_company(
        tmp_path / "home",
        url=URL,
        database=sqlite_url,
        metrics="token",
        metrics_token="a-token-of-some-length",
    )
    headers = {} if sent is None else {"Authorization": sent}
    assert http(company, ("10.0.0.7", 1)).get("/metrics", headers=headers).status_code == status
    company.service.store.close()


def test_without_a_database_the_rest_is_still_told(
    company: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise Unavailable("away")

    monkeypatch.setattr(type(company.service.store), "glance", away)
    metrics = scraped(company)
    assert value(metrics, "assent_database_up") == 0
    assert "assent_log_size" not in metrics
    assert "assent_waiting_callers" in metrics


def test_each_application_counts_by_itself(tmp_path: Path) -> None:
    companies = [
        open_company(
            tmp_path / name,
            url=URL,
            database=f"sqlite:///{tmp_path}/{name}.db",
            metrics="loopback",
        )
        for name in ("one", "two")
    ]
    asked(companies[0], BALANCE)
    routes = [
        {labels["route"] for labels, _ in scraped(each).get("assent_http_requests_total", [])}
        for each in companies
    ]
    assert "/v1/calls" in routes[0]
    assert "/v1/calls" not in routes[1]
    for each in companies:
        each.service.store.close()


def lines(company: Running, *requests: tuple[str, str, dict[str, str]]) -> list[dict[str, Any]]:
    with capture_logs() as told:
        for method, path, headers in requests:
            http(company).request(method, path, headers=headers)
    return [{**each} for each in told if each["event"] == "request"]


def test_each_request_has_one_line_without_payload_and_without_names(company: Running) -> None:
    with capture_logs() as told:
        answer = asked(company)
        request_id = answer["request"]["id"]
        http(company).get(f"/v1/requests/{request_id}", headers=company.bearer())
        http(company).get("/v1/requests/req_none?wait=secret", headers=company.bearer())
        http(company).get("/enrol/an-invitation-token")
        http(company).get("/readyz")
    requests = [each for each in told if each["event"] == "request"]
    assert [(each["method"], each["route"], each["status"]) for each in requests[:3]] == [
        ("POST", "/v1/calls", 202),
        ("GET", "/v1/requests/{request_id}", 200),
        ("GET", "/v1/requests/{request_id}", 404),
    ]
    assert requests[0]["enforcer"] == "gateway"
    assert requests[1]["ids"] == [request_id]
    assert requests[2]["code"] == "not_found"
    assert all(each["ms"] >= 0 for each in requests)
    said = json.dumps(told)
    for secret in ("vendor@example.com", "uma", "an-invitation-token", "wait=secret", "Bearer"):
        assert secret not in said
    assert not any(each["route"] == "/readyz" for each in requests)


def test_the_reason_of_a_401_is_told_to_the_operator_alone(company: Running) -> None:
    stranger = mint_token(enforcer="gateway", key=new_key(), audience=URL, now=company.now())
    unknown = mint_token(enforcer="nobody", key=new_key(), audience=URL, now=company.now())
    reasons = [
        each["why"]
        for each in lines(
            company,
            ("GET", "/v1/people/keys", {}),
            ("GET", "/v1/people/keys", {"Authorization": "Basic abc"}),
            ("GET", "/v1/people/keys", {"Authorization": "Bearer abc"}),
            ("GET", "/v1/people/keys", {"Authorization": f"Bearer {stranger}"}),
            ("GET", "/v1/people/keys", {"Authorization": f"Bearer {unknown}"}),
        )
    ]
    assert reasons == [
        "no_token",
        "not_a_bearer_token",
        "not_a_token",
        "signature",
        "unknown_enforcer",
    ]
    bodies = {
        http(company).get("/v1/people/keys", headers={"Authorization": f"Bearer {each}"}).text
        for each in ("abc", stranger, unknown)
    }
    assert len(bodies) == 1


NAME = re.compile(r"assent_[a-z_]+")


def expressions() -> list[str]:
    rules = yaml.safe_load((DOCS / "alerts.yml").read_text("utf-8"))
    board = json.loads((DOCS / "grafana" / "assent.json").read_text("utf-8"))
    alerts = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    assert all(
        {"alert", "expr", "labels", "annotations"} <= rule.keys()
        for group in rules["groups"]
        for rule in group["rules"]
    )
    panels = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(alerts) > 8
    assert len(panels) > 12
    return alerts + panels


def test_alerts_and_dashboard_name_metrics_that_exist(company: Running) -> None:
    company.service.loops.began("log", every=1)
    asked(company)
    http(company).get("/v1/requests/none", headers=company.bearer())
    sequence(company.service)
    there = scraped(company).keys()
    for expression in expressions():
        names = NAME.findall(expression)
        assert names, expression
        assert set(names) <= there, expression
        assert expression.count("(") == expression.count(")"), expression
        assert expression.count("{") == expression.count("}"), expression


def test_their_labels_are_ones_that_the_metrics_have(company: Running) -> None:
    company.service.loops.began("log", every=1)
    asked(company)
    http(company).get("/v1/requests/none", headers=company.bearer())
    sequence(company.service)
    metrics = scraped(company)
    for expression in expressions():
        for name, matchers in re.findall(r"(assent_[a-z_]+)\{([^}]*)\}?", expression):
            labels = set(re.findall(r"(\w+)\s*[=!]", matchers))
            assert labels <= set(metrics[name][0][0]), expression
