from __future__ import annotations

import json
import re

from approvals.flow.asking import cancel
from tests.slack.briefs import NAUGHTY
from tests.slack.limits import text_objects
from tests.slack.workplace import MARKED, Workplace

SURROGATE = re.compile("[\ud800-\udfff]")


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
