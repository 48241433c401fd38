"""Whose account may be linked, and the workspace or organization that it is known by.

An account is known by two ids: its own and that of its *home*. The home is the organization where
the account is of one (Enterprise Grid), and else the workspace. Slack names an account by different
ids in different places: a click of a member of an organization says the organization's id
(`user.team_id`, E…), a command says the workspace that it was typed in (`team_id`) and beside it
the organization (`enterprise_id`). `Who` holds what was said, `check_member` asks Slack.

Slack is asked at the moment of linking, and what it says is bound to the ids. Names and mail
addresses are not looked at: in Slack people set them themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from approvals.core.errors import Forbidden
from approvals.integrations.slack import ids
from approvals.integrations.slack.client import SlackError, ask

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slack_sdk.web import WebClient

_MUST_BE_FALSE: Final = {
    "deleted": "account_deactivated",
    "is_bot": "account_is_bot",
    "is_restricted": "account_is_guest",
    "is_ultra_restricted": "account_is_guest",
}
_MAY_BE_ABSENT: Final = {
    "is_stranger": "account_is_foreign",
    "is_workflow_bot": "account_is_bot",
}


@dataclass(frozen=True, slots=True)
class Who:
    """The account that clicked or typed, as Slack named it.

    `home` is the workspace or organization that the account is said to be of. `workspace` and
    `organization` are those that it acted in, where they were told.
    """

    account: str
    home: str
    workspace: str | None
    organization: str | None

    @property
    def is_foreign(self) -> bool:
        """Whether it is said to be of another home than where it acts, as with Slack Connect."""
        return self.home not in {self.workspace, self.organization}

    @property
    def homes(self) -> tuple[str, ...]:
        """The ids by which its home may be kept: where it acts is not that of a foreign account.

        A workspace that joined an organization has members that were linked under its own id.
        """
        if self.is_foreign:
            return (self.home,)
        found = (self.organization, self.home, self.workspace)
        return tuple(dict.fromkeys(each for each in found if each is not None))


def check_member(web: WebClient, who: Who) -> str:
    """Refuse a bot, a guest, a stranger, a deactivated account, and one of another home.

    Gives the home that the account is kept by: the organization's id where this app is installed in
    a workspace of one or in all of it, and else the workspace's.

    Raises:
        Forbidden: `account_…`; what Slack does not say counts as the worse.
        SlackError: Slack could not be asked.
    """
    workspace, organization = _installed(web)
    if workspace is not None and who.workspace != workspace:
        raise Forbidden("this was typed in another workspace", code="account_is_foreign")
    if organization is not None and organization not in who.homes:
        raise Forbidden("this was typed in another organization", code="account_is_foreign")
    user = _user(web, who.account)
    if user.get("id") != who.account:
        raise Forbidden("this is another account", code="account_is_foreign")
    if organization is None:
        known = user.get("team_id") == workspace == who.home
    else:
        known = _is_of(user, organization, workspace)
    if not known:
        raise Forbidden("this account is of another workspace", code="account_is_foreign")
    for flag, code in (_MUST_BE_FALSE | _MAY_BE_ABSENT).items():
        if user.get(flag, False if flag in _MAY_BE_ABSENT else None) is not False:
            raise Forbidden("this account cannot be linked", code=code)
    return organization or who.home


def _installed(web: WebClient) -> tuple[str | None, str | None]:
    """The workspace (None: all of an organization) and the organization (None: no Grid)."""
    told = ask(web.auth_test)
    team, organization = told.get("team_id"), told.get("enterprise_id")
    if told.get("is_enterprise_install") is True:
        # Where an app is installed in a whole organization, `team_id` is no workspace of people.
        workspace = None
        organization = organization or team
    else:
        workspace = team
        if not isinstance(workspace, str) or not ids.TEAM.fullmatch(workspace):
            raise SlackError("nonsense")
    if organization is not None and (
        not isinstance(organization, str) or not ids.ORGANIZATION.fullmatch(organization)
    ):
        raise SlackError("nonsense")
    if workspace is None and organization is None:
        raise SlackError("nonsense")
    return workspace, organization


def _user(web: WebClient, account: str) -> Mapping[str, Any]:
    try:
        user = ask(web.users_info, user=account).get("user")
    except SlackError as error:
        if error.error in {"user_not_found", "user_not_visible", "users_not_found"}:
            raise Forbidden("this account is not known here", code="account_is_foreign") from error
        raise
    if not isinstance(user, dict):
        raise SlackError("nonsense")
    return user


def _is_of(user: Mapping[str, Any], organization: str, workspace: str | None) -> bool:
    """Whether Slack says that the account is the organization's, and in the workspace if one."""
    member = user.get("enterprise_user")
    if not isinstance(member, dict) or member.get("enterprise_id") != organization:
        return False
    if workspace is None:
        return True
    teams = member.get("teams")
    return user.get("team_id") == workspace or (isinstance(teams, list) and workspace in teams)
