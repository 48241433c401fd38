"""The approval vectors of floors: what an enforcer itself wants, filled and not filled."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from approvals.core.floor import FILE_TYPE
from tests.company import CALL, TWO_FROM_FINANCE
from tests.vectors.approval_vector import COMPANY, COMPANY_WITH_SYNCED_KEYS, STOOD_IN, Vector

if TYPE_CHECKING:
    from collections.abc import Iterator


def floors() -> Iterator[Vector]:
    """What this enforcer itself wants: filled, and not filled."""
    finance, managers, anybody = (
        {"quorum": 1, "groups": ["finance"]},
        {"quorum": 1, "groups": ["managers"]},
        {"quorum": 1},
    )
    two = {**finance, "quorum": 2}
    money = {"tools": ["refund", "transfer"], "places": [two]}
    document = COMPANY.request()
    both = COMPANY.token(COMPANY.approval(document))
    lowered = COMPANY.request(replace(TWO_FROM_FINANCE, quorum=1))
    one = COMPANY.token(COMPANY.approval(lowered, [COMPANY.vote("ada", lowered)]))
    away = COMPANY.request(STOOD_IN)
    votes = [COMPANY.vote("ada", away), COMPANY.vote("dora", away)]
    stood_in = COMPANY.token(COMPANY.approval(away, votes))
    allowed = COMPANY.token(COMPANY.allowed())
    rows: list[tuple[str, str, str | None, str, dict[str, Any]]] = [
        ("met", "ada and ben fill two places of finance", None, both, {"tools": tools(two)}),
        ("met-people", "by name", None, both, {"tools": tools({"quorum": 1, "people": ["ben"]})}),
        (
            "met-distinct",
            "ben, who is in both groups, is the manager, and ada is of finance",
            None,
            both,
            {"tools": tools(finance, managers)},
        ),
        (
            "met-each",
            "the tool's floor and the risk group's are filled each by itself",
            None,
            both,
            {"tools": tools(anybody), "risk_groups": {"money": money}},
        ),
        (
            "met-other",
            "another tool's, and what is enough for every tool",
            None,
            one,
            {"tools": {"refund": [two], "*": [anybody]}},
        ),
        (
            "unnamed",
            "another tool's and no word on this",
            "floor",
            both,
            {"tools": {"refund": [two]}},
        ),
        (
            "misspelt",
            "only every tool's, beside a name that this tool's may be meant by",
            "floor",
            both,
            {"tools": {"trasnfer": [two], "*": [anybody]}},
        ),
        ("quorum", "one vote, of a quorum that was lowered", "floor", one, {"tools": tools(two)}),
        (
            "risk-group",
            "one vote, where the risk group wants two",
            "floor",
            one,
            {"risk_groups": {"money": money}},
        ),
        ("every-tool", "one, where every tool needs two", "floor", one, {"tools": {"*": [two]}}),
        ("group", "nobody of the group", "floor", one, {"tools": tools(managers)}),
        (
            "people",
            "not the person named",
            "floor",
            one,
            {"tools": tools({"quorum": 1, "people": ["ben"]})},
        ),
        (
            "distinct",
            "ada and ben are two people and there are three places",
            "floor",
            both,
            {"tools": tools(two, managers)},
        ),
        (
            "stand-in",
            "dora stands in for ben and is not of finance herself",
            "floor",
            stood_in,
            {"tools": tools(two)},
        ),
        ("policy", "policy alone", "floor", allowed, {"tools": tools(anybody)}),
    ]
    synced = COMPANY_WITH_SYNCED_KEYS.approval()
    yield Vector(
        "floor-step-up",
        "floor",
        "passkeys that can be copied",
        COMPANY.token(synced),
        given={
            "floor": {
                "typ": FILE_TYPE,
                "tools": tools({**two, "step_up": "hardware-passkey"}),
            },
            "directory": COMPANY_WITH_SYNCED_KEYS.directory.document(),
        },
    )
    for name, about, reason, token, floor in rows:
        given = {"floor": {"typ": FILE_TYPE, **floor}}
        yield Vector(f"floor-{name}", reason, about, token, given=given)


def tools(*places: dict[str, Any]) -> dict[str, Any]:
    """A floor of the tool that is called."""
    return {CALL.tool: list(places)}
