"""What a click, a form or a command in Slack does, whichever way it came: HTTP or Socket Mode.

1. Whatever comes in here was signed by Slack, or came over Slack's own connection, and was taken
   once. It is read into exactly what is needed; what cannot be read is refused.
2. The account is looked up by its home and id (`linking.Who`). One that is nobody's is told how to
   link it.
3. The use case decides what the person may do. What it refuses becomes a sentence for the person
   who clicked, and changes nothing.
4. What has to be asked of Slack for it comes afterwards (`Answer.then`): Slack waits three seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from approvals.core.decision.ceremony import Decision
from approvals.core.errors import (
    AssentError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    TransitionError,
    Unauthenticated,
)
from approvals.core.requests import State
from approvals.flow.deciding import clicks, look
from approvals.flow.deciding.vote import LONGEST_REASON, require_decider
from approvals.flow.people import linking
from approvals.integrations.slack import ids, notes, reply
from approvals.integrations.slack.blocks import APPROVE, DENY
from approvals.integrations.slack.channel import CHANNEL
from approvals.integrations.slack.client import SlackError, ask
from approvals.integrations.slack.linking import Who, check_member
from approvals.integrations.slack.signature import refused

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Mapping

    from slack_sdk.web import WebClient

    from approvals.flow.acting.session import Session
    from approvals.flow.service import Service

_LONGEST_COMMAND: Final = 200

_REFUSALS = (NotFound, Conflict, Forbidden, TransitionError, Invalid, Unauthenticated)
_SENTENCES: Final = {
    "account_deactivated": "This account is deactivated; it cannot be linked.",
    "account_is_bot": "A bot's account cannot be linked.",
    "account_is_foreign": "Only members of this app's own workspace or organization can link their "
    "account. One that is here through Slack Connect cannot; use the page.",
    "account_is_guest": "A guest's account cannot be linked.",
    "account_linked": "This account, or this person, is linked already. Unlink it on the page "
    "first.",
    "already_voted": "You have decided on this request already.",
    "link_code": "This code is wrong, used or too old. The page gives you a new one.",
    "not_asked": "You are not asked about this request.",
    "not_found": "There is no such request, or it is not for you.",
    "not_pending": "This request is over. Nothing can be decided on it any more.",
    "own_request": "This request is made for you; somebody else decides it.",
    "reason": f"A reason has at most {LONGEST_REASON} characters.",
    "signed_out": "This account is not linked to you any more. Nothing was decided.",
    "votes_full": "Enough people approved where you are asked. Others are waited for.",
    "step_up_needed": "This needs your passkey. Open the request to approve it there.",
}
_OTHERWISE: Final = "That did not work, and nothing was decided. Open the request instead."
_AWAY: Final = "Slack did not answer. Nothing was decided; try again, or open the request."
_HELP: Final = "/assent shows what waits for you; /assent link CODE links this account to you."
_DONE: Final = {
    State.APPROVED: "Approved.",
    State.DENIED: "Denied.",
    State.PENDING: "Your approval is counted. Others are still asked.",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What Slack is told at once (None: nothing but that it arrived), and what follows."""

    body: Mapping[str, Any] | None = None
    then: Callable[[], None] | None = None


