"""What people do with passkeys, browsers and bundles, and the events of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from approvals.core.errors import AssentError
from approvals.flow.people import signin
from tests.service import AGENTS, PEOPLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from approvals.flow.acting.session import Session
    from tests.service import Running
    from tests.softkey import SoftKey


WITHOUT_ADA = {
    "people_yaml": PEOPLE.replace("  ada: {name: Ada Okafor}\n", "").replace(
        "[ada, ben, uma]", "[ben, cleo, uma]"
    ),
    "agents_yaml": AGENTS.replace("users: [ada, ben", "users: [ben"),
}


def sign_in(running: Running, key: SoftKey, **wrong: Any) -> str:
    begun = signin.begin(running.service)
    return signin.finish(running.service, begun.id, key.authenticate(begun.options, **wrong))


def session_of(running: Running, token: str) -> Session:
    found = signin.session(running.service, token)
    assert found is not None
    return found


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(AssentError) as caught:
        action()
    return caught.value.code


def events(running: Running, kind: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    with running.service.store.read() as tx:
        placed, waiting = tx.log.leaves(0, tx.log.leaf_count()), tx.log.staged(limit=10_000)
    rows = [(row.leaf, row.opening) for row in placed] + [
        (row.leaf, row.opening) for row in waiting
    ]
    told = [(orjson.loads(leaf), orjson.loads(opening)) for leaf, opening in rows]
    return [
        (leaf, {name: each["value"] for name, each in opening.items()})
        for leaf, opening in told
        if leaf["type"] == kind
    ]
