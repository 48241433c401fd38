"""Take the pictures of the README from the real pages: `python -m tests.web.screenshots FOLDER`.

A small company's people enrol, an agent asks, people decide; what they see on the way is kept. What
hides in the payload hides there on purpose.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Browser, expect

from tests.web.browser import DESKTOP, PHONE, Visitor, chromium, visitor
from tests.web.site import Site, running_site

if TYPE_CHECKING:
    from approvals.core.canonical import Json

LARGEST = 200_000
SAYS = "The customer was promised this today; finance has already cleared it, please hurry."
INVOICES: list[Json] = ["INV-7781", "INV-7802"]


def take(folder: Path) -> None:
    """Take every picture."""
    with (
        tempfile.TemporaryDirectory() as home,
        running_site(Path(home)) as site,
        chromium() as browser,
    ):
        _story(site, browser, folder)
    for picture in sorted(folder.glob("*.png")):
        size = picture.stat().st_size
        print(f"{picture}  {size / 1000:.0f} kB")  # noqa: T201 - a program that runs in a terminal
        if size > LARGEST:
            sys.exit(f"{picture} is larger than {LARGEST} bytes")


def _story(site: Site, browser: Browser, folder: Path) -> None:
    light: dict[str, Any] = {"device_scale_factor": 2, "color_scheme": "light", "locale": "en-GB"}
    dark = light | {"color_scheme": "dark"}
    with (
        visitor(browser, site, viewport=PHONE, **light) as ada,
        visitor(browser, site, viewport=PHONE, **dark) as bo,
        visitor(browser, site, viewport=DESKTOP, **light | {"device_scale_factor": 1}) as cleo,
    ):
        for someone, person in ((ada, "ada"), (bo, "bo"), (cleo, "cleo")):
            someone.enrol(person)
        earlier = site.submit(amount="1250.00", to="Northwind Consulting", invoices=INVOICES[:1])
        for someone in (ada, bo):
            someone.open(earlier)
            someone.approve()
        expect(bo.page.locator(".state")).to_contain_text("Approved")
        refund = site.submit("refund", amount="80.00", to="Uma Olsen")
        ada.open(refund)
        ada.deny("This customer was refunded last week")
        site.submit("mail", to=["customer@example.com"] * 240, body="Your invoice is overdue")

        request_id = site.submit(
            amount="4000.00",
            to="Northwind Сonsulting\u200b",  # noqa: RUF001 - the Cyrillic letter is the point
            invoices=INVOICES,
            memo="invoice 7781 \u202edesrever",
            explanation=SAYS,
        )
        ada.open(request_id)
        _shoot(ada, folder / "request-phone-light.png")
        bo.open(request_id)
        _shoot(bo, folder / "request-phone-dark.png")
        bo.page.evaluate("document.querySelector('#exactly-h').scrollIntoView()")
        _shoot(bo, folder / "request-phone-dark-facts.png")
        cleo.page.goto(site.url)
        expect(cleo.page.get_by_role("link", name="Transfer money").first).to_be_visible()
        _shoot(cleo, folder / "inbox-desktop-light.png")
        cleo.open(request_id)
        _shoot(cleo, folder / "request-desktop-light.png")
        ada.approve()
        expect(ada.page.locator(".state")).to_contain_text("Waiting for others")
        bo.page.evaluate("scrollTo(0, 0)")
        bo.approve()
        expect(bo.page.locator(".state")).to_contain_text("Approved")
        expect(ada.page.locator(".state")).to_contain_text("Approved")
        _shoot(ada, folder / "decided-phone-light.png")


def _shoot(someone: Visitor, path: Path) -> None:
    someone.page.wait_for_load_state()
    someone.page.screenshot(path=path, animations="disabled")


if __name__ == "__main__":
    destination = Path(sys.argv[1])
    destination.mkdir(parents=True, exist_ok=True)
    take(destination)
