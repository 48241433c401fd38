"""The part of a person's page that a mail leads to: how they are told."""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from playwright.sync_api import expect

from approvals.flow.operating.activate import activate
from approvals.integrations.email.render import PREFERENCES
from tests.web.browser import PHONE
from tests.web.site import PEOPLE
from tests.web.visits import Visit

if TYPE_CHECKING:
    from tests.web.conftest import Arrive
    from tests.web.site import Site

TELLING = PEOPLE.replace(
    "ada: {name: Ada Lund}",
    "ada: {name: Ada Lund, email: ada.lund@example.com, slack: U0ADA, channels: [slack, email], "
    "stand_ins: [bo], absent: [{from: 2098-03-01, until: 2098-03-03, stand_in: bo}]}",
)


def tell(site: Site) -> None:
    with site.service.store.read() as tx:
        files = dict(site.service.current_bundle(tx, "default").bundle.files)
    changed = {**files, "people.yaml": TELLING}
    activate(site.service, tenant="default", files=changed, by="otto")


def text_of(html: str) -> str:
    section = re.search(r'<section id="told".*?</section>', html, re.DOTALL)
    assert section is not None
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", section[0]))


def test_a_mail_leads_to_the_part_of_the_page_that_says_how_one_is_told(site: Site) -> None:
    tell(site)
    place = urlsplit(PREFERENCES)
    with closing(Visit(site)) as ada, closing(Visit(site)) as bo:
        html = ada.enrol("ada").get(place.path).text
        assert html.count(f'id="{place.fragment}"') == 1
        told = text_of(html)
        assert told.index("Slack") < told.index("Mail")
        for said in (
            *("a…@example.com", "U0ADA", "1 Mar 2098 to 3 Mar 2098: Bo Chen", "08:00 UTC"),
            *("notices of requests in an hour", "people.yaml", "ask those who review the bundle"),
        ):
            assert said in told, said
        assert "ada.lund@" not in html
        other = text_of(bo.enrol("bo").get(place.path).text)
        assert "no channel is named for you" in other
        assert "Stand-in for" in other
        assert "Ada Lund" in other
        assert "U0ADA" not in other


def test_nothing_can_be_changed_there(site: Site) -> None:
    tell(site)
    with closing(Visit(site)) as ada:
        html = ada.enrol("ada").get("/me").text
    section = html[html.index('<section id="told"') :].partition("</section>")[0]
    assert "<form" not in section
    assert "<button" not in section
    assert "<input" not in section


def test_who_has_to_sign_in_first_arrives_at_that_part_all_the_same(
    site: Site, arrive: Arrive
) -> None:
    tell(site)
    ada = arrive(site, viewport=PHONE).enrol("ada")
    ada.sign_out()
    ada.page.goto(f"{site.url}{PREFERENCES}")
    expect(ada.page.get_by_role("heading", name="Sign in")).to_be_visible()
    ada.sign_in()
    expect(ada.page).to_have_url(f"{site.url}{PREFERENCES}")
    expect(ada.page.get_by_role("heading", name="How you are told")).to_be_in_viewport()
    assert ada.complaints == []
    wide = ada.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= PHONE["width"]
