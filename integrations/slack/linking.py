"""Whose account may be linked: a full member of the workspace that the app is installed in.

Slack is asked at the moment of linking, and what it says is bound to the ids of team and account.
Names and mail addresses are not looked at: in Slack people set them themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from approvals.core.errors import Forbidden
from integrations.slack.client import SlackError, ask

if TYPE_CHECKING:
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


def check_member(web: WebClient, *, team: str, account: str) -> None:
    """Refuse a bot, a guest, a stranger, a deactivated account, and one of another workspace.

    Raises:
        Forbidden: `account_…`; what Slack does not say counts as the worse.
        SlackError: Slack could not be asked.
    """
    if ask(web.auth_test).get("team_id") != team:
        raise Forbidden("this account is of another workspace", code="account_is_foreign")
    try:
        user = ask(web.users_info, user=account).get("user")
    except SlackError as error:
        if error.error in {"user_not_found", "user_not_visible", "users_not_found"}:
            raise Forbidden("this account is not known here", code="account_is_foreign") from error
        raise
    if not isinstance(user, dict):
        raise SlackError("nonsense")
    if user.get("id") != account or user.get("team_id") != team:
        raise Forbidden("this account is of another workspace", code="account_is_foreign")
    for flag, code in (_MUST_BE_FALSE | _MAY_BE_ABSENT).items():
        if user.get(flag, False if flag in _MAY_BE_ABSENT else None) is not False:
            raise Forbidden("this account cannot be linked", code=code)
