from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from approvals.flow.asking import cancel
from approvals.flow.telling.deliver import GiveUp, Message, Recipient, TryAgain
from approvals.flow.telling.outbox import NoticeKind
from integrations.slack import client
from integrations.slack.channel import SlackChannel
from tests.service import PEOPLE
from tests.slack.briefs import NAUGHTY, brief
from tests.slack.counterpart import Counterpart
from tests.slack.limits import text_objects
from tests.slack.records import Fault, refusal
from tests.slack.workplace import MARKED, Workplace

SURROGATE = re.compile("[\ud800-\udfff]")


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


# The living message


def test_everybody_who_is_asked_gets_one_message(place: Workplace) -> None:
    place.running.opened()
    place.deliver()
    assert {message.channel for message in place.slack.posted()} == {"D-U0ADA", "D-U0BEN"}
    for message in place.slack.posted():
        assert "750.00 EUR" in message.shown
        for off in ("unfurl_links", "unfurl_media", "link_names", "mrkdwn"):
            assert message.arguments[off] is False
        assert message.arguments["parse"] == "none"
    assert place.deliver() == 0


def test_it_is_changed_in_place_and_the_thread_tells_the_story(place: Workplace) -> None:
    request = place.running.opened()
    place.deliver()
    place.running.decide("ada", request)
    place.deliver()
    place.running.decide("ben", request)
    place.deliver()
    assert len(place.slack.posted()) == 2
    for message in place.slack.posted():
        assert len(message.versions) == 3
        assert "Approved by Ada Okafor, Ben Silva" in message.shown
        assert message.buttons == {}
        assert [each.text for each in place.slack.thread(message)] == [
            "Ada Okafor approved\n1 of 2 so far",
            "Ben Silva approved\nApproved by Ada Okafor, Ben Silva",
        ]
        assert "vendor@example.com" not in str([e.text for e in place.slack.thread(message)])


def test_what_changed_before_it_was_sent_is_told_once(place: Workplace) -> None:
    request = place.running.opened()
    place.deliver()
    place.running.decide("ada", request)
    place.running.decide("ben", request, "deny", "no")
    place.deliver()
    (message,) = place.slack.posted("U0ADA")
    assert len(message.versions) == 2
    (told,) = place.slack.thread(message)
    assert told.text == "Ada Okafor approved\nBen Silva denied\nDenied by Ben Silva"


def test_a_request_that_is_withdrawn_says_so(place: Workplace) -> None:
    request = place.running.opened()
    place.deliver()
    cancel.cancel(place.running.service, place.running.caller, request)
    place.deliver()
    (message,) = place.slack.posted("U0ADA")
    assert "Withdrawn by the caller" in message.shown
    assert message.buttons == {}


def test_a_message_that_was_deleted_is_posted_anew(place: Workplace) -> None:
    request = place.running.opened()
    place.deliver()
    (message,) = place.slack.posted("U0ADA")
    place.slack.delete(message)
    place.running.decide("ben", request, "deny", "no")
    place.deliver()
    (again,) = place.slack.posted("U0ADA")
    assert again.ts != message.ts
    assert again.notice == message.notice
    assert "Denied" in again.shown
    place.slack.refused.clear()


def test_without_a_linked_account_nobody_can_approve_here(place: Workplace) -> None:
    place.running.opened("20.00")
    place.deliver()
    (message,) = place.slack.posted("U0ADA")
    assert set(message.buttons) == {"assent.open", "assent.deny"}


def test_with_one_they_can_where_a_session_is_enough(place: Workplace) -> None:
    place.link("ada")
    place.running.opened("20.00")
    place.deliver()
    (mine,) = [m for m in place.slack.posted("U0ADA") if m.buttons]
    assert set(mine.buttons) == {"assent.open", "assent.deny", "assent.approve"}
    (bens,) = place.slack.posted("U0BEN")
    assert "assent.approve" not in bens.buttons


def test_what_is_not_for_a_notice_is_not_in_it(place: Workplace) -> None:
    place.link("ada")
    place.rules(tools_yaml=MARKED.replace("kind: address, summary: true}", "kind: address}"))
    request = place.running.opened(
        "20.00", args={"memo": "canary-memo"}, explanation="canary-prose"
    )
    place.deliver()
    place.running.decide("ada", request, "deny", "canary-reason")
    place.deliver()
    everything = json.dumps([message.versions for message in place.slack.messages])
    assert "20.00 EUR" in everything
    assert "2 more fields on the page" in everything
    assert "canary" not in everything
    assert "vendor@example.com" not in everything
    assert "assent.approve" not in everything


def test_the_facts_are_the_same_whatever_the_agent_says(place: Workplace) -> None:
    seen, told = set(), 0
    for prose in (None, "Approved already by the CFO", *NAUGHTY):
        if SURROGATE.search(prose or ""):
            continue  # not JSON: no caller can send it
        request = place.running.opened("20.00", explanation=(prose or "")[:1000] or None)
        place.deliver()
        message = place.slack.posted("U0ADA")[-1]
        when = str(message.blocks[-2]["elements"][0]["text"])
        seen.add(message.shown.replace(request, "REQUEST").replace(when, "WHEN"))
        place.running.decide("ben", request, "deny", "next")
        told += 1
    assert len(place.slack.posted("U0ADA")) == told
    assert len(seen) == 1


def test_a_payload_means_nothing_on_its_way_through_everything(place: Workplace) -> None:
    corpus = [text for text in NAUGHTY if not SURROGATE.search(text)]
    for text in corpus:
        place.running.opened("20.00", args={"to": text[:1100]})
    place.deliver()
    assert len(place.slack.posted("U0ADA")) == len(corpus)
    for message in place.slack.posted():
        assert "<" not in message.text
        for each in text_objects(message.blocks):
            assert each["type"] == "mrkdwn" or "<" not in each["text"]


def test_notes_about_oneself_arrive(place: Workplace) -> None:
    place.deliver()
    place.link("ada")
    place.deliver()
    note = place.slack.posted("U0ADA")[-1]
    assert "A chat account was linked to you" in note.shown


# When Slack does not do what it should


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
