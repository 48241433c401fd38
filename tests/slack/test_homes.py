"""Accounts of an organization with many workspaces (Enterprise Grid) and of Slack Connect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from approvals.integrations.slack.linking import Who
from tests.slack.records import TEAM, Fault

if TYPE_CHECKING:
    from tests.slack.records import Message
    from tests.slack.workplace import Workplace

GRID = "E0COMPANY"
OTHER, ELSEWHERE = "T0OTHER", "E0ELSEWHERE"
LINKED = "This account is linked to you now."
FOREIGN = "Only members of this app's own workspace or organization"


def in_a_grid(place: Workplace, *, whole: bool) -> None:
    """Slack is one of an organization, and ada is in two of its workspaces."""
    place.slack.organization, place.slack.whole = GRID, whole
    ada = place.slack.users["U0ADA"]
    ada.organization, ada.workspaces = GRID, (OTHER, TEAM)


def asked(place: Workplace) -> tuple[str, Message]:
    request = place.running.opened("20.00")
    place.deliver()
    (message,) = [each for each in place.slack.posted("U0ADA") if each.buttons]
    return request, message


@pytest.mark.parametrize("whole", [False, True], ids=["one workspace", "all of it"])
def test_a_member_of_an_organization_links_lists_approves_and_denies(
    place: Workplace, *, whole: bool
) -> None:
    in_a_grid(place, whole=whole)
    place.command("U0ADA", f"link {place.link_code('ada')}")
    assert place.said().startswith(LINKED)
    request, message = asked(place)
    assert f"/r/{request}" in str(place.command("U0ADA").json())
    place.press("U0ADA", message, "approve")
    assert place.said() == "Approved."
    assert place.state(request) == "approved"
    denied = place.running.opened("21.00")
    place.deliver()
    place.interact(place.slack.click("U0ADA", {"action_id": "assent.deny", "value": denied}))
    place.interact(place.slack.submit("U0ADA", place.slack.views[-1], "no"))
    assert place.state(denied) == "denied"


def test_installed_in_all_of_it_any_workspace_of_the_organization_will_do(place: Workplace) -> None:
    in_a_grid(place, whole=True)
    place.command("U0ADA", f"link {place.link_code('ada')}", team_id=OTHER)
    assert place.said().startswith(LINKED)
    request, message = asked(place)
    there = {"id": OTHER, "domain": "other", "enterprise_id": GRID}
    button = message.buttons["assent.approve"]
    place.interact(place.slack.click("U0ADA", button, team=there))
    assert place.state(request) == "approved"


def test_who_was_linked_before_the_workspace_joined_an_organization_still_is(
    place: Workplace,
) -> None:
    place.link("ada")
    request, message = asked(place)
    in_a_grid(place, whole=False)
    place.press("U0ADA", message, "approve")
    assert place.state(request) == "approved"


@pytest.mark.parametrize(
    "changes",
    [
        {"team_id": OTHER},
        {"team_id": OTHER, "enterprise_id": ELSEWHERE},
        {"enterprise_id": ELSEWHERE},
        {"enterprise_id": ""},
    ],
)
def test_what_is_typed_elsewhere_links_nobody(place: Workplace, changes: dict[str, str]) -> None:
    in_a_grid(place, whole=False)
    place.command("U0ADA", f"link {place.link_code('ada')}", **changes)
    assert place.said().startswith(FOREIGN)
    assert place.everything()["account"] == []


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("organization", "workspaces"),
    [(None, ()), (ELSEWHERE, (TEAM,)), (GRID, ())],
    ids=["of no organization", "of another", "in none of its workspaces"],
)
def test_slack_has_to_say_that_the_account_is_the_organizations(
    place: Workplace, organization: str | None, workspaces: tuple[str, ...], *, whole: bool
) -> None:
    in_a_grid(place, whole=whole)
    user = place.slack.users["U0ADA"]
    user.team = OTHER
    user.organization, user.workspaces = organization, workspaces
    place.command("U0ADA", f"link {place.link_code('ada')}")
    # Where the app serves all of it, a member of the organization is enough.
    assert place.said().startswith(LINKED if whole and organization == GRID else FOREIGN)


@pytest.mark.parametrize("home", [OTHER, ELSEWHERE])
@pytest.mark.parametrize("grid", [False, True])
def test_an_account_of_slack_connect_is_nobodys_even_with_the_same_id(
    place: Workplace, home: str, *, grid: bool
) -> None:
    """Ids of accounts are unique within a home: a stranger may have ada's."""
    if grid:
        in_a_grid(place, whole=False)
    place.command("U0ADA", f"link {place.link_code('ada')}")
    assert place.said().startswith(LINKED)
    request, message = asked(place)
    stranger = {"id": "U0ADA", "username": "anyone", "team_id": home}
    before = place.everything()
    for action in ("approve", "deny"):
        button = {"action_id": f"assent.{action}", "value": request}
        place.interact(place.slack.click("U0ADA", button, user=stranger))
        assert place.said().startswith(FOREIGN)
    form = place.slack.submit(
        "U0ADA", {"callback_id": "assent.deny", "private_metadata": request}, "no"
    )
    answer = place.interact({**form, "user": stranger}).json()
    assert answer["errors"]["reason"].startswith(FOREIGN)
    assert place.everything() == before
    assert message.buttons


