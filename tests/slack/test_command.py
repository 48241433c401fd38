"""The command in Slack: what waits for a person, and linking an account."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.slack.limits import check_message
from tests.slack.records import TEAM, Fault
from tests.slack.workplace import URL, Workplace


def test_the_command_lists_what_waits_for_me(place: Workplace) -> None:
    place.link("ada")
    assert place.command("U0ADA").json()["text"] == "Nothing waits for your decision."
    request = place.running.opened("750.00", args={"memo": "canary"})
    answer = place.command("U0ADA").json()
    check_message(answer["text"], answer["blocks"])
    assert answer["response_type"] == "ephemeral"
    assert f"{URL}/r/{request}" in str(answer)
    assert "canary" not in str(answer)
    assert "vendor@example.com" not in str(answer)
    place.running.decide("ada", request)
    assert place.command("U0ADA").json()["text"] == "Nothing waits for your decision."


@pytest.mark.parametrize(
    "text",
    ["help", "Help", "link a b", "linkabc", "l\u0131nk x", "approve req_x", "x" * 5000, "<!here>"],
)
def test_the_command_says_how_it_is_used(place: Workplace, text: str) -> None:
    answer = place.command("U0ADA", text)
    assert answer.status_code == 200
    assert answer.json()["text"].startswith("/assent shows")


@pytest.mark.parametrize("verb", ["link", "Link", "LINK", "  Link  ", "liNK"])
def test_a_subcommand_is_taken_in_any_case(place: Workplace, verb: str) -> None:
    place.command("U0ADA", f"{verb} {place.link_code('ada')}")
    assert place.said().startswith("This account is linked to you now.")
    for listed in ("", "list", "List", " LIST "):
        assert place.command("U0ADA", listed).json()["text"] == "Nothing waits for your decision."


def test_linking_without_a_code_says_where_the_code_is(place: Workplace) -> None:
    assert f"{URL}/me" in place.command("U0ADA", "Link").json()["text"]


def test_a_code_links_the_account_that_typed_it(place: Workplace) -> None:
    code = place.link_code("ada")
    assert place.command("U0ADA", f"link {code.lower()}").content == b""
    assert place.said().startswith("This account is linked to you now.")
    assert place.command("U0ADA").json()["text"] == "Nothing waits for your decision."
    place.command("U0BEN", f"link {code}")
    assert place.said().startswith("This code is wrong, used or too old.")
    place.command("U0ADA", f"link {place.link_code('ben')}")
    assert place.said().startswith("This account, or this person, is linked already.")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"is_bot": True}, "A bot's account cannot be linked."),
        ({"is_workflow_bot": True}, "A bot's account cannot be linked."),
        ({"is_restricted": True}, "A guest's account cannot be linked."),
        ({"is_ultra_restricted": True}, "A guest's account cannot be linked."),
        ({"deleted": True}, "This account is deactivated; it cannot be linked."),
        ({"is_stranger": True}, "Only members of this app's own workspace or organization"),
    ],
)
def test_who_is_not_a_full_member_cannot_link(
    place: Workplace, flags: dict[str, bool], sentence: str
) -> None:
    place.slack.add_user("U0GUEST").flags.update(flags)
    code = place.link_code("ada")
    place.command("U0GUEST", f"link {code}")
    assert place.said().startswith(sentence)
    assert place.command("U0ADA", f"link {code}").status_code == 200
    # The code was not used up by somebody who could not use it.
    assert place.said().startswith("This account is linked to you now.")


def test_who_is_of_another_workspace_cannot_link(place: Workplace) -> None:
    place.slack.add_user("U0FAR", team="T0OTHER")
    foreign = "Only members of this app's own workspace or organization"
    code = place.link_code("ada")
    place.command("U0FAR", f"link {code}")
    assert place.said().startswith(foreign)
    place.command("U0ADA", f"link {code}", team_id="T0OTHER")
    assert place.said().startswith(foreign)
    place.command("U0NOBODY", f"link {code}")
    assert place.said().startswith(foreign)
    place.slack.refused.clear()
    assert place.everything()["account"] == []


def test_what_slack_does_not_say_counts_as_the_worse(place: Workplace) -> None:
    documents: tuple[Any, ...] = (
        {},
        [],
        {"id": "U0ADA", "team_id": TEAM},
        {"id": "U0BEN", "team_id": TEAM},
    )
    for document in documents:
        place.slack.fault = Fault(
            body=json.dumps({"ok": True, "user": document}).encode(),
            methods=frozenset({"users.info"}),
        )
        place.command("U0ADA", f"link {place.link_code('ada')}")
        assert "linked to you now" not in place.said()
    assert place.everything()["account"] == []


def test_a_slack_that_does_not_answer_links_nobody(place: Workplace) -> None:
    for method in ("auth.test", "users.info"):
        place.slack.fault = Fault(503, methods=frozenset({method}))
        place.command("U0ADA", f"link {place.link_code('ada')}")
        assert place.said().startswith("Slack did not answer.")
    assert place.everything()["account"] == []
