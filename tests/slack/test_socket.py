from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from slack_sdk.errors import SlackClientError

from approvals.core.errors import AssentError
from approvals.integrations.slack.socket import SlackSocket
from tests.progress import until
from tests.service import RULES
from tests.slack.records import Fault, refusal
from tests.slack.workplace import Workplace, workplace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.slack.counterpart import Counterpart


@pytest.fixture
def place(tmp_path: Path, sqlite_url: str, slack: Counterpart) -> Iterator[Workplace]:
    """The service with Socket Mode alone: no route, no signing secret."""
    made = workplace(
        tmp_path, sqlite_url, slack, slack_signing_secret=None, slack_app_token=slack.app_token
    )
    made.link("ada")
    yield made
    made.running.service.store.close()


@pytest.fixture
def connection(place: Workplace) -> Iterator[SlackSocket]:
    socket = SlackSocket(place.running.service)
    socket.start()
    until(lambda: place.slack.connections)
    yield socket
    socket.stop()


def sent(place: Workplace, kind: str, payload: dict[str, Any], envelope: str | None = None) -> Any:
    """Send an envelope and wait for what it is acknowledged with."""
    given = place.slack.push(kind, payload, envelope=envelope)
    until(lambda: given in place.slack.acks)
    return place.slack.acks.pop(given)


def answered(place: Workplace, count: int) -> str:
    until(lambda: len(place.slack.answers) >= count)
    return place.said()


@pytest.mark.usefixtures("connection")
def test_a_click_a_form_and_a_command_come_through(place: Workplace) -> None:
    assert place.http.post("/slack/interactions").status_code == 404
    request = place.running.opened("20.00")
    listed = sent(place, "slash_commands", place.slack.command("U0ADA"))
    assert request in json.dumps(listed)
    place.deliver()
    (message,) = [each for each in place.slack.posted("U0ADA") if each.buttons]
    click = place.slack.click("U0ADA", message.buttons["assent.deny"])
    assert sent(place, "interactive", click) is None
    until(lambda: place.slack.views)
    wrong = place.slack.submit("U0ADA", place.slack.views[0], "x" * 501)
    assert sent(place, "interactive", wrong)["response_action"] == "errors"
    form = place.slack.submit("U0ADA", place.slack.views[0], "not this one")
    assert sent(place, "interactive", form) is None
    assert place.state(request) == "denied"
    place.deliver()
    assert "Denied by Ada Okafor" in message.shown


@pytest.mark.usefixtures("connection")
def test_an_account_is_linked(place: Workplace) -> None:
    command = place.slack.command("U0BEN", f"link {place.link_code('ben')}")
    assert sent(place, "slash_commands", command) is None
    assert answered(place, 1).startswith("This account is linked to you now.")


@pytest.mark.usefixtures("connection")
def test_an_envelope_is_taken_once(place: Workplace) -> None:
    place.rules(RULES.replace('"passkey"', '"session"'))
    request = place.running.opened("750.00")
    click = place.slack.click("U0ADA", {"action_id": "assent.approve", "value": request})
    assert sent(place, "interactive", click, "11111111-aaaa") is None
    assert answered(place, 1) == "Your approval is counted. Others are still asked."
    before = place.everything()
    for _ in range(3):
        assert sent(place, "interactive", click, "11111111-aaaa") is None
    assert place.everything() == before
    assert len(place.slack.answers) == 1


@pytest.mark.usefixtures("connection")
def test_where_a_passkey_is_asked_no_click_approves(place: Workplace) -> None:
    place.rules(RULES)
    request = place.running.opened("20.00")
    click = place.slack.click("U0ADA", {"action_id": "assent.approve", "value": request})
    sent(place, "interactive", click)
    assert answered(place, 1).startswith("This needs your passkey.")
    assert place.state(request) == "pending"


@pytest.mark.usefixtures("connection")
@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("interactive", {}),
        ("interactive", {"type": 7}),
        ("interactive", {"type": "block_actions"}),
        ("interactive", {"type": "view_submission", "user": []}),
        ("slash_commands", {}),
        ("slash_commands", {"text": {"a": 1}}),
        ("events_api", {"event": {"type": "message"}}),
        ("something_new", {"a": 1}),
    ],
)
def test_what_slack_does_not_send_is_acknowledged_and_changes_nothing(
    place: Workplace, kind: str, payload: dict[str, Any]
) -> None:
    before = place.everything()
    assert sent(place, kind, payload) is None
    assert place.everything() == before


def test_a_connection_that_ends_is_opened_again(place: Workplace, connection: SlackSocket) -> None:
    first = place.slack.connections[-1]
    first.send(json.dumps({"type": "disconnect", "reason": "refresh_requested"}))
    until(lambda: place.slack.connections and place.slack.connections[-1] is not first)
    until(lambda: connection.connected)
    assert sent(place, "slash_commands", place.slack.command("U0ADA")) is not None


@pytest.mark.parametrize(
    "fault",
    [
        Fault(503, times=1),
        Fault(drop=True, times=1),
        refusal("invalid_auth", times=1),
        Fault(body=b'{"ok": true, "url": "ws://127.0.0.1:9/link"}', times=1),
    ],
    ids=["503", "dropped", "token", "elsewhere"],
)
def test_a_slack_that_is_away_at_the_start_is_tried_again(
    place: Workplace, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("approvals.integrations.slack.socket.FIRST_WAIT", 0.01)
    place.slack.fault = fault
    socket = SlackSocket(place.running.service)
    socket.start()
    until(lambda: place.slack.connections)
    until(lambda: socket.connected)
    socket.stop()
    assert fault.times == 0


def test_a_session_that_begins_while_it_is_ended_is_over(place: Workplace) -> None:
    """The SDK's reader starts when it likes; the stop would wait for it for ever."""
    socket = SlackSocket(place.running.service)
    socket.stop()
    state = socket._client.current_session_state
    state.terminated = False  # as the reader does when it begins
    assert state.terminated


@pytest.mark.parametrize(
    "url",
    [
        "wss://evil.example/link",
        "wss://slack.com.evil.example/link",
        "wss://evilslack.com/link",
        "ws://wss-primary.slack.com/link",
        "wss://wss-primary.slack.com:444/link",
        "https://slack.com/",
    ],
)
def test_no_connection_is_made_elsewhere(
    place: Workplace, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = SlackSocket(place.running.service)
    for api in ("https://slack.com/api/", place.slack.api_url):
        monkeypatch.setattr(socket._client, "_api_url", api)
        place.slack.fault = Fault(body=json.dumps({"ok": True, "url": url}).encode())
        with pytest.raises(SlackClientError):
            socket._client.issue_new_wss_url()
    monkeypatch.setattr(socket._client, "_api_url", "https://slack.com/api/")
    good = "wss://wss-primary.slack.com/link/?ticket=1"
    place.slack.fault = Fault(body=json.dumps({"ok": True, "url": good}).encode())
    assert socket._client.issue_new_wss_url() == good
    socket.stop()


def test_without_its_tokens_it_says_what_is_missing(place: Workplace) -> None:
    settings = place.running.service.settings.model_copy(update={"slack_app_token": None})
    service = type(place.running.service)(
        place.running.service.store, place.running.service.keys, settings
    )
    with pytest.raises(AssentError) as caught:
        SlackSocket(service)
    assert caught.value.code == "config"
