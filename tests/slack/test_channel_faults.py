"""When Slack does not do what it should."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from approvals.flow.telling.deliver import GiveUp, Message, Recipient, TryAgain
from approvals.flow.telling.outbox import NoticeKind
from approvals.integrations.slack import client
from approvals.integrations.slack.channel import SlackChannel
from tests.service import PEOPLE
from tests.slack.briefs import brief
from tests.slack.counterpart import Counterpart
from tests.slack.records import Fault, refusal

if TYPE_CHECKING:
    from tests.slack.workplace import Workplace


def a_message(**changes: Any) -> Message:
    given: dict[str, Any] = {
        "id": "ntc_abcdefghijklmnopqrstuvwxyz",
        "kind": NoticeKind.REQUEST,
        "tenant": "default",
        "channel": "slack",
        "recipient": Recipient("ada", "Ada Okafor", None, "U0ADA", None),
        "revision": 1,
        "url": brief().url,
        "brief": brief(),
        "lines": (),
    }
    return Message(**{**given, **changes})


def outcome(channel: SlackChannel, message: Message, reference: str | None = None) -> Any:
    with pytest.raises((TryAgain, GiveUp)) as caught:
        channel.send(message, reference)
    return caught.value


@pytest.mark.parametrize(
    ("fault", "code", "after"),
    [
        (Fault(429, b"", {"Retry-After": "17"}), "slack_ratelimited", 17),
        (Fault(429, b"slow down", {"retry-after": "9" * 5000}), "slack_ratelimited", 900),
        (Fault(429, b"", {"Retry-After": "soon"}), "slack_ratelimited", 30),
        (Fault(429, b"", {"Retry-After": "0"}), "slack_ratelimited", 1),
        (Fault(429, b"", {"Retry-After": "00000000000000017"}), "slack_ratelimited", 17),
        (Fault(429, b"", {"Retry-After": "-5"}), "slack_ratelimited", 30),
        (Fault(429), "slack_ratelimited", 30),
        (refusal("ratelimited", headers={"Retry-After": "4"}), "slack_ratelimited", 4),
        (Fault(500, b"<html>oops</html>"), "slack_status_500", None),
        (Fault(503, b""), "slack_status_503", None),
        (Fault(302, b"", {"Location": "/stolen"}), "slack_status_302", None),
        (Fault(307, b"", {"Location": "/stolen"}), "slack_status_307", None),
        (Fault(body=b""), "slack_nonsense", None),
        (Fault(body=b"<html>maintenance</html>"), "slack_nonsense", None),
        (Fault(body=b"[1]"), "slack_nonsense", None),
        (Fault(body=b"null"), "slack_nonsense", None),
        (Fault(body=b'"ok"'), "slack_nonsense", None),
        (Fault(body=b'{"ok": true}'), "slack_nonsense", None),
        (Fault(body=b'{"ok": "yes", "channel": "D-U0ADA"}'), "slack_nonsense", None),
        (Fault(body=b'{"ok": true, "channel": {"id": 7}}'), "slack_nonsense", None),
        (Fault(body=b'{"ok": false, "error": 7}'), "slack_nonsense", None),
        (Fault(body=b'{"ok": false, "error": "Drop\\nTable"}'), "slack_nonsense", None),
        (Fault(body=b"{" * 100_000), "slack_nonsense", None),
        (Fault(body=b'{"a":' * 5_000 + b"1" + b"}" * 5_000), "slack_nonsense", None),
        (Fault(body=b"\xff\xfe\x00"), "slack_nonsense", None),
        (Fault(body=b"{}", headers={"Content-Type": "text/x; charset=x"}), "slack_nonsense", None),
        (Fault(body=b"x" * 2_000_000), "slack_away", None),
        (Fault(drop=True), "slack_away", None),
        (refusal("internal_error"), "slack_internal_error", None),
        (refusal("something_new"), "slack_something_new", None),
        (refusal("invalid_auth"), "slack_invalid_auth", 600),
        (refusal("token_revoked"), "slack_token_revoked", 600),
        (refusal("account_inactive"), "slack_account_inactive", 600),
        (refusal("missing_scope"), "slack_missing_scope", 600),
    ],
    ids=range(34),
)  # fmt: skip
def test_what_may_pass_is_tried_again(
    slack: Counterpart, fault: Fault, code: str, after: int | None
) -> None:
    channel = SlackChannel(slack.bot_token, slack.api_url)
    slack.fault = fault
    error = outcome(channel, a_message())
    assert isinstance(error, TryAgain)
    assert (error.code, error.after) == (code, after)
    assert slack.messages == []
    slack.fault = None
    assert channel.send(a_message(), None) is not None


@pytest.mark.parametrize("error", ["channel_not_found", "user_disabled", "user_not_found"])
def test_who_cannot_be_reached_is_given_up(slack: Counterpart, error: str) -> None:
    slack.fault = refusal(error)
    caught = outcome(SlackChannel(slack.bot_token, slack.api_url), a_message())
    assert isinstance(caught, GiveUp)
    assert caught.code == f"slack_{error}"


@pytest.mark.parametrize("account", [None, "", "u0ada", "U0ADA,U0BEN", "D-U0ADA", "U\n0ADA"])
def test_without_an_account_there_is_nobody_to_tell(
    slack: Counterpart, account: str | None
) -> None:
    nobody = replace(a_message(), recipient=Recipient("ada", "Ada", None, account, None))
    caught = outcome(SlackChannel(slack.bot_token, slack.api_url), nobody)
    assert isinstance(caught, GiveUp)
    assert slack.calls == []


def test_the_linked_account_is_told_and_not_the_one_in_the_file(slack: Counterpart) -> None:
    who = Recipient("ada", "Ada", None, "U0BEN", ("T0ASSENT", "U0ADA"))
    SlackChannel(slack.bot_token, slack.api_url).send(a_message(recipient=who), None)
    assert [message.channel for message in slack.messages] == ["D-U0ADA"]


@pytest.mark.parametrize(
    "kind",
    [
        NoticeKind.ACCOUNT_LINKED,
        NoticeKind.ACCOUNT_UNLINKED,
        NoticeKind.PASSKEY_ENROLLED,
        NoticeKind.PASSKEY_REVOKED,
    ],
)
def test_a_warning_goes_to_the_account_that_was_reviewed(
    slack: Counterpart, kind: NoticeKind
) -> None:
    """Whoever got a stranger's account linked would otherwise be the only one to be told."""
    who = Recipient("ada", "Ada", None, "U0ADA", ("T0ASSENT", "U0BEN"))
    warning = a_message(kind=kind, recipient=who, brief=None)
    SlackChannel(slack.bot_token, slack.api_url).send(warning, None)
    assert [message.channel for message in slack.messages] == ["D-U0ADA"]


