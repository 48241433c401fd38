"""A company whose people hear about requests in Slack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from sqlalchemy import text
from starlette.testclient import TestClient

from approvals.app import build_app
from approvals.flow.operating.activate import activate
from approvals.flow.people import linking
from approvals.flow.telling.deliver import deliver
from approvals.integrations.slack.channel import SlackChannel
from tests.service import PEOPLE, RULES, TOOLS, bundle_files, start
from tests.slack.counterpart import form
from tests.slack.records import TEAM

if TYPE_CHECKING:
    from pathlib import Path

    from tests.service import Running
    from tests.slack.counterpart import Counterpart
    from tests.slack.records import Message

URL = "http://localhost:8420"
ACCOUNTS = {"ada": "U0ADA", "ben": "U0BEN"}
IN_SLACK = PEOPLE.replace("Ada Okafor}", "Ada Okafor, slack: U0ADA}").replace(
    "Ben Silva}", "Ben Silva, slack: U0BEN}"
)
MARKED = TOOLS.replace("currency: EUR}", "currency: EUR, summary: true}").replace(
    "kind: address}", "kind: address, summary: true}"
)
TABLES = tuple(
    (name, f"SELECT * FROM {name}")  # noqa: S608 - names of ours
    for name in (
        *("request", "vote", "seat", "account", "link_code"),
        *("approval", "notice", "staged", "leaf"),
    )
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
        activate(self.running.service, tenant="default", files=files, by="ops")

    def deliver(self) -> int:
        """Deliver what is due."""
        taken = 0
        while more := deliver(self.running.service, self.channel, worker="w"):
            taken += more
        return taken

    def link_code(self, person: str) -> str:
        service, session = self.running.service, self.running.sessions[person]
        begun = linking.begin_link(service, session)
        credential = self.running.passkeys[person].authenticate(begun.options)
        return linking.start_link(service, session, "slack", begun.id, credential).code

    def link(self, *people: str) -> None:
        """Link people's accounts, as if they had typed their codes."""
        for person in people:
            linking.finish_link(
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

    def command(self, account: str, typed: str = "", **changes: Any) -> Any:
        """A slash command that Slack signs now."""
        body = urlencode({**self.slack.command(account, typed), **changes}).encode()
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

    def everything(self) -> dict[str, list[str]]:
        """All that a callback could change: requests, votes, accounts, approvals, the log."""
        with self.running.service.store.read() as tx:
            connection = tx.session.connection()
            return {
                name: sorted(map(repr, connection.execute(text(query)))) for name, query in TABLES
            }


def workplace(home: Path, database: str, slack: Counterpart, **settings: Any) -> Workplace:
    """Start the service on an empty database, with its people in this Slack."""
    uncapped = {"notice_cap_agent_hour": 10_000, "notice_cap_hour": 10_000}
    running = start(home, database, **{"url": URL, **uncapped, **slack.settings, **settings})
    channel = SlackChannel(slack.bot_token, slack.api_url)
    app = build_app(running.service, jobs=False)
    made = Workplace(running, slack, channel, TestClient(app, base_url=URL))
    made.rules()
    return made
