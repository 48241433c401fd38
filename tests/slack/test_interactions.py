from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from approvals.flow.asking import cancel
from approvals.flow.people import linking
from approvals.flow.people.accounts import log_linked, log_unlinked
from approvals.integrations.slack.callbacks import INTERACTIONS
from approvals.store.accounts import Account
from tests.service import RULES
from tests.slack.counterpart import form
from tests.slack.limits import check_view
from tests.slack.records import TEAM, Fault
from tests.slack.workplace import URL, Workplace

if TYPE_CHECKING:
    from collections.abc import Callable

    from approvals.flow.acting.session import Session
    from tests.slack.records import Message


def test_a_click_approves_once(place: Workplace, small: tuple[str, Message]) -> None:
    request, message = small
    answer = place.press("U0ADA", message, "approve")
    assert (answer.status_code, answer.content) == (200, b"")
    assert place.said() == "Approved."
    assert place.state(request) == "approved"
    place.deliver()
    assert "Approved by Ada Okafor" in message.shown
    assert message.buttons == {}
    before = place.everything()
    again = place.slack.click("U0ADA", {"action_id": "assent.approve", "value": request})
    assert place.interact(again).status_code == 200
    assert place.said() == "This request is over. Nothing can be decided on it any more."
    assert place.everything() == before


def test_deny_asks_for_the_reason_and_counts_it(
    place: Workplace, small: tuple[str, Message]
) -> None:
    request, message = small
    assert place.press("U0ADA", message, "deny").status_code == 200
    (view,) = place.slack.views
    check_view(view)
    assert view["private_metadata"] == request
    assert place.state(request) == "pending"
    answer = place.interact(place.slack.submit("U0ADA", view, " Not this vendor \n"))
    assert (answer.status_code, answer.content) == (200, b"")
    assert place.state(request) == "denied"
    with place.running.service.store.read() as tx:
        stored = tx.requests.get(tenant="default", request_id=request)
        assert stored is not None
        (vote,) = stored.request.votes
        assert (vote.reason, vote.channel) == ("Not this vendor", "slack")


@pytest.mark.parametrize("reason", [None, "", "  "])
def test_a_reason_may_be_left_out(
    place: Workplace, small: tuple[str, Message], reason: str | None
) -> None:
    request, message = small
    place.press("U0ADA", message, "deny")
    place.interact(place.slack.submit("U0ADA", place.slack.views[0], reason))
    assert place.state(request) == "denied"


def test_a_reason_that_is_too_long_is_refused_in_the_form(
    place: Workplace, small: tuple[str, Message]
) -> None:
    request, message = small
    place.press("U0ADA", message, "deny")
    answer = place.interact(place.slack.submit("U0ADA", place.slack.views[0], "x" * 501))
    assert answer.json()["response_action"] == "errors"
    assert place.state(request) == "pending"


def test_where_a_passkey_is_asked_no_click_approves(place: Workplace) -> None:
    place.link("ada", "ben")
    place.rules(RULES)
    request = place.running.opened("20.00")
    place.deliver()
    assert all("assent.approve" not in message.buttons for message in place.slack.posted())
    forged = {"action_id": "assent.approve", "value": request}
    for account in ("U0ADA", "U0BEN"):
        assert place.interact(place.slack.click(account, forged)).status_code == 200
        assert place.said() == "This needs your passkey. Open the request to approve it there."
    assert place.state(request) == "pending"
    (message,) = [each for each in place.slack.posted("U0ADA") if each.buttons]
    place.press("U0ADA", message, "deny")
    place.interact(place.slack.submit("U0ADA", place.slack.views[0], "no"))
    assert place.state(request) == "denied"


