from __future__ import annotations

import time
from typing import TYPE_CHECKING

from approvals.core.events import parse_leaf
from approvals.flow.introduce import introduce

if TYPE_CHECKING:
    from tests.service import Running


def told(running: Running) -> list[tuple[str, object]]:
    with running.service.store.read() as tx:
        leaves = [parse_leaf(each.leaf) for each in tx.log.staged(limit=100)]
    return [
        (leaf.type.value, leaf.public["kid"]) for leaf in leaves if leaf.type.value[:4] == "key."
    ]


def test_each_key_is_told_once(running: Running) -> None:
    (first,) = running.service.keys.approval_keys
    assert introduce(running.service) == 1
    assert introduce(running.service) == 0
    done = running.service.keys.rotate(int(time.time()), delay=60)
    assert introduce(running.service) == 2
    assert introduce(running.service) == 0
    assert sorted(told(running)) == sorted(
        [
            ("key.introduced", first.kid),
            ("key.introduced", done.introduced.kid),
            ("key.retired", first.kid),
        ]
    )
