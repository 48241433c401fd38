"""A Slack on the loopback address: the Web API methods that are used, response URLs, Socket Mode.

It keeps what it was sent, refuses what Slack refuses (`tests.slack.limits`), signs callbacks as
Slack does, and fails on demand. It is not a mock: the real SDK talks to it over HTTP and WebSocket.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

from tests.slack.limits import Refused, check_message, check_view
from tests.slack.records import TEAM, Fault, Message, User
from tests.slack.serving import Handler, Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.slack.websocket import Connection

MOST_ANSWERS = 5
SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
FORM = "application/x-www-form-urlencoded"


class Counterpart:
    """The server; `with Counterpart() as slack:` runs it."""

    def __init__(self, *, team: str = TEAM) -> None:
        self.team = team
        self.organization: str | None = None
        self.whole = False  # installed in all of the organization, not in one workspace
        self.bot_token = "xoxb-counterpart"
        self.app_token = "xapp-counterpart"
        self.signing_secret = SIGNING_SECRET
        self.users: dict[str, User] = {}
        self.messages: list[Message] = []
        self.views: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []
        self.refused: list[tuple[str, str]] = []
        self.calls: list[str] = []
        self.acks: dict[str, Any] = {}
        self.fault: Fault | None = None
        self.lock = threading.RLock()
        self.connections: list[Connection] = []
        self._tickets: set[str] = set()
        self._answered: Counter[str] = Counter()
        self._triggers: set[str] = set()
        self._next_ts = 0
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.counterpart = self
        self._thread = threading.Thread(
            target=lambda: self._server.serve_forever(poll_interval=0.02), daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for connection in list(self.connections):
            connection.close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def api_url(self) -> str:
        return f"{self.url}/api/"

    @property
    def settings(self) -> dict[str, str]:
        """What the service is told, to find this Slack."""
        return {
            "slack_bot_token": self.bot_token,
            "slack_signing_secret": self.signing_secret,
            "slack_api_url": self.api_url,
        }

    def add_user(self, account: str, *, team: str = TEAM, **flags: bool) -> User:
        self.users[account] = User(account, team, flags)
        return self.users[account]

    def posted(self, account: str | None = None) -> list[Message]:
        """Messages outside of threads, of one person's conversation or of all."""
        return [
            message
            for message in self.messages
            if message.thread is None and account in {None, message.channel.removeprefix("D-")}
        ]

    def thread(self, message: Message) -> list[Message]:
        return [each for each in self.messages if each.thread == message.ts]

    def delete(self, message: Message) -> None:
        with self.lock:
            self.messages.remove(message)

    # What people do, as Slack tells it

    def response_url(self, kind: str = "actions") -> str:
        return f"{self.url}/{kind}/{self.team}/{uuid.uuid4().hex}"

    def trigger(self) -> str:
        trigger = f"{time.monotonic_ns()}.{uuid.uuid4().hex}"
        self._triggers.add(trigger)
        return trigger

    def click(self, account: str, button: dict[str, Any], **more: Any) -> dict[str, Any]:
        """The payload of a press on a button."""
        action = {key: button[key] for key in ("action_id", "value") if key in button}
        return {
            "type": "block_actions",
            "user": {
                "id": account,
                "username": "anyone",
                "team_id": self.organization or self.team,
            },
            "api_app_id": "A0ASSENT",
            **self._where(),
            "trigger_id": self.trigger(),
            "response_url": self.response_url(),
            "actions": [{"type": "button", "block_id": "x1Y", "action_ts": "1.2", **action}],
            **more,
        }

    def _where(self) -> dict[str, Any]:
        """What a payload says of where it comes from: with a Grid, the organization as well."""
        team = {"id": self.team, "domain": "counterpart"}
        if self.organization is None:
            return {"team": team, "enterprise": None, "is_enterprise_install": False}
        named = {"enterprise_id": self.organization, "enterprise_name": "Company"}
        return {
            "team": None if self.whole else {**team, **named},
            "enterprise": {"id": self.organization, "name": "Company"},
            "is_enterprise_install": self.whole,
        }

    def submit(self, account: str, view: dict[str, Any], reason: str | None) -> dict[str, Any]:
        """The payload of a form that was sent."""
        return {
            "type": "view_submission",
            "user": {
                "id": account,
                "username": "anyone",
                "team_id": self.organization or self.team,
            },
            "api_app_id": "A0ASSENT",
            **self._where(),
            "trigger_id": self.trigger(),
            "view": {
                **view,
                "id": "V0ASSENT",
                "team_id": self.team,
                "state": {
                    "values": {"reason": {"reason": {"type": "plain_text_input", "value": reason}}}
                },
            },
            "response_urls": [],
        }

    def command(self, account: str, text: str = "") -> dict[str, str]:
        """The fields of a slash command."""
        return {
            "token": "deprecated",
            "team_id": self.team,
            "team_domain": "counterpart",
            "channel_id": f"D-{account}",
            "channel_name": "directmessage",
            "user_id": account,
            "user_name": "anyone",
            "command": "/assent",
            "text": text,
            "api_app_id": "A0ASSENT",
            "is_enterprise_install": str(self.whole).lower(),
            **({} if self.organization is None else {"enterprise_id": self.organization}),
            "response_url": self.response_url("commands"),
            "trigger_id": self.trigger(),
        }

    def signed(
        self, body: bytes, *, timestamp: int | None = None, secret: str | None = None
    ) -> dict[str, str]:
        """The headers of a callback."""
        at = str(int(time.time()) if timestamp is None else timestamp)
        base = b"v0:" + at.encode() + b":" + body
        digest = hmac.new((secret or self.signing_secret).encode(), base, hashlib.sha256)
        return {
            "Content-Type": FORM,
            "X-Slack-Request-Timestamp": at,
            "X-Slack-Signature": f"v0={digest.hexdigest()}",
        }

    # Socket Mode

    def push(self, kind: str, payload: dict[str, Any], *, envelope: str | None = None) -> str:
        """Send an envelope over the newest connection; gives its id."""
        envelope = envelope or str(uuid.uuid4())
        sent = {
            "type": kind,
            "envelope_id": envelope,
            "accepts_response_payload": True,
            "payload": payload,
        }
        self.connections[-1].send(json.dumps(sent))
        return envelope

    def connected(self, url: str, connection: Connection) -> None:
        """Talk to a client of Socket Mode until it goes."""
        with self.lock:
            known = url.partition("ticket=")[2]
            if known not in self._tickets:
                return
            self._tickets.remove(known)
            self.connections.append(connection)
        connection.send(json.dumps({"type": "hello", "num_connections": 1}))
        while (received := connection.receive()) is not None:
            message = json.loads(received)
            with self.lock:
                self.acks[message["envelope_id"]] = message.get("payload")
        with self.lock:
            self.connections.remove(connection)

    # The Web API

    def fault_for(self, method: str) -> Fault | None:
        with self.lock:
            fault = self.fault
            if fault is None or (fault.methods and method not in fault.methods):
                return None
            if fault.times is not None:
                if fault.times == 0:
                    return None
                fault.times -= 1
            return fault

    def call(self, method: str, token: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Do what a method does, or say why not, as Slack does."""
        with self.lock:
            self.calls.append(method)
            wanted = self.app_token if method == "apps.connections.open" else self.bot_token
            methods: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
                "auth.test": self._auth_test,
                "users.info": self._users_info,
                "conversations.open": self._conversations_open,
                "chat.postMessage": self._post_message,
                "chat.update": self._update,
                "views.open": self._views_open,
                "apps.connections.open": self._connections_open,
            }
            try:
                _need(method in methods, "unknown_method")
                _need(token == wanted, "invalid_auth")
                return {"ok": True, **methods[method](arguments)}
            except Refused as error:
                self.refused.append((method, str(error)))
                return {
                    "ok": False,
                    "error": error.error,
                    "response_metadata": {"messages": [error.why]},
                }

    def answer(self, url: str, body: Any) -> int:
        """An answer that was left at a response URL; gives the status."""
        with self.lock:
            self._answered[url] += 1
            if self._answered[url] > MOST_ANSWERS:
                return 404
            try:
                check_message(body.get("text"), body.get("blocks"))
            except Refused as error:
                self.refused.append(("response_url", str(error)))
                return 400
            self.answers.append(body)
            return 200

    def _auth_test(self, arguments: dict[str, Any]) -> dict[str, Any]:
        _only(arguments)
        told: dict[str, Any] = {"url": self.url, "team": "Counterpart", "user_id": "U0BOT"}
        if self.organization is None:
            return {**told, "team_id": self.team}
        team = self.organization if self.whole else self.team
        return {
            **told,
            "team_id": team,
            "enterprise_id": self.organization,
            "is_enterprise_install": self.whole,
        }

    def _users_info(self, arguments: dict[str, Any]) -> dict[str, Any]:
        _only(arguments, "user", "include_locale")
        if arguments.get("user") not in self.users:
            raise Refused("user_not_found")
        return {"user": self.users[arguments["user"]].document()}

    def _conversations_open(self, arguments: dict[str, Any]) -> dict[str, Any]:
        _only(arguments, "users")
        user = self.users.get(arguments.get("users", ""))
        if user is None:
            raise Refused("user_not_found")
        if user.flags.get("deleted"):
            raise Refused("user_disabled")
        if user.flags.get("is_bot"):
            raise Refused("cannot_dm_bot")
        return {"channel": {"id": f"D-{user.id}"}}

    def _post_message(self, arguments: dict[str, Any]) -> dict[str, Any]:
        _only(
            arguments,
            *("channel", "text", "blocks", "thread_ts", "metadata", "client_msg_id"),
            *("unfurl_links", "unfurl_media", "link_names", "parse", "mrkdwn"),
        )
        self._known_channel(arguments)
        _content(arguments)
        try:
            uuid.UUID(arguments.get("client_msg_id", str(uuid.uuid4())))
        except ValueError:
            raise Refused("invalid_arguments", "client_msg_id is a UUID") from None
        thread = arguments.get("thread_ts")
        if thread is not None and all(each.ts != thread for each in self.messages):
            raise Refused("thread_not_found")
        self._next_ts += 1
        made = Message(arguments["channel"], f"1700000000.{self._next_ts:06}", arguments)
        made.versions.append(arguments)
        self.messages.append(made)
        return {"channel": made.channel, "ts": made.ts, "message": {"text": made.text}}

    def _update(self, arguments: dict[str, Any]) -> dict[str, Any]:
        _only(arguments, "channel", "ts", "text", "blocks", "metadata", "link_names", "parse")
        self._known_channel(arguments)
        _content(arguments)
        for each in self.messages:
            if (each.channel, each.ts) == (arguments["channel"], arguments.get("ts")):
                each.arguments = arguments
                each.versions.append(arguments)
                return {"channel": each.channel, "ts": each.ts, "text": each.text}
        raise Refused("message_not_found")

    def _views_open(self, arguments: dict[str, Any]) -> dict[str, Any]:
        _only(arguments, "trigger_id", "view")
        if arguments.get("trigger_id") not in self._triggers:
            raise Refused("invalid_trigger_id")
        self._triggers.remove(arguments["trigger_id"])  # good for one view; Slack's also expire
        check_view(arguments["view"])
        self.views.append(arguments["view"])
        return {"view": {**arguments["view"], "id": f"V{len(self.views)}"}}

    def _connections_open(self, arguments: dict[str, Any]) -> dict[str, Any]:
        _only(arguments)
        ticket = uuid.uuid4().hex
        self._tickets.add(ticket)
        return {"url": f"{self.url.replace('http', 'ws', 1)}/link/?ticket={ticket}"}

    def _known_channel(self, arguments: dict[str, Any]) -> None:
        if str(arguments.get("channel", "")).removeprefix("D-") not in self.users:
            raise Refused("channel_not_found")


def form(payload: dict[str, Any]) -> bytes:
    """The body of an interaction."""
    return urlencode({"payload": json.dumps(payload)}).encode()


def _need(held: bool, error: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not held:
        raise Refused(error)


def _only(arguments: dict[str, Any], *names: str) -> None:
    extra = arguments.keys() - set(names)
    if extra:
        raise Refused("invalid_arguments", f"unknown: {sorted(extra)}")


def _content(arguments: dict[str, Any]) -> None:
    check_message(arguments.get("text"), arguments.get("blocks"))
    if arguments.get("parse", "none") not in {"none", "full"}:
        raise Refused("invalid_arguments", "parse")
    metadata = arguments.get("metadata", {"event_type": "x", "event_payload": {}})
    if metadata.keys() != {"event_type", "event_payload"} or not isinstance(
        metadata["event_payload"], dict
    ):
        raise Refused("invalid_metadata_format")
