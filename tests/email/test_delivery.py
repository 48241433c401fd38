"""From a submitted call to the mail that arrived: what is in it, and what never is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from approvals.flow.operating.activate import activate
from approvals.flow.telling.deliver import deliver
from approvals.integrations.email import EmailChannel
from tests import naughty
from tests.email.mails import Html, Post, mail_server, part
from tests.service import PEOPLE, TOOLS, Running, bundle_files, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage
    from pathlib import Path

MAILED = PEOPLE.replace("Ada Okafor}", "Ada Okafor, email: ada@mail.example}")
SUMMARY = TOOLS.replace("currency: EUR}", "currency: EUR, summary: true}")
PROSE = (
    "Urgent: approve at once, see https://evil.example/approve",
    "</dd></dl><h1>Approved</h1>\r\nBcc: eve@evil.example",
    "\u202egnp.exe \U000e0041 \x00\x1b[31m {{ letter.url }}",
    "x" * 5000,
)


class Office:
    """A service whose mail goes to a real server."""

    def __init__(self, running: Running, post: Post, port: int) -> None:
        self.running = running
        self.post = post
        given = {"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_security": "none"}
        settings = running.service.settings.model_copy(update=given)
        self.channel = EmailChannel(settings)

    def delivered(self) -> list[EmailMessage]:
        """Deliver all that is due; gives the mails that came because of it."""
        before = len(self.post.mails)
        while deliver(self.running.service, self.channel, worker="w"):
            pass
        return self.post.mails[before:]


@pytest.fixture
def office(tmp_path: Path, sqlite_url: str) -> Iterator[Office]:
    running = start(tmp_path, sqlite_url, view_seconds=0)
    files = bundle_files(running.enforcer_key.public_jwk(), people_yaml=MAILED, tools_yaml=SUMMARY)
    activate(running.service, tenant="default", files=files, by="ops")
    post = Post()
    with mail_server(post) as port:
        yield Office(running, post, port)
    running.service.store.close()


def forms(mail: EmailMessage) -> list[str]:
    """Everything of a mail that can be read: its source, its headers, both of its forms."""
    headers = [f"{name}: {value}" for name, value in mail.items()]
    return [mail.as_string(), *headers, part(mail, "plain"), part(mail, "html")]


def test_a_request_from_the_asking_to_the_end(office: Office) -> None:
    running = office.running
    request = running.opened("750.00")
    (first,) = office.delivered()
    assert first["To"] == "ada@mail.example"
    assert "750.00 EUR" in part(first, "plain")
    assert running.service.url(f"/r/{request}") in part(first, "plain").splitlines()

    running.decide("ada", request)
    assert office.delivered() == []
    running.decide("ben", request)
    (ended,) = office.delivered()
    assert ended["In-Reply-To"] == first["Message-ID"]
    assert part(ended, "plain").startswith("Approved by Ada Okafor, Ben Silva\n")
    assert office.delivered() == []


def test_a_server_that_greylists_gets_it_a_little_later(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.post.answers = {"RCPT": ["451 4.7.1 greylisted, try again"]}
    office.running.opened()
    assert office.delivered() == []
    store = office.running.service.store
    honest = store._now
    monkeypatch.setattr(store, "_now", lambda session: honest(session) + 60)
    assert len(office.delivered()) == 1


def test_what_the_tools_owner_did_not_let_out_is_in_no_mail(office: Office) -> None:
    """Mail is read on other people's machines."""
    running = office.running
    request = running.opened(
        "750.00",
        args={"to": "canary-recipient@vendor.example", "memo": "canary-memo"},
        explanation="canary-prose",
        task="canary-task",
    )
    mails = office.delivered()
    running.decide("ada", request, "deny", reason="canary-reason")
    mails += office.delivered()
    assert len(mails) == 2
    for mail in mails:
        for form in forms(mail):
            assert "canary" not in form
    text = part(mails[0], "plain")
    assert "750.00 EUR" in text
    assert re.search(r"2 more arguments\s+are on the page only", text)


def test_the_facts_are_the_same_byte_for_byte_whatever_the_agent_says(office: Office) -> None:
    told: set[tuple[str, ...]] = set()
    for number, prose in enumerate((None, *PROSE)):
        more: dict[str, Any] = {} if prose is None else {"explanation": prose}
        request = office.running.opened("750.00", task=f"task-{number}", **more)
        (mail,) = office.delivered()
        moment = re.compile(r"\w+day, [^\n<]+ UTC")
        shown = (mail["Subject"], part(mail, "plain"), part(mail, "html"))
        told.add(tuple(moment.sub("(then)", each.replace(request, "(id)")) for each in shown))
    assert len(told) == 1


def test_hostile_arguments_work_nowhere_on_the_way(office: Office) -> None:
    files = bundle_files(
        office.running.enforcer_key.public_jwk(),
        people_yaml=MAILED,
        tools_yaml=SUMMARY.replace("kind: address}", "kind: text, summary: true}"),
    )
    activate(office.running.service, tenant="default", files=files, by="ops")
    hostile = "".join(text for text in naughty.ALL if len(text) < 60)
    hostile = "".join(each for each in hostile if not 0xD800 <= ord(each) < 0xE000)
    for at in range(0, len(hostile), 400):
        office.running.opened("750.00", args={"to": hostile[at : at + 400]})
    mails = office.delivered()
    assert len(mails) >= 5
    for mail in mails:
        assert mail.defects == []
        assert mail["To"] == "ada@mail.example"
        html = Html(part(mail, "html"))
        (link,) = [attributes["href"] for tag, attributes in html.elements if tag == "a"]
        assert part(mail, "plain").splitlines().count(str(link)) == 1
        for form in (part(mail, "plain"), part(mail, "html"), html.text):
            assert not naughty.raw_unseen(form, allowed="\n")
