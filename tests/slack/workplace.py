"""A company whose people hear about requests in Slack."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.testclient import TestClient

from approvals.app import build_app
from approvals.flow import chat
from approvals.flow.activate import activate
from approvals.flow.deliver import deliver
from integrations.slack.channel import SlackChannel
from tests.service import PEOPLE, RULES, TOOLS, bundle_files, start
from tests.slack.counterpart import TEAM, form

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.responses import Response

    from tests.service import Running
    from tests.slack.counterpart import Counterpart, Message

URL = "http://localhost:8420"
ACCOUNTS = {"ada": "U0ADA", "ben": "U0BEN"}
IN_SLACK = PEOPLE.replace("Ada Okafor}", "Ada Okafor, slack: U0ADA}").replace(
    "Ben Silva}", "Ben Silva, slack: U0BEN}"
)
MARKED = TOOLS.replace("currency: EUR}", "currency: EUR, summary: true}").replace(
    "kind: address}", "kind: address, summary: true}"
)
BY_CLICK = RULES.replace('@step_up("passkey")', '@step_up("session")')


@dataclass
class Workplace:
    """The service, its Slack, and what goes between them."""

    running: Running
    slack: Counterpart
    channel: SlackChannel
    http: TestClient

    def rules(self, rules: str = BY_CLICK, **changes: str) -> None:
        """Put other rules in force."""
        files = bundle_files(
            self.running.enforcer_key.public_jwk(),
            **{
                "people_yaml": IN_SLACK,
                "tools_yaml": MARKED,
                "policies_payments_cedar": rules,
                **changes,
            },
        )
        activate(self.running.service, tenant="default", files=files)

    def deliver(self) -> int:
        """Deliver what is due."""
        taken = 0
        while more := deliver(self.running.service, self.channel, worker="w"):
            taken += more
        return taken

    def link_code(self, person: str) -> str:
        service, session = self.running.service, self.running.sessions[person]
        begun = chat.begin_link(service, session)
        credential = self.running.passkeys[person].authenticate(begun.options)
        return chat.start_link(service, session, "slack", begun.id, credential).code

    def link(self, *people: str) -> None:
        """Link people's accounts, as if they had typed their codes."""
        for person in people:
            chat.finish_link(
                self.running.service,
                channel="slack",
                team=TEAM,
                account=ACCOUNTS[person],
                code=self.link_code(person),
            )

    def post(
        self, path: str, body: bytes, headers: dict[str, str], http: TestClient | None = None
    ) -> Any:
        """A callback, as it stands."""
        return (http or self.http).post(path, content=body, headers=headers)

    def interact(self, payload: dict[str, Any], **how: Any) -> Any:
        """An interaction that Slack signs now."""
        body = form(payload)
        return self.post("/slack/interactions", body, self.slack.signed(body, **how))

    def command(self, account: str, text: str = "", **changes: Any) -> Any:
        """A slash command that Slack signs now."""
        body = urlencode({**self.slack.command(account, text), **changes}).encode()
        return self.post("/slack/commands", body, self.slack.signed(body))

    def press(self, account: str, message: Message, action: str) -> Any:
        """A press on a button of a message."""
        return self.interact(self.slack.click(account, message.buttons[f"assent.{action}"]))

    def said(self) -> str:
        """What was answered to the person last."""
        return str(self.slack.answers[-1]["text"])

    def state(self, request_id: str) -> str:
        with self.running.service.store.read() as tx:
            stored = tx.requests.get(tenant="default", request_id=request_id)
            assert stored is not None
            return stored.request.state.value

    def everything(self) -> str:
        """All that a callback could change: requests, votes, accounts, approvals, the log."""
        with self.running.service.store.read() as tx:
            names = ("request", "vote", "seat", "account", "link_code", "approval", "notice")
            rows = {
                name: sorted(
                    map(repr, tx._session.connection().exec_driver_sql(f"SELECT * FROM {name}"))
                )
                for name in (*names, "staged")
            }
        return json.dumps(rows)


def workplace(home: Path, database: str, slack: Counterpart, **settings: Any) -> Workplace:
    """Start the service on an empty database, with its people in this Slack."""
    running = start(home, database, **{"url": URL, **slack.settings, **settings})
    channel = SlackChannel(slack.bot_token, slack.api_url)
    app = build_app(running.service, jobs=False)
    made = Workplace(running, slack, channel, TestClient(app, base_url=URL))
    made.rules()
    return made


def status(answer: Response) -> int:
    return answer.status_code
