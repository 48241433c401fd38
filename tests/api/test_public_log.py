"""Anybody reads the published log, without a token, and tries to get a call back out of it."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from approvals import log, policy
from approvals.cli import fetched
from approvals.core import canonical
from approvals.core.calls import ToolCall, call_hash
from approvals.core.tlog.tiles import read_entry_bundle
from approvals.policy.verdict import USAGE_COUNTERS, Facts
from tests.api.running import BALANCE, TARGET, Running, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = 4821


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served(tmp_path_factory.mktemp("public") / "home") as running:
        client = running.client()
        client.submit(transfer(SECRET), agent="billing-agent", user="uma")
        client.submit(BALANCE, agent="billing-agent", user="uma")
        log.sequence(running.service.store, running.service.keys, now=running.now())
        yield running


def transfer(amount: int) -> ToolCall:
    return ToolCall(TARGET, "transfer", {"amount": amount, "to": "vendor@example.com"})


def published(company: Running) -> list[dict[str, Any]]:
    """The leaves as whoever has no token gets them."""

    def read(path: str) -> bytes:
        with urllib.request.urlopen(f"{company.url}/log/{path}") as answer:  # noqa: S310 - our own server
            body: bytes = answer.read()
            return body

    size = fetched.unverified(read("checkpoint").decode()).size
    raw = [leaf for path in fetched.paths(size) for leaf in read_entry_bundle(read(path))]
    return [json.loads(leaf) for leaf in raw]


def texts(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {each for inner in value.values() for each in texts(inner)}
    return {value} if isinstance(value, str) else set()


def test_a_payload_is_not_found_by_trying_all_of_them(company: Running) -> None:
    told = {each for leaf in published(company) for each in texts(leaf)}
    kinds = [leaf["type"] for leaf in published(company)]
    assert {"request.opened", "call.allowed"} <= set(kinds)
    for amount in range(SECRET - 500, SECRET + 500):
        call = transfer(amount)
        tried = {
            call_hash(call),
            canonical.digest(call.args),
            canonical.digest(call.canonical().decode()),
        }
        assert not tried & told, amount


def test_a_user_is_not_found_by_who_has_the_bundle(company: Running) -> None:
    """Whoever has the policy can make the verdict's record of every user, as the service did."""
    bundle, _ = company.service.recent_bundle("default")
    leaves = published(company)
    told = {each for leaf in leaves for each in texts(leaf)}
    (asked,) = [leaf for leaf in leaves if leaf["type"] == "call.allowed"]
    for user in bundle.people:
        facts = Facts(
            call=BALANCE,
            agent="billing-agent",
            user=user,
            now=asked["time"],
            task=None,
            usage=dict.fromkeys(USAGE_COUNTERS, 0),
        )
        record = policy.record(bundle, facts, policy.evaluate(bundle, facts))
        assert canonical.digest(record) not in told
        assert user not in told


def test_neither_agent_nor_tool_nor_target_nor_rule_is_told(company: Running) -> None:
    told = {each for leaf in published(company) for each in texts(leaf)}
    bundle, _ = company.service.recent_bundle("default")
    known = {"billing-agent", "gateway", "transfer", "balance", TARGET, bundle.version, "reads"}
    assert not known & told


def test_a_fetched_log_is_the_published_one(company: Running, tmp_path: Path) -> None:
    with fetched.reader(company.url) as read:
        whole = fetched.whole(read, vkeys=[company.service.keys.vkey])
        leaves = [*whole.leaves]
    for path in fetched.paths(len(leaves)):
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        with fetched.reader(company.url) as read:
            place.write_bytes(read(path))
    (tmp_path / fetched.CHECKPOINT).write_text(whole.checkpoint)
    with fetched.reader(str(tmp_path)) as read:
        assert [*fetched.whole(read, vkeys=[company.service.keys.vkey]).leaves] == leaves
