"""Requests are followed up: who is told first, who later, once, whatever the processes do."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import orjson

from approvals.core.history.events import RequestEscalated, RequestReminded
from approvals.core.history.leaves import parse_leaf, verify_opening
from approvals.core.requests import State
from approvals.flow.operating.activate import activate
from approvals.flow.telling import follow as follow_module
from approvals.flow.telling.follow import Digests, digest, follow
from tests.service import PEOPLE, RULES, bundle_files

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.service import Running

ALL = {"request": {"ada", "ben"}}

TOLD = """
people:
  ada: {name: Ada Okafor, email: ada@example.com}
  ben: {name: Ben Silva, email: ben@example.com}
  cleo: {name: Cleo Marsh, email: cleo@example.com}
  dora: {name: Dora Quist, email: dora@example.com}
  ops: {name: Olu Price}
  uma: {name: Uma Reyes, email: uma@example.com}
groups:
  finance: [ada, ben, uma]
  managers: [cleo, dora]
"""
STEPS = """
@id("permit-all")
permit (principal, action, resource);

@id("transfers")
@reason("A transfer needs one person")
@approvers("finance | managers") @quorum("1") @step_up("passkey") @ttl("20m")
@escalate("5m: managers")
forbid (principal, action in Action::"money-movement", resource)
unless { context.approved };
"""


def use(running: Running, *, people: str = TOLD, rules: str = STEPS) -> None:
    files = bundle_files(
        running.enforcer_key.public_jwk(), people_yaml=people, policies_payments_cedar=rules
    )
    activate(running.service, tenant="default", files=files, by="ops")


def told(running: Running, request: str) -> dict[str, set[str]]:
    """Who was told of a request, by the kind of notice."""
    with running.service.store.read() as tx:
        found: dict[str, set[str]] = {}
        for notice in tx.notices.of(tenant="default", subject=request):
            found.setdefault(notice.kind, set()).add(notice.person)
    return found


def events(running: Running) -> list[tuple[str, object, object]]:
    """(type, people, name) of each follow-up in the log."""
    found: list[tuple[str, object, object]] = []
    with running.service.store.read() as tx:
        for staged in tx.log.staged(limit=1000):
            event = verify_opening(parse_leaf(staged.leaf), orjson.loads(staged.opening))
            match event:
                case RequestEscalated(people=people, name=name):
                    found.append((event.TYPE, people, name))
                case RequestReminded(people=people):
                    found.append((event.TYPE, people, None))
                case _:
                    pass
    return found


def on_call(first: str, *, days: int = 2) -> str:
    """People of whom one of finance is on call, today and tomorrow."""
    today = dt.datetime.now(dt.UTC).date()
    until = today + dt.timedelta(days=days)
    return TOLD + (
        f"on_call:\n  finance:\n    - {{from: {today}, until: {until}, people: [{first}]}}\n"
    )


def test_who_is_kept_for_later_is_told_later_and_once(
    running: Running, later: Callable[[int], None]
) -> None:
    use(running)
    request = running.opened(user="cleo")
    assert told(running, request) == {"request": {"ada", "ben", "uma"}}
    later(299)
    assert follow(running.service) == 0
    later(1)
    assert follow(running.service) == 1
    assert told(running, request) == {"request": {"ada", "ben", "uma", "dora"}}
    assert events(running) == [("request.escalated", ("dora",), "managers")]
    assert follow(running.service) == 0
    later(200)
    assert follow(running.service) == 0
    assert len(events(running)) == 1


def test_half_way_those_who_are_silent_are_reminded_once(
    running: Running, later: Callable[[int], None]
) -> None:
    use(running, rules=RULES)
    request = running.opened(user="cleo")
    running.decide("ada", request)
    later(449)
    assert follow(running.service) == 0
    later(1)
    assert follow(running.service) == 1
    assert told(running, request) == {
        "request": {"ada", "ben", "uma"},
        "reminder": {"ben", "uma"},
    }
    assert events(running) == [("request.reminded", ("ben", "uma"), None)]
    later(100)
    assert follow(running.service) == 0


def test_who_is_on_call_is_told_before_the_rest_of_the_group(
    running: Running, later: Callable[[int], None]
) -> None:
    use(running, people=on_call("ben"), rules=RULES)
    small = running.opened("10.00", user="cleo")
    large = running.opened("750.00", user="cleo")
    assert told(running, small) == {"request": {"ben"}}
    # One on call cannot fill two places: then everybody is told at once.
    assert told(running, large) == {"request": {"ada", "ben", "uma"}}
    later(450)
    assert follow(running.service) == 2
    # The rest hears of it now for the first time; that is no reminder.
    assert told(running, small) == {"request": {"ada", "ben", "uma"}, "reminder": {"ben"}}


def test_on_call_who_may_not_approve_is_not_the_only_one_told(running: Running) -> None:
    use(running, people=on_call("uma"), rules=RULES)
    request = running.opened("10.00", user="uma")
    assert told(running, request) == ALL


def test_nobody_waits_for_a_step_without_which_nobody_could_approve(running: Running) -> None:
    rules = STEPS.replace('"finance | managers"', '"managers"')
    use(running, rules=rules)
    assert told(running, running.opened()) == {"request": {"cleo", "dora"}}


def test_a_stand_in_is_told_in_place_of_who_is_away(running: Running) -> None:
    today = dt.datetime.now(dt.UTC).date()
    until = today + dt.timedelta(days=2)
    people = TOLD.replace(
        "ben: {name: Ben Silva, email: ben@example.com}",
        "ben: {name: Ben Silva, email: ben@example.com, stand_ins: [dora], "
        f"absent: [{{from: {today}, until: {until}, stand_in: dora}}]}}",
    )
    use(running, people=people, rules=RULES)
    assert told(running, running.opened()) == {"request": {"ada", "dora"}}


def test_what_is_over_or_filled_is_left_alone(
    running: Running, later: Callable[[int], None]
) -> None:
    use(running)
    running.decide("ada", running.opened("10.00"))
    running.decide("ada", running.opened("11.00"), "deny")
    later(301)
    assert follow(running.service) == 0
    unanswered = running.opened("12.00")
    later(1200)
    assert follow(running.service) == 0  # its time is over, though no job has said so
    assert told(running, unanswered) == ALL
    assert events(running) == []


def test_steps_that_were_missed_are_taken_late_and_in_order(
    running: Running, later: Callable[[int], None]
) -> None:
    """No process ran for a while: nobody is told twice in one moment."""
    use(running)
    request = running.opened()
    later(900)
    assert follow(running.service) == 1
    assert told(running, request) == {
        "request": {"ada", "ben", "cleo", "dora"},
        "reminder": {"ada", "ben"},
    }
    assert [kind for kind, _, _ in events(running)] == ["request.escalated", "request.reminded"]
    assert follow(running.service) == 0


def test_any_number_of_processes_take_a_step_once(
    running: Running, later: Callable[[int], None]
) -> None:
    use(running)
    requests = [running.opened(f"{number}.00") for number in range(1, 6)]
    later(300)
    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(lambda _: follow(running.service), range(6))) == len(requests)
    assert len(events(running)) == len(requests)


def test_a_step_is_logged_once_also_where_nobody_has_a_channel(
    running: Running, later: Callable[[int], None]
) -> None:
    use(running, people=PEOPLE)
    request = running.opened()
    later(300)
    assert follow(running.service) == 1
    later(60)
    assert follow(running.service) == 0
    assert told(running, request) == {}
    assert events(running) == [("request.escalated", ("cleo",), "managers")]


def test_a_group_that_left_the_bundle_meanwhile_does_not_leave_a_request_alone(
    running: Running, later: Callable[[int], None]
) -> None:
    use(running)
    request = running.opened()
    use(running, people=TOLD.replace("managers:", "chiefs:"), rules=RULES)
    later(300)
    assert follow(running.service) == 1
    assert told(running, request) == {"request": {"ada", "ben", "cleo", "dora"}}


def morning(running: Running, later: Callable[[int], None], *, hour: int) -> str:
    """Go on to that hour of the next day; gives its date."""
    with running.service.store.read() as tx:
        now = tx.now
    tomorrow = now - now % 86_400 + 86_400
    later(tomorrow + hour * 3600 - now)
    return dt.datetime.fromtimestamp(tomorrow, dt.UTC).date().isoformat()


def digested(running: Running, date: str) -> set[str]:
    return told(running, date).get("digest", set())


def test_the_morning_digest_is_for_those_whom_it_concerns_once_a_day(
    running: Running, later: Callable[[int], None]
) -> None:
    rules = RULES.replace('@ttl("15m")', '@ttl("3d")')
    use(running, rules=rules)
    morning(running, later, hour=0)
    decided = running.opened("10.00", user="cleo")
    running.decide("ada", decided)  # without ben and uma
    date = morning(running, later, hour=7)
    assert digest(running.service) == 0
    later(3600)
    assert digest(running.service) == 2
    assert digested(running, date) == {"ben", "uma"}
    assert digest(running.service) == 0
    waiting = running.opened("750.00", user="cleo")
    running.decide("ada", waiting)
    later(3600)
    assert digest(running.service) == 0  # what came after the hour is for tomorrow
    date = morning(running, later, hour=8)
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(lambda _: digest(running.service), range(4))) == 2
    assert digested(running, date) == {"ben", "uma"}
    running.decide("ben", waiting)
    date = morning(running, later, hour=23)
    assert digest(running.service) == 1
    assert digested(running, date) == {"uma"}


def test_following_up_changes_nothing_of_who_may_approve(
    running: Running, later: Callable[[int], None]
) -> None:
    use(running)
    running.enrol("cleo")
    request = running.opened("10.00")
    assert "cleo" not in told(running, request)["request"]
    assert running.decide("cleo", request) is State.APPROVED
    later(300)
    assert follow(running.service) == 0


def test_a_process_looks_for_the_digest_once_a_day(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is concerned is a question about all of yesterday: not to be asked every minute."""
    clock, asked = [20_000 * 86_400], list[int]()
    monkeypatch.setattr(running.service.store, "_now", lambda _session: clock[0])

    def counted(_service: object) -> int:
        asked.append(clock[0])
        return 0

    monkeypatch.setattr(follow_module, "digest", counted)
    digests = Digests()
    for hour in (7, 8, 9, 23, 24 + 7, 24 + 8, 24 + 9):
        clock[0] = 20_000 * 86_400 + hour * 3600
        digests.put(running.service)
    assert [(at // 3600) % 24 for at in asked] == [8, 8]
