"""From a notice as it arrived to a decision with a passkey, in a real browser.

The service delivers by its own workers; the mail comes over SMTP, the message over Slack's Web API.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import httpx2
import pytest
from playwright.sync_api import expect

from tests.email.mails import Html, part
from tests.progress import PATIENCE, until
from tests.web.notified import ADA, Office, office
from tests.web.pages import headline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import EmailMessage
    from pathlib import Path

    from tests.slack.records import Message
    from tests.web.browser import Visitor
    from tests.web.conftest import Arrive

pytestmark = pytest.mark.browser


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Office]:
    """The company whose service delivers by itself."""
    with office(tmp_path, jobs=True, ada="slack, email") as running:
        yield running


def mail_about(place: Office, request_id: str, begin: str = "") -> EmailMessage:
    """The mail about a request, once it has come."""

    def look() -> EmailMessage | None:
        for mail in list(place.post.mails):
            text = part(mail, "plain")
            if request_id in text and text.startswith(begin):
                return mail
        return None

    return until(look)


def message_about(place: Office, request_id: str) -> Message:
    """The message about a request, once it was posted."""
    return until(
        lambda: next((it for it in place.slack.posted(ADA) if request_id in it.shown), None)
    )


def approved(ada: Visitor) -> None:
    expect(headline(ada.page)).to_have_text("Waiting for you")
    expect(ada.page.locator("#decision[data-seen]")).to_have_count(0)
    ada.approve()
    expect(headline(ada.page)).to_have_text("Approved")
    assert ada.complaints == []


def test_from_the_link_in_a_mail_to_an_approval(place: Office, arrive: Arrive) -> None:
    ada = arrive(place.site).enrol("ada")
    ada.sign_out()
    request_id = place.site.submit("refund", amount="40.00", to="Uma")
    mail = mail_about(place, request_id)
    assert mail["To"] == "ada@mail.example"
    html = Html(part(mail, "html"))
    (link,) = [attributes["href"] for tag, attributes in html.elements if tag == "a"]
    assert link is not None
    assert part(mail, "plain").splitlines().count(link) == 1

    ada.page.goto(link)
    expect(ada.page.get_by_role("heading", name="Sign in")).to_be_visible()
    ada.sign_in()
    approved(ada)
    ended = mail_about(place, request_id, "Approved by Ada Lund")
    assert ended["In-Reply-To"] == mail["Message-ID"]


def test_from_the_button_in_slack_to_an_approval(place: Office, arrive: Arrive) -> None:
    ada = arrive(place.site).enrol("ada")
    request_id = place.site.submit("refund", amount="41.00", to="Uma")
    message = message_about(place, request_id)
    assert "assent.approve" not in message.buttons  # the rule asks for a passkey
    (button,) = [each for each in message.buttons.values() if "url" in each]
    ada.page.goto(button["url"])
    approved(ada)
    until(lambda: "Approved by Ada Lund" in message.shown)
    assert message.buttons == {}


def test_an_account_is_linked_with_a_passkey_here_and_a_code_there(
    place: Office, arrive: Arrive
) -> None:
    ada = arrive(place.site).enrol("ada")
    page = ada.page
    page.goto(f"{place.site.url}/me")
    page.get_by_role("button", name="Link Slack").click()
    said = page.locator("#link-code")
    expect(said).to_contain_text("/assent link ")
    typed = re.search(r"/assent (link [A-Z2-9]{12})", said.inner_text())
    assert typed is not None

    # What Slack calls when she types it there, signed by it.
    body = urlencode(place.slack.command(ADA, typed[1])).encode()
    with httpx2.Client(base_url=place.site.url, trust_env=False, timeout=PATIENCE) as callback:
        answer = callback.post("/slack/commands", content=body, headers=place.slack.signed(body))
    assert answer.status_code == 200
    until(lambda: place.slack.answers)
    assert place.slack.answers[-1]["text"].startswith("This account is linked to you now.")

    page.reload()
    expect(page.locator("#slack-h + .panel")).to_contain_text(f"Your Slack account {ADA} is linked")
    until(lambda: any("linked" in str(mail["Subject"]) for mail in place.post.mails))

    # From now on she denies there; what asks for a passkey she still approves here.
    request_id = place.site.submit("refund", amount="42.00", to="Uma")
    message = message_about(place, request_id)
    assert set(message.buttons) == {"assent.open", "assent.deny"}
    assert ada.complaints == []

    page.get_by_role("button", name="Unlink Slack").click()
    expect(page.get_by_role("button", name="Link Slack")).to_be_visible()
