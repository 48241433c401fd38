from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from approvals.core import b64
from approvals.core.errors import Unavailable
from approvals.core.history.events import KeyIntroduced, KeyRetired
from approvals.core.history.leaves import parse_leaf
from approvals.flow.asking.answers import Allowed
from approvals.flow.auditing.signatures import unintroduced
from approvals.flow.integrity.introduce import introduce, keep_introduced

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Running


def told(running: Running) -> list[tuple[str, object]]:
    with running.service.store.read() as tx:
        events = [parse_leaf(each.leaf).event for each in tx.log.staged(limit=100)]
    return [
        (event.TYPE, event.kid) for event in events if isinstance(event, KeyIntroduced | KeyRetired)
    ]


def test_each_key_is_told_once(running: Running) -> None:
    (first,) = running.service.keys.approval_keys
    assert introduce(running.service) == 0  # the service did at its start
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


def signed_by(running: Running, number: int) -> str:
    answer = running.submit(str(number), tool="balance")
    assert isinstance(answer, Allowed)
    kid: str = json.loads(b64.decode(answer.approval.partition(".")[0]))["kid"]
    return kid


def test_a_key_signs_only_once_the_log_tells_of_it(
    running: Running, later: Callable[[int], None]
) -> None:
    """As when `assent keys rotate` is killed after the file and before the log."""
    service = running.service
    (first,) = service.keys.approval_keys
    done = service.keys.rotate(int(time.time()), delay=0)
    later(60)
    assert service.keys.signer(int(time.time()) + 60).kid == done.introduced.kid
    assert signed_by(running, 1) == first.kid
    assert [each.place for each in unintroduced(service)] == [done.introduced.kid]
    assert keep_introduced(service) == 2
    assert keep_introduced(service) == 0
    assert signed_by(running, 2) == done.introduced.kid
    assert unintroduced(service) == ()


def test_where_the_log_tells_of_no_key_nothing_is_signed(running: Running) -> None:
    with running.service.store.begin() as tx:
        tx.session.execute(text("DELETE FROM staged WHERE subject LIKE 'key%'"))
    running.service._introduced.clear()
    with pytest.raises(Unavailable) as refused:
        running.submit("1", tool="balance")
    assert refused.value.code == "key_not_introduced"


def test_log_check_finds_what_was_signed_before_its_key_was_told(running: Running) -> None:
    answer = running.submit("1", tool="balance")
    assert unintroduced(running.service) == ()
    with running.service.store.begin() as tx:
        tx.session.execute(text("DELETE FROM staged WHERE subject LIKE 'key%'"))
    introduce(running.service)
    (found,) = unintroduced(running.service)
    assert (found.code, found.place) == ("key_not_introduced", f"apr_{answer.id[4:]}")
