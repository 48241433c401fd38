"""The company with everything that tells its people: a Slack, a mail server and a webhook."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from approvals.flow.operating.activate import activate
from approvals.flow.service import DEFAULT_TENANT
from approvals.flow.telling.deliver import deliver
from approvals.integrations import connect
from approvals.integrations.slack.channel import SlackChannel
from tests.company import public_jwk
from tests.email.mails import Post, mail_server, part
from tests.slack.counterpart import Counterpart
from tests.web.site import PEOPLE, TOOLS, Site, bundle_files, running_site
from tests.webhook.hosts import Host, host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from approvals.flow.telling.deliver import Channel

Found = TypeVar("Found")

ADA = "U0ADA"
MARKED = re.sub(r"(path: /(?:amount|to|body|invoices)\b[^}]*)}", r"\1, summary: true}", TOOLS)
ADDRESS = re.compile(r"https?://[^\s\"'<>|\\]+")


@dataclass
class Office:
    """The site, and what its people are told by."""

    site: Site
    slack: Counterpart
    post: Post
    hook: Host
    channels: list[Channel]

    def deliver(self) -> None:
        """Deliver what is due on every channel, here and now."""
        for channel in self.channels:
            while deliver(self.site.service, channel, worker="w"):
                pass

    def posted(self) -> list[dict[str, Any]]:
        """What the webhook was told."""
        return [json.loads(body) for body in self.hook.bodies]

    def addresses(self) -> dict[str, set[str]]:
        """Every address in everything that was sent, by the channel that sent it."""
        mails = [
            text
            for mail in self.post.mails
            for text in (*map(str, mail.values()), part(mail, "plain"), part(mail, "html"))
        ]
        messages = [json.dumps(message.versions) for message in self.slack.messages]
        bodies = [json.dumps(body) for body in self.posted()]
        return {
            name: {found.rstrip(".,") for text in texts for found in ADDRESS.findall(text)}
            for name, texts in (("mail", mails), ("slack", messages), ("webhook", bodies))
        }


@contextmanager
def office(
    home: Path,
    *,
    jobs: bool = False,
    ada: str = "slack, email, 'webhook:pager'",
    tools: str = MARKED,
    **settings: Any,
) -> Iterator[Office]:
    """The company, where ada is told by `ada`; with `jobs` the service delivers by itself."""
    post = Post()
    with Counterpart() as slack, mail_server(post) as port, host() as hook:
        slack.add_user(ADA)
        given = {
            **slack.settings,
            "smtp_host": "127.0.0.1",
            "smtp_port": port,
            "smtp_security": "none",
            "notice_cap_agent_hour": 10_000,
            "notice_cap_enforcer_hour": 10_000,
            "notice_cap_hour": 10_000,
            **settings,
        }
        with running_site(home, jobs=jobs, **given) as site:
            told = f"name: Ada Lund, email: ada@mail.example, slack: {ADA}, channels: [{ada}]"
            hooks = {
                "pager": {
                    "url": f"http://localhost:{hook.port}/hook",
                    "events": [
                        *("request", "reminder", "digest"),
                        *(
                            "passkey.enrolled",
                            "passkey.revoked",
                            "account.linked",
                            "account.unlinked",
                        ),
                    ],
                }
            }
            files = bundle_files(public_jwk(site.key), short=900) | {
                "people.yaml": PEOPLE.replace("name: Ada Lund", told),
                "tools.yaml": tools,
                "webhooks.yaml": json.dumps({"hooks": hooks}),
            }
            activate(site.service, tenant=DEFAULT_TENANT, files=files, by="otto")
            channels = connect.channels(site.service)
            assert any(isinstance(each, SlackChannel) for each in channels)
            yield Office(site, slack, post, hook, channels)
        assert slack.refused == []
