"""People at a browser: Chromium with a virtual authenticator for each of them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Browser, CDPSession, Page, ViewportSize, expect, sync_playwright

from tests.progress import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.web.site import Site

expect.set_options(timeout=PATIENCE * 1000)

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE: ViewportSize = {"width": 390, "height": 844}
DESKTOP: ViewportSize = {"width": 1280, "height": 900}


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser of our own, ended with the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visitor:
    """Somebody at a device of their own, with its passkeys."""

    site: Site
    page: Page
    devtools: CDPSession
    authenticator: str = ""
    complaints: list[str] = field(default_factory=list)

    def add_authenticator(self, transport: str) -> str:
        """Give the device one more authenticator, whose user is always there; gives its id."""
        added = self.devtools.send(
            "WebAuthn.addVirtualAuthenticator",
            {
                "options": {
                    "protocol": "ctap2",
                    "transport": transport,
                    "hasResidentKey": True,
                    "hasUserVerification": True,
                    "isUserVerified": True,
                    "automaticPresenceSimulation": True,
                }
            },
        )
        identifier: str = added["authenticatorId"]
        return identifier

    def enrol(self, person: str) -> Visitor:
        """Follow a fresh invitation and make a passkey."""
        self.page.goto(self.site.invite(person))
        self.page.get_by_role("button", name="Create passkey").click()
        expect(self.page.get_by_role("heading", name="Inbox")).to_be_visible()
        return self

    def sign_in(self) -> None:
        """Sign in on the page that asks for it."""
        self.page.get_by_role("button", name="Sign in with a passkey").click()

    def sign_out(self) -> None:
        """Sign out."""
        self.page.goto(f"{self.site.url}/me")
        self.page.get_by_role("button", name="Sign out").click()
        expect(self.page.get_by_role("heading", name="Sign in")).to_be_visible()
        self.page.wait_for_load_state()

    def open(self, request_id: str) -> Page:
        """Open a request's page, and look at it for as long as approving asks for."""
        self.page.goto(f"{self.site.url}/r/{request_id}")
        expect(self.page.locator("#decision[data-seen]")).to_have_count(0)
        return self.page

    def approve(self) -> None:
        """Approve what the page shows."""
        self.page.locator("#approve").click()
        self.page.locator("#form-approve [type=submit]").click()

    def deny(self, reason: str = "") -> None:
        """Deny what the page shows."""
        self.page.locator("#deny").click()
        self.page.get_by_label("Why not?").fill(reason)
        self.page.locator("#form-deny [type=submit]").click()

    def post(self, path: str, data: dict[str, Any]) -> dict[str, Any]:
        """What the service answers if the page's own guards are gone round."""
        answer: dict[str, Any] = self.page.evaluate(
            """async ([path, data]) => {
              const answer = await fetch(path, {method: "POST",
                headers: {"Content-Type": "application/json"}, body: JSON.stringify(data)});
              return {status: answer.status, ...await answer.json()};
            }""",
            [path, data],
        )
        return answer


@contextmanager
def visitor(
    browser: Browser, site: Site, *, viewport: ViewportSize = DESKTOP, **options: Any
) -> Iterator[Visitor]:
    """A device with an authenticator built in. What its console complains of is kept."""
    context = browser.new_context(viewport=viewport, **options)
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    someone = Visitor(site, page, devtools)
    someone.authenticator = someone.add_authenticator("internal")
    page.on("pageerror", lambda error: someone.complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            someone.complaints.append(message.text) if message.type == "error" else None
        ),
    )
    try:
        yield someone
    finally:
        context.close()
