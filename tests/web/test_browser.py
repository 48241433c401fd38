"""People decide in a real browser, with passkeys, on pages from the real service."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Route, expect

from tests.progress import PATIENCE
from tests.web.browser import PHONE
from tests.web.pages import GuardedCall, headline, no_buttons_left, regions
from tests.web.site import Site, running_site

if TYPE_CHECKING:
    from pathlib import Path

    from approvals.core.canonical import Json
    from tests.web.conftest import Arrive


pytestmark = pytest.mark.browser

BIDI = "\u202e"
ZERO_WIDTH = "\u200b"


def test_two_people_approve_and_the_guarded_call_runs(site: Site, arrive: Arrive) -> None:
    ada = arrive(site).enrol("ada")
    bo = arrive(site, viewport=PHONE).enrol("bo")
    bo.sign_out()
    bo.sign_in()
    expect(bo.page.get_by_text("Nothing waits for you.")).to_be_visible()

    call = GuardedCall(site)
    call.start()
    for person in (ada, bo):  # live: nobody reloads
        person.page.get_by_role("link", name="Transfer money").click()
        expect(headline(person.page)).to_have_text("Waiting for you")
        expect(person.page.locator(".money dd")).to_contain_text("4000.00")
    assert ada.page.url == bo.page.url
    assert (
        ada.page.locator(".fingerprint").inner_text()
        == bo.page.locator(".fingerprint").inner_text()
    )

    bo.page.evaluate("window.sameDocument = true")
    ada.approve()
    expect(headline(ada.page)).to_have_text("Waiting for others")
    no_buttons_left(ada.page)
    expect(bo.page.locator("#why")).to_contain_text("1 of 2 people")
    expect(bo.page.locator("#why .people")).to_contain_text("Ada Lund approved")
    assert call.ran == []

    bo.approve()
    call.join(timeout=PATIENCE)
    assert call.ran == [("4000.00", "Northwind")]
    for person in (ada, bo):
        expect(headline(person.page)).to_have_text("Approved, and it ran")
        expect(person.page.locator("#story")).to_contain_text("The approval was used")
        no_buttons_left(person.page)
    assert bo.page.evaluate("window.sameDocument") is True
    for person in (ada, bo):  # what came piece by piece is the page as it is now
        live = regions(person.page)
        person.page.reload()
        assert regions(person.page) == live
    assert ada.complaints == bo.complaints == []


def test_a_deny_ends_it_and_its_reason_reaches_the_agent(site: Site, arrive: Arrive) -> None:
    ada, bo = arrive(site).enrol("ada"), arrive(site).enrol("bo")
    call = GuardedCall(site)
    call.start()
    for person in (ada, bo):
        person.page.get_by_role("link", name="Transfer money").click()
    ada.approve()
    expect(headline(ada.page)).to_have_text("Waiting for others")

    bo.deny("This is not <b>their</b> bank")
    for person in (ada, bo):
        expect(headline(person.page)).to_have_text("Denied by Bo Chen")
        expect(person.page.locator("#why")).to_contain_text("“This is not <b>their</b> bank”")
        no_buttons_left(person.page)
    call.join(timeout=PATIENCE)
    assert call.ran == []
    assert call.refused is not None
    assert call.refused.reason == "denied"
    assert "This is not <b>their</b> bank" in str(call.refused)
    assert ada.complaints == bo.complaints == []


def test_nobody_decides_on_a_call_made_for_them(site: Site, arrive: Arrive) -> None:
    ada = arrive(site).enrol("ada")
    request_id = site.submit(user="ada", amount="900.00", to="Ada's own account")
    page = ada.open(request_id)
    expect(headline(page)).to_have_text("Waiting for others")
    expect(page.locator("#decision")).to_contain_text("You cannot decide on a call made for you")
    no_buttons_left(page)
    for decision in ("approve", "deny"):
        answer = ada.post(f"/r/{request_id}/decide/begin", {"decision": decision})
        assert (answer["status"], answer["code"]) == (409, "own_request")


def test_a_request_expires_while_its_page_is_open(tmp_path: Path, arrive: Arrive) -> None:
    with running_site(tmp_path) as site:
        ada = arrive(site).enrol("ada")
        request_id = site.submit("refund", amount="40.00", to="Uma")
        page = ada.open(request_id)
        page.evaluate("window.sameDocument = true")
        page.locator("#approve").click()
        expect(page.locator("#form-approve")).to_be_visible()
        site.pass_time(901)
        expect(headline(page)).to_have_text("Expired: nothing ran")
        no_buttons_left(page)
        assert page.evaluate("window.sameDocument") is True
        answer = ada.post(f"/r/{request_id}/decide/begin", {"decision": "approve"})
        assert (answer["status"], answer["code"]) == (409, "not_pending")


def test_a_late_press_is_refused_and_said_beside_the_button(tmp_path: Path, arrive: Arrive) -> None:
    with running_site(tmp_path) as site:
        ada = arrive(site).enrol("ada")
        # A page that hears nothing: no stream, and a clock that stands still.
        ada.page.route("**/live*", lambda route: route.abort())
        ada.page.clock.install()
        request_id = site.submit("refund", amount="40.00", to="Uma")
        page = ada.open(request_id)
        # What the page waits for before it lets her approve runs by the clock that now stops.
        expect(page.locator("#approve")).not_to_have_attribute("aria-disabled", "true")
        page.clock.pause_at(time.time() + 60)
        page.locator("#approve").click()
        site.pass_time(901)
        page.locator("#form-approve [type=submit]").click()
        expect(headline(page)).to_have_text("Expired: nothing ran")
        no_buttons_left(page)


def test_a_payload_that_hides_things_and_is_longer_than_the_fold(
    site: Site, arrive: Arrive
) -> None:
    ada = arrive(site, viewport=PHONE).enrol("ada")
    body = f"Hello {BIDI}txet siht{ZERO_WIDTH}! " + "Your invoice is overdue. " * 90 + "END-OF-TEXT"
    recipients: list[Json] = [f"customer{n}@example.com" for n in range(40)]
    request_id = site.submit("mail", to=recipients, body=body)
    page = ada.open(request_id)

    assert BIDI not in page.content()
    assert ZERO_WIDTH not in page.content()
    marks = page.locator("#exactly .mark")
    expect(marks.filter(has_text="U+202E").first).to_be_visible()
    expect(page.locator("#exactly")).to_contain_text("Shown 8 of 40 items")
    expect(page.locator("#payload summary")).to_contain_text("Shown 1,200 of")
    assert "END-OF-TEXT" not in page.content()
    expect(page.locator("#deny")).not_to_have_attribute("aria-disabled", "true")
    expect(page.locator("#approve")).to_have_attribute("aria-disabled", "true")
    page.locator("#approve").click(force=True)  # leads to what is missing, not to a decision
    expect(page.locator("#show-all")).to_be_focused()
    expect(page.locator("#form-approve")).to_be_hidden()
    answer = ada.post(f"/r/{request_id}/decide/begin", {"decision": "approve"})
    assert (answer["status"], answer["code"]) == (409, "whole_not_seen")

    page.locator("#show-all").click()
    expect(page.locator("#payload-text")).to_be_visible()
    expect(page.locator("#payload-text")).to_be_focused()
    expect(page.locator("#payload-text")).to_contain_text("END-OF-TEXT")
    expect(page.locator("#payload summary")).to_contain_text("all shown")
    expect(page.locator("#exactly")).to_contain_text("customer39@example.com")
    expect(page.locator("#approve")).not_to_have_attribute("aria-disabled", "true")
    ada.approve()
    expect(headline(page)).to_have_text("Approved")
    assert BIDI not in page.content()
    # The two refusals above are what the console had to complain of.
    assert all("409" in complaint for complaint in ada.complaints)


def test_a_decision_with_the_keyboard_alone(site: Site, arrive: Arrive) -> None:
    ada = arrive(site).enrol("ada")
    page = ada.open(site.submit("refund", amount="40.00", to="Uma"))
    keyboard = page.keyboard

    def focused() -> str:
        found: str = page.evaluate("document.activeElement.id || document.activeElement.tagName")
        return found

    assert focused() == "BODY"  # neither answer is ready to be pressed by accident
    seen = []
    for _ in range(20):
        keyboard.press("Tab")
        seen.append(focused())
        if seen[-1] == "approve":
            break
    assert seen[-2:] == ["deny", "approve"]
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    keyboard.press("Enter")
    assert page.evaluate("document.activeElement.textContent") == "Back"
    keyboard.press("Enter")
    assert focused() == "approve"
    keyboard.press("Enter")
    keyboard.press("Tab")
    keyboard.press("Enter")
    expect(headline(page)).to_have_text("Approved")
    assert focused() == "main"  # the focus stays on the page, at what was decided
    expect(page.locator("#spoken")).to_have_text("Approved")


def test_what_is_typed_survives_a_change_of_the_page(site: Site, arrive: Arrive) -> None:
    ada, bo = arrive(site).enrol("ada"), arrive(site).enrol("bo")
    request_id = site.submit(amount="900.00", to="Northwind")
    page = ada.open(request_id)
    bo.open(request_id)
    page.locator("#payload summary").click()
    page.evaluate("scrollTo(0, 0)")
    page.locator("#deny").click()
    assert page.evaluate("scrollY") == 0  # what is being decided on stays in sight
    page.keyboard.type("Because of the ac")
    bo.approve()
    expect(page.locator("#why")).to_contain_text("1 of 2 people")
    page.keyboard.type("count")
    expect(page.get_by_label("Why not?")).to_have_value("Because of the account")
    expect(page.locator("#payload")).to_have_attribute("open", "")
    expect(page.locator("#form-deny")).to_be_visible()


def test_without_the_stream_the_page_asks_by_itself(site: Site, arrive: Arrive) -> None:
    ada, bo = arrive(site).enrol("ada"), arrive(site).enrol("bo")
    request_id = site.submit(amount="900.00", to="Northwind")
    ada.page.route("**/live*", lambda route: route.abort())
    page = ada.open(request_id)
    bo.open(request_id)
    bo.deny()
    expect(headline(page)).to_have_text("Denied by Bo Chen")


def test_a_passkey_that_refuses_changes_nothing(site: Site, arrive: Arrive) -> None:
    ada = arrive(site).enrol("ada")
    request_id = site.submit("refund", amount="40.00", to="Uma")
    page = ada.open(request_id)
    page.evaluate(
        """() => {
          navigator.credentials.get = () => Promise.reject(new DOMException("", "NotAllowedError"));
        }"""
    )
    ada.approve()
    expect(page.locator("#form-approve .error")).to_contain_text("Nothing has changed")
    expect(headline(page)).to_have_text("Waiting for you")


def test_a_link_from_elsewhere_leads_to_the_request_signed_in(site: Site, arrive: Arrive) -> None:
    ada = arrive(site).enrol("ada")
    request_id = site.submit("refund", amount="40.00", to="Uma")
    # A site of another name, as a chat or a mail in a browser is.
    elsewhere = site.url.replace("localhost", "127.0.0.1")
    ada.page.route(
        f"{elsewhere}/**",
        lambda route: route.fulfill(
            content_type="text/html", body=f'<a href="{site.url}/r/{request_id}">Look</a>'
        ),
    )
    ada.page.goto(f"{elsewhere}/chat")
    ada.page.get_by_role("link", name="Look").click()
    expect(headline(ada.page)).to_have_text("Waiting for you")


def test_signed_out_one_signs_in_and_is_back_at_the_request(site: Site, arrive: Arrive) -> None:
    ada = arrive(site).enrol("ada")
    request_id = site.submit("refund", amount="40.00", to="Uma")
    ada.sign_out()
    page = ada.open(request_id)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    ada.sign_in()
    expect(headline(page)).to_have_text("Waiting for you")


def test_a_used_invitation_says_so(site: Site, arrive: Arrive) -> None:
    invitation = site.invite("ada")
    ada = arrive(site)
    ada.page.goto(invitation)
    ada.page.get_by_role("button", name="Create passkey").click()
    expect(ada.page.get_by_role("heading", name="Inbox")).to_be_visible()
    again = arrive(site)
    again.page.goto(invitation)
    expect(again.page.get_by_role("heading", name="This invitation has been used")).to_be_visible()
    expect(again.page.get_by_role("button")).to_have_count(0)


def test_a_further_passkey_is_made_with_one_that_is_held(site: Site, arrive: Arrive) -> None:
    ada = arrive(site).enrol("ada")
    page = ada.page
    page.goto(f"{site.url}/me")
    expect(page.locator(".keys li")).to_have_count(1)

    def plug_in_a_key(route: Route) -> None:
        """The built-in authenticator has answered; from here on the person touches the key."""
        ada.devtools.send(
            "WebAuthn.setAutomaticPresenceSimulation",
            {"authenticatorId": ada.authenticator, "enabled": False},
        )
        ada.add_authenticator("usb")
        route.continue_()

    page.route("**/me/passkeys/begin", plug_in_a_key)
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.locator(".keys li")).to_have_count(2)


def test_approving_waits_until_there_was_time_to_read(tmp_path: Path, arrive: Arrive) -> None:
    with running_site(tmp_path, view_seconds=60) as site:
        ada = arrive(site).enrol("ada")
        request_id = site.submit("refund", amount="40.00", to="Uma")
        page = ada.page
        page.clock.install()  # its timers run on, and can be moved forward
        page.goto(f"{site.url}/r/{request_id}")
        approve = page.locator("#approve")
        expect(approve).to_have_attribute("aria-disabled", "true")
        expect(approve).to_have_accessible_description(re.compile("in a moment"))
        expect(page.locator("#deny")).not_to_have_attribute("aria-disabled", "true")
        approve.focus()
        page.keyboard.press("Enter")  # says why, and leads to no decision
        expect(page.locator("#spoken")).to_contain_text("You can approve in a moment")
        expect(page.locator("#form-approve")).to_be_hidden()
        answer = ada.post(f"/r/{request_id}/decide/begin", {"decision": "approve"})
        assert (answer["status"], answer["code"]) == (409, "looked_too_briefly")

        site.pass_time(60)
        page.clock.fast_forward(60_000)
        expect(approve).not_to_have_attribute("aria-disabled", "true")
        expect(approve).to_be_focused()
        page.reload()  # looked at once, it need not be waited for again
        expect(approve).not_to_have_attribute("aria-disabled", "true")
        ada.approve()
        expect(headline(page)).to_have_text("Approved")


def test_a_deny_need_not_wait(tmp_path: Path, arrive: Arrive) -> None:
    with running_site(tmp_path, view_seconds=60) as site:
        ada = arrive(site).enrol("ada")
        page = ada.page
        page.goto(f"{site.url}/r/{site.submit('refund', amount='40.00', to='Uma')}")
        ada.deny()
        expect(headline(page)).to_have_text("Denied by Ada Lund")
        assert ada.complaints == []


def test_an_operator_sees_how_people_decide(site: Site, arrive: Arrive) -> None:
    ada = arrive(site, viewport=PHONE).enrol("ada")
    for amount in ("40.00", "41.00"):
        ada.open(site.submit("refund", amount=amount, to="Uma"))
        ada.approve()
        expect(headline(ada.page)).to_have_text("Approved")
    page = ada.page
    page.goto(f"{site.url}/figures")
    plot = page.get_by_role("img", name="Median time and approve rate of each approver")
    expect(plot).to_be_visible()
    expect(plot.locator("circle")).to_have_count(1)
    row = page.get_by_role("row", name="Ada Lund")
    expect(row.get_by_role("cell").nth(1)).to_have_text("2")
    expect(row.get_by_role("cell").nth(2)).to_contain_text("100")
    expect(page.get_by_role("row", name="refunds")).to_be_visible()
    assert ada.complaints == []
