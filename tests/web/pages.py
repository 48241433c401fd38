"""What is on a page in a real browser, and a guarded call that waits for it."""

from __future__ import annotations

import threading
from typing import Any

from playwright.sync_api import Page, expect

from approvals.guard import CallRefused, guarded, use
from tests.web.site import PAYMENTS, Site


class GuardedCall(threading.Thread):
    """An agent's program that calls a guarded function and waits for people."""

    def __init__(self, site: Site, *, amount: str = "4000.00", to: str = "Northwind") -> None:
        super().__init__(daemon=True)
        self.site, self.amount, self.to = site, amount, to
        self.ran: list[tuple[str, str]] = []
        self.refused: CallRefused | None = None

    def run(self) -> None:
        ran = self.ran

        @guarded(target=PAYMENTS, tool="transfer")
        def transfer(amount: str, to: str) -> dict[str, Any]:
            ran.append((amount, to))
            return {"paid": amount}

        guard = self.site.guard()
        try:
            with use(guard):
                transfer(self.amount, self.to)
        except CallRefused as refused:
            self.refused = refused
        finally:
            guard.client.close()


def headline(page: Page) -> Any:
    return page.locator(".state strong")


def regions(page: Page) -> list[list[str]]:
    found: list[list[str]] = page.evaluate(
        """() => [...document.querySelectorAll("main [data-swap]")]
          .map((each) => [each.id, each.innerText])"""
    )
    assert len(found) > 4
    return found


def no_buttons_left(page: Page) -> None:
    expect(page.locator("#approve, #deny, #decision form")).to_have_count(0)
