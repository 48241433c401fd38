"""How the pages stand on a phone, enlarged, and for people who do not use a pointer or see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import Page, expect

from tests.web.browser import DESKTOP, PHONE

if TYPE_CHECKING:
    from tests.web.browser import Visitor
    from tests.web.conftest import Arrive
    from tests.web.site import Site

pytestmark = pytest.mark.browser

# What every page must be, asked of the page as the browser built it.
CHECKS = """() => {
  const wrong = [];
  const name = (each) => (each.getAttribute("aria-label") || each.textContent || "").trim();
  const seen = (each) => each.checkVisibility();
  if (document.documentElement.lang !== "en") wrong.push("no language");
  if (!document.title) wrong.push("no title");
  if (document.querySelectorAll("h1").length !== 1) wrong.push("not one h1");
  if (document.querySelectorAll("main").length !== 1) wrong.push("not one main");
  if (!document.querySelector("header")) wrong.push("no header");
  let level = 1;
  for (const each of document.querySelectorAll("h1, h2, h3, h4")) {
    const now = Number(each.tagName[1]);
    if (now > level + 1) wrong.push("heading level left out: " + name(each));
    level = now;
  }
  const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
  if (new Set(ids).size !== ids.length) wrong.push("an id twice");
  for (const each of document.querySelectorAll("[aria-labelledby], [aria-describedby]"))
    for (const id of (each.getAttribute("aria-labelledby") + " " +
        each.getAttribute("aria-describedby")).split(" "))
      if (id && id !== "null" && !document.getElementById(id)) wrong.push("no label " + id);
  for (const each of document.querySelectorAll("button, a[href], summary")) {
    if (!name(each)) wrong.push("no name: " + each.outerHTML);
    if (!seen(each)) continue;
    const box = each.getBoundingClientRect();
    if (each.matches("button, summary, nav a") && (box.height < 48 || box.width < 48))
      wrong.push("too small: " + name(each));
  }
  for (const each of document.querySelectorAll("input, textarea, select"))
    if (!each.labels || !each.labels.length) wrong.push("no label: " + each.id);
  for (const each of document.querySelectorAll("svg"))
    if (each.getAttribute("aria-hidden") !== "true" &&
        !(each.getAttribute("role") === "img" && each.hasAttribute("aria-labelledby")))
      wrong.push("a picture without a name");
  for (const each of document.querySelectorAll("[style], style, script:not([src])"))
    wrong.push("inline: " + each.outerHTML);
  for (const each of document.querySelectorAll("[src], link[href]"))
    if (new URL(each.src || each.href).origin !== location.origin) wrong.push("foreign");
  if (document.documentElement.scrollWidth > innerWidth) wrong.push("wider than the screen");
  if (!document.querySelector("[aria-live], [role=status]")) wrong.push("says no changes");
  return wrong;
}"""


def filled(site: Site) -> dict[str, str]:
    """Requests of every kind, by what they are for."""
    return {
        "short": site.submit(amount="4000.00", to="Northwind Consulting GmbH", memo="invoice 7781"),
        "long": site.submit("mail", to=["customer@example.com"] * 30, body="Dear customer " * 200),
        "own": site.submit(user="ada", amount="9.00", to="Ada"),
        "wide": site.submit("refund", amount="1.00", to="W" * 600),
    }


def pages(visitor: Visitor, requests: dict[str, str]) -> list[str]:
    site = visitor.site
    return [
        *(f"/r/{request_id}" for request_id in requests.values()),
        "/",
        "/me",
        "/figures",
        "/r/req_unknown",
        site.invite("bo").removeprefix(site.url),
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390, 320])
def test_every_page_is_well_made(site: Site, arrive: Arrive, width: int, scheme: str) -> None:
    ada = arrive(site, viewport={"width": width, "height": 844}, color_scheme=scheme).enrol("ada")
    found = {}
    for path in pages(ada, filled(site)):
        ada.page.goto(site.url + path)
        found[path] = ada.page.evaluate(CHECKS)
    ada.sign_out()
    found["/signin"] = ada.page.evaluate(CHECKS)
    assert {path: wrong for path, wrong in found.items() if wrong} == {}


def test_six_questions_are_answered_without_scrolling_on_a_phone(
    site: Site, arrive: Arrive
) -> None:
    ada = arrive(site, viewport=PHONE).enrol("ada")
    page = ada.open(filled(site)["long"])
    answers = {
        "Asked by": "dunning-bot",
        "For": "Uma Olsen",
        "System": "https://payments.example",
        "Risk": "external-email",
        "Until": "asked",
    }
    bar = box(page, "#decision")
    for question, answer in answers.items():
        row = page.locator(".facts > div").filter(has=page.locator("dt", has_text=question)).first
        expect(row).to_contain_text(answer)
        edges = row.bounding_box()
        assert edges is not None
        assert edges["y"] + edges["height"] <= bar["y"]
    expect(page.get_by_role("heading", level=1)).to_have_text("Send email to customers")
    assert bar["y"] + bar["height"] <= PHONE["height"]


def test_enlarged_to_200_per_cent_nothing_is_cut_off_or_covered(site: Site, arrive: Arrive) -> None:
    # 200 % on a phone and on a desktop are half as many CSS pixels.
    for size in (PHONE, DESKTOP):
        half = {"width": size["width"] // 2, "height": size["height"] // 2}
        ada = arrive(site, viewport=half, device_scale_factor=2).enrol("ada")
        page = ada.open(site.submit(amount=f"{half['width']}.00", to="Northwind Consulting GmbH"))
        assert page.evaluate("document.documentElement.scrollWidth") <= half["width"]
        assert page.locator("#decision").evaluate("(bar) => getComputedStyle(bar).position") == (
            "static"
        )
        page.locator("#approve").scroll_into_view_if_needed()
        expect(page.locator("#approve")).to_be_in_viewport()


def test_approve_and_deny_weigh_the_same(site: Site, arrive: Arrive) -> None:
    ada = arrive(site, viewport=PHONE).enrol("ada")
    page = ada.open(filled(site)["short"])
    style = """(button) => {
      const is = getComputedStyle(button);
      const box = button.getBoundingClientRect();
      return [is.color, is.backgroundColor, is.borderColor, is.fontWeight, is.fontSize,
        Math.round(box.width), Math.round(box.height)];
    }"""
    assert page.locator("#approve").evaluate(style) == page.locator("#deny").evaluate(style)
    for form in ("#form-approve", "#form-deny"):
        buttons = page.locator(f"{form} button")
        assert buttons.count() == 2  # equally many presses


def test_nothing_jumps_when_the_script_has_run(site: Site, arrive: Arrive) -> None:
    ada = arrive(site, viewport=PHONE).enrol("ada")
    ada.page.add_init_script(
        """window.moved = 0;
        new PerformanceObserver((list) => {
          for (const each of list.getEntries()) window.moved += each.value;
        }).observe({type: "layout-shift", buffered: true});"""
    )
    page = ada.open(filled(site)["short"])
    page.wait_for_timeout(1500)  # over a tick of the clock and the first look of the stream
    assert page.evaluate("window.moved") == 0


def test_what_is_focused_is_not_hidden_behind_the_bar(site: Site, arrive: Arrive) -> None:
    ada = arrive(site, viewport=PHONE).enrol("ada")
    page = ada.open(filled(site)["long"])
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        focused, bottom, inside = page.evaluate(
            """() => {
              const each = document.activeElement;
              return [each.id || each.tagName, each.getBoundingClientRect().bottom,
                Boolean(each.closest("#decision"))];
            }"""
        )
        if inside:
            break
        reached.add(focused)
        assert bottom <= box(page, "#decision")["y"], focused
    assert {"SUMMARY", "show-all"} <= reached


def test_motion_is_left_out_where_it_is_not_wanted(site: Site, arrive: Arrive) -> None:
    ada = arrive(site, reduced_motion="reduce").enrol("ada")
    page = ada.open(filled(site)["short"])
    assert page.locator("#approve").evaluate(
        "(button) => getComputedStyle(button).transitionDuration"
    ) == ("0s")


def box(page: Page, selector: str) -> dict[str, Any]:
    edges = page.locator(selector).bounding_box()
    assert edges is not None
    return dict(edges)