def test_a_wrong_token_is_the_operators_to_mend(slack: Counterpart) -> None:
    caught = outcome(SlackChannel("xoxb-wrong", slack.api_url), a_message())
    assert isinstance(caught, TryAgain)
    assert (caught.code, caught.after) == ("slack_invalid_auth", 600)
    slack.refused.clear()


def test_nothing_listens(slack: Counterpart) -> None:
    with Counterpart() as gone:
        address = gone.api_url
    caught = outcome(SlackChannel(slack.bot_token, address), a_message())
    assert isinstance(caught, TryAgain)
    assert caught.code == "slack_away"


@pytest.mark.parametrize("fault", [Fault(wait=1.0), Fault(drip=True)], ids=["hangs", "drips"])
def test_a_slow_slack_is_not_waited_for(
    slack: Counterpart, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(client, "CALL_SECONDS", 0.3)
    channel = SlackChannel(slack.bot_token, slack.api_url)
    slack.fault = fault
    # The drips go on for longer than a test may take.
    assert isinstance(outcome(channel, a_message()), TryAgain)


def test_an_answer_that_was_lost_gives_a_second_copy_with_the_same_ids(slack: Counterpart) -> None:
    channel = SlackChannel(slack.bot_token, slack.api_url)
    slack.fault = Fault(after=True, drop=True, methods=frozenset({"chat.postMessage"}), times=1)
    assert isinstance(outcome(channel, a_message()), TryAgain)
    channel.send(a_message(), None)
    first, second = slack.messages
    for same in ("metadata", "client_msg_id", "blocks", "text"):
        assert first.arguments[same] == second.arguments[same]
    channel.send(a_message(id="ntc_another"), None)
    assert slack.messages[-1].arguments["client_msg_id"] != first.arguments["client_msg_id"]


def test_a_change_that_was_half_told_is_told_again_whole(place: Workplace) -> None:
    request = place.running.opened()
    place.deliver()
    place.running.decide("ada", request, "deny", "no")
    place.slack.fault = Fault(500, methods=frozenset({"chat.postMessage"}), times=2)
    place.deliver()
    assert all("Denied" in message.shown for message in place.slack.posted())
    assert all(place.slack.thread(message) == [] for message in place.slack.posted())
    with place.running.service.store.begin() as tx:
        tx.session.connection().exec_driver_sql("UPDATE notice SET next_try = 0")
    place.deliver()
    for message in place.slack.posted():
        assert [told.text for told in place.slack.thread(message)] == [
            "Ada Okafor denied\nDenied by Ada Okafor"
        ]


@pytest.mark.parametrize("error", ["invalid_blocks", "msg_blocks_too_long", "msg_too_long"])
def test_what_slack_finds_too_much_becomes_a_bare_bell(slack: Counterpart, error: str) -> None:
    channel = SlackChannel(slack.bot_token, slack.api_url)
    slack.fault = refusal(error, methods=frozenset({"chat.postMessage"}), times=1)
    channel.send(a_message(), None)
    (message,) = slack.messages
    assert brief().url in message.shown
    assert "750.00" not in message.shown
    assert message.buttons == {}


def test_a_redirect_gets_no_token(slack: Counterpart) -> None:
    with Counterpart() as thief:
        for code in (301, 302, 303, 307, 308):
            slack.fault = Fault(code, b"", {"Location": f"{thief.api_url}auth.test"})
            assert isinstance(
                outcome(SlackChannel(slack.bot_token, slack.api_url), a_message()), TryAgain
            )
        assert thief.calls == []


def test_a_proxy_of_the_environment_is_not_between_us_and_this_machine(
    slack: Counterpart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    SlackChannel(slack.bot_token, slack.api_url).send(a_message(), None)
    assert len(slack.messages) == 1
    assert client.web_client("xoxb-x").proxy == "http://127.0.0.1:9"


def test_a_person_in_slack_without_an_account_is_seen_to_be_unreachable(place: Workplace) -> None:
    place.rules(people_yaml=PEOPLE.replace("Ada Okafor}", "Ada Okafor, channels: [slack]}"))
    place.running.opened("20.00")
    place.deliver()
    with place.running.service.store.read() as tx:
        rows = tx.session.connection().exec_driver_sql(
            "SELECT person, state, error FROM notice WHERE kind = 'request'"
        )
        assert [tuple(row) for row in rows] == [("ada", "given_up", "slack_no_account")]


@pytest.mark.parametrize("kind", list(NoticeKind))
def test_every_kind_of_notice_is_taken(slack: Counterpart, kind: NoticeKind) -> None:
    channel = SlackChannel(slack.bot_token, slack.api_url)
    told = {NoticeKind.REQUEST, NoticeKind.REMINDER}
    message = a_message(kind=kind, brief=brief() if kind in told else None, lines=("1 waiting",))
    reference = channel.send(message, None)
    assert channel.send(replace(message, revision=2), reference) is not None
    assert len(slack.posted()) == 1


def test_nobody_waits_in_line_behind_a_person_who_cannot_be_told(
    place: Workplace, capfd: pytest.CaptureFixture[str]
) -> None:
    place.slack.users["U0ADA"].flags["deleted"] = True
    place.running.opened()
    place.deliver()
    assert [message.channel for message in place.slack.posted()] == ["D-U0BEN"]
    assert [error.split(":")[0] for _, error in place.slack.refused] == ["user_disabled"]
    place.slack.refused.clear()
    assert "Traceback" not in capfd.readouterr().err