def test_an_account_that_is_nobodys_is_told_how_to_link_it(place: Workplace) -> None:
    request = place.running.opened("20.00")
    place.deliver()
    (message,) = place.slack.posted("U0ADA")
    before = place.everything()
    for action in ("approve", "deny"):
        forged = {"action_id": f"assent.{action}", "value": request}
        assert place.interact(place.slack.click("U0ADA", forged)).status_code == 200
        assert f"{URL}/me" in place.said()
    form_sent = place.slack.submit(
        "U0ADA", {"callback_id": "assent.deny", "private_metadata": request}, "no"
    )
    assert f"{URL}/me" in place.interact(form_sent).json()["errors"]["reason"]
    assert f"{URL}/me" in place.command("U0ADA").json()["text"]
    assert place.everything() == before
    assert place.slack.views == []
    assert message.buttons


def test_an_account_that_is_unlinked_while_its_click_is_under_way_decides_and_sees_nothing(
    place: Workplace, small: tuple[str, Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is unlinked after Slack's callback found whose it was, and before anything was done."""
    request, message = small
    service = place.running.service
    found = linking.person_of

    def found_and_then_unlinked(*asked: Any, **named: Any) -> Session | None:
        session = found(*asked, **named)
        with service.store.begin() as tx:
            (account,) = tx.accounts.leave(tenant="default", person="ada")
            log_unlinked(tx, service.current_bundle(tx, "default").bundle, account)
        return session

    form_sent = place.slack.submit(
        "U0ADA", {"callback_id": "assent.deny", "private_metadata": request}, "no"
    )
    gone = "This account is not linked to you any more. Nothing was decided."
    acts: list[Callable[[], object]] = [
        lambda: place.press("U0ADA", message, "approve").status_code == 200 and place.said(),
        lambda: place.press("U0ADA", message, "deny").status_code == 200 and place.said(),
        lambda: place.interact(form_sent).json()["errors"]["reason"],
        lambda: place.command("U0ADA").json()["text"],
    ]
    for act in acts:
        with monkeypatch.context() as patch:
            patch.setattr(linking, "person_of", found_and_then_unlinked)
            assert act() == gone
        with service.store.begin() as tx:
            account = Account("slack", TEAM, "U0ADA", "default", "ada", tx.now)
            assert tx.accounts.link(account)
            log_linked(tx, account, code_hash="0" * 64)
    assert place.slack.views == []
    assert place.state(request) == "pending"


def ended(place: Workplace, request: str, how: str) -> None:
    if how == "decided":
        place.running.decide("ben", request, "deny", "no")
    else:
        cancel.cancel(place.running.service, place.running.caller, request)


@pytest.mark.parametrize("how", ["decided", "withdrawn"])
@pytest.mark.parametrize("action", ["approve", "deny"])
def test_what_is_over_cannot_be_decided(
    place: Workplace, small: tuple[str, Message], how: str, action: str
) -> None:
    request, message = small
    button = dict(message.buttons[f"assent.{action}"])
    ended(place, request, how)
    before = place.everything()
    assert place.interact(place.slack.click("U0ADA", button)).status_code == 200
    assert place.said() == "This request is over. Nothing can be decided on it any more."
    assert place.slack.views == []
    assert place.everything() == before


def test_what_has_run_out_of_time_cannot_be_decided(
    place: Workplace, small: tuple[str, Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    request, message = small
    store = place.running.service.store
    honest, frozen = store._now, place.slack.signed
    monkeypatch.setattr(store, "_now", lambda session: honest(session) + 901)
    place.running.service.forget_recent("default")
    later = int(time.time()) + 901
    for action in ("approve", "deny"):
        body = form(place.slack.click("U0ADA", message.buttons[f"assent.{action}"]))
        answer = place.post(INTERACTIONS, body, frozen(body, timestamp=later))
        assert answer.status_code == 200
        assert place.said() == "This request is over. Nothing can be decided on it any more."
    place.deliver()
    assert place.state(request) == "pending"


@pytest.mark.parametrize(
    "value", ["req_" + "a" * 26, "req_x", "", None, "../../etc/passwd", "req_" + "a" * 26 + "\n"]
)
@pytest.mark.parametrize("action", ["approve", "deny"])
def test_what_there_is_not_cannot_be_decided(
    place: Workplace, small: tuple[str, Message], value: str | None, action: str
) -> None:
    del small
    before = place.everything()
    button = {"action_id": f"assent.{action}", "value": value}
    assert place.interact(place.slack.click("U0ADA", button)).status_code == 200
    assert place.said() == "There is no such request, or it is not for you."
    assert place.everything() == before


def test_somebody_elses_request_looks_like_none(place: Workplace) -> None:
    place.running.enrol("cleo")
    place.slack.add_user("U0CLEO")
    place.command("U0CLEO", f"link {place.link_code('cleo')}")
    request = place.running.opened("20.00")
    before = place.everything()
    for action in ("approve", "deny"):
        button = {"action_id": f"assent.{action}", "value": request}
        place.interact(place.slack.click("U0CLEO", button))
        assert place.said() == "There is no such request, or it is not for you."
    assert place.everything() == before


def test_who_has_decided_has_decided(place: Workplace) -> None:
    place.link("ada")
    place.rules()
    request = place.running.opened("750.00")
    button = {"action_id": "assent.approve", "value": request}
    place.interact(place.slack.click("U0ADA", button))
    assert place.said() == "Your approval is counted. Others are still asked."
    for action in ("approve", "deny"):
        before = place.everything()
        place.interact(
            place.slack.click("U0ADA", {"action_id": f"assent.{action}", "value": request})
        )
        assert place.said() == "You have decided on this request already."
        assert place.everything() == before


def test_opening_the_page_and_what_is_not_used_change_nothing(
    place: Workplace, small: tuple[str, Message]
) -> None:
    _, message = small
    before = place.everything()
    assert place.press("U0ADA", message, "open").status_code == 200
    for payload in (
        {"type": "shortcut"},
        {"type": "view_closed"},
        {"type": "block_suggestion"},
        place.slack.click("U0ADA", {"action_id": "another", "value": "x"}),
        place.slack.submit("U0ADA", {"callback_id": "another"}, "x"),
    ):
        answer = place.interact(payload)
        assert (answer.status_code, answer.content) == (200, b"")
    assert place.everything() == before


def test_a_form_that_slack_does_not_open_is_said(
    place: Workplace, small: tuple[str, Message]
) -> None:
    request, message = small
    place.slack.fault = Fault(500, methods=frozenset({"views.open"}))
    assert place.press("U0ADA", message, "deny").status_code == 200
    assert place.said().startswith("Slack did not answer.")
    assert place.state(request) == "pending"


def test_a_stranger_of_another_workspace_is_not_the_account_with_the_same_id(
    place: Workplace, small: tuple[str, Message]
) -> None:
    request, message = small
    for changes in (
        {"user": {"id": "U0ADA", "team_id": "T0OTHER"}},
        {"team": {"id": "T0OTHER"}, "user": {"id": "U0ADA"}},
        {"team": {"id": "T0OTHER"}, "user": {"id": "U0ADA", "team_id": "T0OTHER"}},
    ):
        payload = place.slack.click("U0ADA", message.buttons["assent.approve"], **changes)
        assert place.interact(payload).status_code == 200
        assert f"{URL}/me" in place.said() or "here through Slack Connect cannot" in place.said()
    assert place.state(request) == "pending"


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.slack.com/actions/x",
        "https://hooks.slack.com.evil.example/x",
        "https://evil.example/hooks.slack.com",
        "https://hooks.slack.com@evil.example/",
        "https://hooks.slack.com:8443/x",
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:1/",
        "file:///etc/passwd",
        "https://[::1]/",
        "https://[",
        "https://hooks.slack.com:99999999/",
        "https://hooks.slack.com\\@evil.example/",
        "https://hooks.slack.com/\r\nHost: evil.example",
        "",
    ],
    ids=range(14),
)
def test_answers_are_left_nowhere_else(
    place: Workplace, small: tuple[str, Message], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, message = small
    asked: list[str] = []
    monkeypatch.setattr(
        "approvals.integrations.slack.reply.post_json", lambda where, *_, **__: asked.append(where)
    )
    payload = place.slack.click("U0ADA", message.buttons["assent.approve"], response_url=url)
    assert place.interact(payload).status_code == 200
    assert asked == []
    assert place.state(request) == "approved"
