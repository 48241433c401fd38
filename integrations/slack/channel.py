"""The channel to people's direct messages in Slack.

1. The first time, a message is posted into the person's conversation with the app.
2. When there is more to tell, that message is changed in place, and a line in its thread says what
   happened, so that the message is always the truth and the thread the story.
3. Where the message is gone, it is posted anew.

Every message carries the notice's id in its metadata: a second copy, which a lost answer can cause,
can be told from a second notice.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from approvals.flow.telling.deliver import GiveUp, TryAgain
from approvals.flow.telling.outbox import NoticeKind
from approvals.integrations.slack import blocks, notes
from approvals.integrations.slack.client import SLACK_API, SlackError, ask, web_client
from approvals.integrations.slack.ids import ACCOUNT

if TYPE_CHECKING:
    from approvals.flow.telling.deliver import Message

CHANNEL: Final = "slack"

OPERATORS_WAIT: Final = 600
"""Seconds until a token that does not work is tried again: somebody has to see it and act."""

_WARNINGS: Final = frozenset(
    {
        NoticeKind.ACCOUNT_LINKED,
        NoticeKind.ACCOUNT_UNLINKED,
        NoticeKind.PASSKEY_ENROLLED,
        NoticeKind.PASSKEY_REVOKED,
    }
)

_TOKEN: Final = frozenset(
    {
        "account_inactive",
        "invalid_auth",
        "missing_scope",
        "no_permission",
        "not_allowed_token_type",
        "not_authed",
        "org_login_required",
        "team_access_not_granted",
        "token_expired",
        "token_revoked",
    }
)
_NEVER: Final = frozenset(
    {
        "cannot_dm_bot",
        "channel_not_found",
        "is_archived",
        "messages_tab_disabled",
        "not_in_channel",
        "restricted_action",
        "user_disabled",
        "user_not_found",
        "user_not_visible",
        "users_not_found",
    }
)
_GONE: Final = frozenset(
    {
        "cant_update_message",
        "channel_not_found",
        "edit_window_closed",
        "is_inactive",
        "message_not_found",
    }
)
_TOO_MUCH: Final = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"}
)


@dataclass(frozen=True, slots=True)
class Posted:
    """Where a message is, and how much of the story has been told: its reference in the outbox."""

    channel: str
    ts: str
    posted: int
    told: int
    ended: bool

    def written(self) -> str:
        """The reference as text."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def read(cls, reference: str | None) -> Posted | None:
        """The reference that was written, if there is one."""
        return None if reference is None else cls(**json.loads(reference))


class SlackChannel:
    """Sends notices to people in Slack. Safe to share between threads."""

    name: ClassVar[str] = CHANNEL

    def __init__(self, token: str, api_url: str = SLACK_API) -> None:
        """Prepare; nothing is asked of Slack yet."""
        self._web = web_client(token, api_url)

    def send(self, message: Message, reference: str | None) -> str | None:
        """Post a notice, or change it; gives where it is.

        Raises:
            TryAgain: Slack is away, slow or busy, or the token does not work (`slack_…`).
            GiveUp: this person cannot be reached in Slack.
        """
        posted = Posted.read(reference)
        try:
            if posted is None:
                return self._post(message).written()
            return self._change(message, posted).written()
        except SlackError as error:
            raise _outcome(error) from error

    def _post(self, message: Message) -> Posted:
        to = _account(message)
        opened = ask(self._web.conversations_open, users=to)
        channel = opened.get("channel")
        conversation = channel.get("id") if isinstance(channel, dict) else None
        if not isinstance(conversation, str):
            raise SlackError("nonsense")
        sent = self._say(
            message, _content(message), part="message", channel=conversation, unfurl=True
        )
        ts = sent.get("ts")
        if not isinstance(ts, str):
            raise SlackError("nonsense")
        return _told(message, conversation, ts)

    def _change(self, message: Message, posted: Posted) -> Posted:
        try:
            self._say(message, _content(message), channel=posted.channel, ts=posted.ts)
        except SlackError as error:
            if error.error not in _GONE:
                raise
            return self._post(message)
        brief = message.brief
        told = None if brief is None else blocks.story(brief, told=posted.told, ended=posted.ended)
        if told is not None:
            self._say(
                message,
                told,
                part="story",
                channel=posted.channel,
                thread_ts=posted.ts,
                unfurl=True,
            )
        return _told(message, posted.channel, posted.ts)

    def _say(
        self,
        message: Message,
        content: dict[str, Any],
        *,
        part: str = "",
        unfurl: bool = False,
        **where: str,
    ) -> Any:
        """Post (`part` names which message of this revision) or, with `ts`, change a message."""
        method = self._web.chat_update if "ts" in where else self._web.chat_postMessage
        arguments: dict[str, Any] = {
            "link_names": False,
            "parse": "none",
            "metadata": {
                "event_type": "assent_notice",
                "event_payload": {"notice": message.id, "revision": message.revision},
            },
            **where,
        }
        if unfurl:
            arguments |= {
                "unfurl_links": False,
                "unfurl_media": False,
                "mrkdwn": False,
                "client_msg_id": _copy_id(message, part),
            }
        try:
            return ask(method, **arguments, **content)
        except SlackError as error:
            if error.error not in _TOO_MUCH or message.brief is None:
                raise
            # Better a bare bell than none: the page shows everything.
            return ask(method, **arguments, **blocks.bare(message.brief, message.kind))


def _content(message: Message) -> dict[str, Any]:
    if message.brief is None:
        return notes.note(message.kind, message.lines, message.url)
    linked = message.recipient.account is not None
    return blocks.message(message.brief, message.kind, linked=linked)


def _told(message: Message, channel: str, ts: str) -> Posted:
    brief = message.brief
    return Posted(
        channel=channel,
        ts=ts,
        posted=message.revision,
        told=0 if brief is None else len(brief.decided),
        ended=brief is not None and brief.ended is not None,
    )


def _account(message: Message) -> str:
    """The linked account, or else the one in people.yaml, which is told things and decides none."""
    linked, reviewed = message.recipient.account, message.recipient.slack
    account = reviewed if linked is None else linked[1]
    if message.kind in _WARNINGS and reviewed is not None:
        # Whoever got a stranger's account linked would otherwise be the only one who is warned.
        account = reviewed
    if account is None or not ACCOUNT.fullmatch(account):
        raise GiveUp("slack_no_account")
    return account


def _copy_id(message: Message, part: str) -> str:
    """The same for every attempt at one message: a UUID, as Slack wants it."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{message.id}:{message.revision}:{part}"))


def _outcome(error: SlackError) -> TryAgain | GiveUp:
    if error.error in _TOKEN:
        return TryAgain(error.code, after=OPERATORS_WAIT)
    if error.error in _NEVER or error.error in _TOO_MUCH:
        return GiveUp(error.code)
    return TryAgain(error.code, after=error.after)