class Interactions:
    """What Slack tells the service, done. Safe to share between threads."""

    def __init__(self, service: Service, web: WebClient) -> None:
        """Work for a service, asking Slack through `web`."""
        self._service = service
        self._web = web

    def interaction(self, payload: Mapping[str, Any]) -> Answer:
        """A click, or a form that was sent. Kinds that the app does not use change nothing.

        Raises:
            Unauthenticated: Slack does not send such a thing.
            Unavailable: the service cannot answer now.
        """
        match payload.get("type"):
            case "block_actions":
                return self._clicked(payload)
            case "view_submission":
                return self._submitted(payload)
            case str() as kind if ids.KIND.fullmatch(kind):
                return Answer()
            case _:
                raise refused()

    def command(self, fields: Mapping[str, Any]) -> Answer:
        """A slash command; raises as `interaction` does."""
        who = _typed(fields)
        url = _text(fields, "response_url")
        text = _text(fields, "text") if fields.get("text") else ""
        if len(text) > _LONGEST_COMMAND:
            return Answer(notes.say(_HELP))
        # Telephones write the first word of a line with a capital letter.
        verb, *rest = text.split() or [""]
        match [verb.lower(), *rest]:
            case [""] | ["list"]:
                return Answer(self._waiting(who))
            case ["link"]:
                return Answer(notes.say(self._how_to_link(who)))
            case ["link", code]:
                # Slack is asked about the account, which may take longer than it waits.
                return Answer(then=lambda: self._answer(url, self._linked(who, code)))
            case _:
                return Answer(notes.say(_HELP))

    def _clicked(self, payload: Mapping[str, Any]) -> Answer:
        who = _who(payload)
        actions = payload.get("actions")
        if not isinstance(actions, list) or len(actions) != 1 or not isinstance(actions[0], dict):
            raise refused()
        action, value = _text(actions[0], "action_id"), actions[0].get("value")
        if action not in {APPROVE, DENY}:
            return Answer()  # opening the page is told to the app as well
        url = _text(payload, "response_url")
        trigger = _id(payload, "trigger_id", ids.TRIGGER)
        session = self._session(who)
        if session is None:
            return self._tell(url, self._how_to_link(who))
        request_id = value if isinstance(value, str) and ids.REQUEST.fullmatch(value) else ""
        try:
            if action == APPROVE:
                state = self._decide(session, request_id, Decision.APPROVE, None)
                return self._tell(url, _DONE.get(state, _OTHERWISE))
            self._may_deny(session, request_id)
        except _REFUSALS as error:
            return self._tell(url, _sentence(error))
        return Answer(then=lambda: self._open_form(trigger, request_id, url))

    def _submitted(self, payload: Mapping[str, Any]) -> Answer:
        who = _who(payload)
        view = _mapping(payload, "view")
        if _text(view, "callback_id") != DENY:
            return Answer()
        request_id = _text(view, "private_metadata")
        values = _mapping(_mapping(view, "state"), "values")
        reason = _mapping(_mapping(values, notes.REASON), notes.REASON).get("value")
        if reason is not None and not isinstance(reason, str):
            raise refused()
        session = self._session(who)
        if session is None:
            return _form_error(self._how_to_link(who))
        try:
            self._decide(session, request_id, Decision.DENY, (reason or "").strip() or None)
        except _REFUSALS as error:
            return _form_error(_sentence(error))
        return Answer()

    def _decide(
        self, session: Session, request_id: str, decision: Decision, reason: str | None
    ) -> State:
        if not ids.REQUEST.fullmatch(request_id):
            raise NotFound("no such request")
        return clicks.click(
            self._service, session, request_id, decision, reason=reason, channel=CHANNEL
        )

    def _may_deny(self, session: Session, request_id: str) -> None:
        """Refuse before the form is opened what would be refused after it was filled in."""
        if not ids.REQUEST.fullmatch(request_id):
            raise NotFound("no such request")
        require_decider(self._service, session, request_id)

    def _open_form(self, trigger: str, request_id: str, url: str) -> None:
        try:
            ask(self._web.views_open, trigger_id=trigger, view=notes.deny_form(request_id))
        except SlackError:
            self._answer(url, _AWAY)

    def _waiting(self, who: Who) -> Mapping[str, Any]:
        session = self._session(who)
        if session is None:
            return notes.say(self._how_to_link(who))
        try:
            cards = [card for card in look.inbox(self._service, session) if card.waits]
        except Unauthenticated as error:
            return notes.say(_sentence(error))
        return notes.waiting(cards, page=self._service.url("/"), address=self._service.url("/r/"))

    def _linked(self, who: Who, code: str) -> str:
        try:
            home = check_member(self._web, who)
            linking.finish_link(
                self._service, channel=CHANNEL, team=home, account=who.account, code=code
            )
        except SlackError:
            return _AWAY
        except _REFUSALS as error:
            return _sentence(error)
        return "This account is linked to you now. It can deny, and approve where the rule allows."

    def _session(self, who: Who) -> Session | None:
        found = (
            linking.person_of(self._service, channel=CHANNEL, team=home, account=who.account)
            for home in who.homes
        )
        return next((session for session in found if session is not None), None)

    def _how_to_link(self, who: Who) -> str:
        if who.is_foreign:
            return _SENTENCES["account_is_foreign"]
        return (
            "This Slack account is not linked to you yet. Sign in at "
            f"{self._service.url('/me')} and follow “Link Slack” there."
        )

    def _tell(self, url: str, sentence: str) -> Answer:
        return Answer(then=lambda: self._answer(url, sentence))

    def _answer(self, url: str, sentence: str) -> None:
        reply.answer(
            url,
            notes.say(sentence),
            api_url=self._service.settings.slack_api_url,
            proxy=self._web.proxy,
        )


def _form_error(sentence: str) -> Answer:
    return Answer({"response_action": "errors", "errors": {notes.REASON: sentence}})


def _sentence(error: AssentError) -> str:
    return _SENTENCES.get(error.code, _OTHERWISE)


def _who(payload: Mapping[str, Any]) -> Who:
    """Who clicked. `team` is null where the app is installed in a whole organization."""
    user = _mapping(payload, "user")
    workspace = organization = None
    if payload.get("team") is not None:
        team = _mapping(payload, "team")
        workspace = _id(team, "id", ids.TEAM)
        organization = _maybe_id(team, "enterprise_id")
    if payload.get("enterprise") is not None:
        organization = _id(_mapping(payload, "enterprise"), "id", ids.ORGANIZATION)
    home = _id(user, "team_id", ids.TEAM) if "team_id" in user else workspace
    if home is None:
        raise refused()
    return Who(_id(user, "id", ids.ACCOUNT), home, workspace, organization)


def _typed(fields: Mapping[str, Any]) -> Who:
    """Who typed a command: Slack says where, which is a member's home."""
    workspace = _id(fields, "team_id", ids.TEAM)
    organization = _maybe_id(fields, "enterprise_id")
    return Who(_id(fields, "user_id", ids.ACCOUNT), workspace, workspace, organization)


def _maybe_id(found: Mapping[str, Any], name: str) -> str | None:
    """An organization's id, where Slack names one: without a Grid it is absent, null or empty."""
    return _id(found, name, ids.ORGANIZATION) if found.get(name) else None


def _mapping(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = found.get(name)
    if not isinstance(value, dict):
        raise refused()
    return value


def _text(found: Mapping[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str):
        raise refused()
    return value


def _id(found: Mapping[str, Any], name: str, form: re.Pattern[str]) -> str:
    value = _text(found, name)
    if not form.fullmatch(value):
        raise refused()
    return value