@pytest.mark.parametrize(
    "told",
    [
        {"team_id": None},
        {"team_id": "not an id"},
        {"team_id": TEAM, "enterprise_id": "T0ASSENT"},
        {"team_id": TEAM, "enterprise_id": 7},
        {"is_enterprise_install": True},
        {"is_enterprise_install": True, "team_id": TEAM},
    ],
    ids=range(6),
)
def test_a_slack_that_does_not_say_where_it_is_installed_links_nobody(
    place: Workplace, told: dict[str, Any]
) -> None:
    place.slack.fault = Fault(
        body=json.dumps({"ok": True, **told}).encode(), methods=frozenset({"auth.test"})
    )
    place.command("U0ADA", f"link {place.link_code('ada')}")
    assert place.said().startswith("Slack did not answer.")
    assert place.everything()["account"] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"team": {"id": TEAM, "enterprise_id": "x"}},
        {"enterprise": {"id": TEAM}},
        {"enterprise": "E0COMPANY"},
        {"team": None, "user": {"id": "U0ADA"}},
        {"user": {"id": "U0ADA", "team_id": None}},
    ],
)
def test_a_payload_that_names_no_home_is_refused(
    place: Workplace, small: tuple[str, Message], changes: dict[str, Any]
) -> None:
    request, _ = small
    button = {"action_id": "assent.approve", "value": request}
    assert place.interact(place.slack.click("U0ADA", button, **changes)).status_code == 401
    assert place.state(request) == "pending"


def test_where_an_account_acts_is_its_home_only_where_slack_says_so() -> None:
    assert Who("U", "T1", "T1", None).homes == ("T1",)
    assert Who("U", "E1", "T1", "E1").homes == ("E1", "T1")
    assert Who("U", "E1", None, "E1").homes == ("E1",)
    for stranger in (
        Who("U", "T2", "T1", None),
        Who("U", "T2", "T1", "E1"),
        Who("U", "E2", "T1", "E1"),
    ):
        assert stranger.is_foreign
        assert stranger.homes == (stranger.home,)


def test_the_manifest_lets_people_type_the_command_where_the_app_writes_to_them() -> None:
    manifest = yaml.safe_load(Path("integrations/slack/manifest.yaml").read_text())
    features = manifest["features"]
    assert features["app_home"] == {
        "home_tab_enabled": False,
        "messages_tab_enabled": True,
        "messages_tab_read_only_enabled": False,
    }
    (command,) = features["slash_commands"]
    assert command["command"] == "/assent"
    assert command["usage_hint"] == "[link CODE]"
    assert command["url"].endswith("/slack/commands")
    assert manifest["settings"]["interactivity"]["request_url"].endswith("/slack/interactions")
    # What people write there otherwise is not read: nothing subscribes to it.
    assert "event_subscriptions" not in manifest["settings"]
    assert set(manifest["oauth_config"]["scopes"]["bot"]) == {
        *("chat:write", "commands", "im:write", "users:read"),
    }
    guide = Path("docs/slack.md").read_text()
    assert "In the app's own conversation" in guide
