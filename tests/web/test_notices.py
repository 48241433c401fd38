"""What is in a notice is a place to look at: who fetches it, signed in or out, changes nothing."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2
import pytest

from approvals.flow.people import linking
from approvals.flow.people.signin import session
from approvals.flow.service import DEFAULT_TENANT
from approvals.flow.telling.outbox import NoticeKind, tell
from tests.progress import PATIENCE
from tests.slack.records import TEAM
from tests.web.notified import ADA, Office, office
from tests.web.site import PAYMENTS, everything, submit_directly
from tests.web.visits import HTML, Visit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCANNERS: tuple[dict[str, str], ...] = (
    {},
    HTML,
    {**HTML, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    {**HTML, "Sec-Purpose": "prefetch", "Sec-Fetch-Site": "none"},
)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Office]:
    """The company, delivering when it is told to."""
    with office(tmp_path) as running:
        yield running


def link_slack(place: Office, ada: Visit) -> None:
    service = place.site.service
    her = session(service, ada.http.cookies["assent"])
    assert her is not None
    assert ada.passkey is not None
    begun = linking.begin_link(service, her)
    code = linking.start_link(
        service, her, "slack", begun.id, ada.passkey.authenticate(begun.options)
    ).code
    linking.finish_link(service, channel="slack", team=TEAM, account=ADA, code=code)


def every_notice(place: Office, ada: Visit) -> str:
    """Send ada one notice of every kind on every channel; gives a request that still waits."""
    link_slack(place, ada)
    site = place.site
    over = submit_directly(site, "refund", amount="40.00", to="Uma")
    waits = submit_directly(site, "transfer", amount="900.00", to="https://evil.example/approve")
    place.deliver()
    assert ada.decide(over, "deny").json() == {"state": "denied"}
    with site.service.store.begin() as tx:
        bundle = site.service.current_bundle(tx, DEFAULT_TENANT).bundle
        for kind, subject in (
            (NoticeKind.REMINDER, waits),
            (NoticeKind.DIGEST, "2026-01-05"),
            (NoticeKind.PASSKEY_REVOKED, "a passkey"),
            (NoticeKind.ACCOUNT_UNLINKED, "an account"),
        ):
            tell(tx, bundle, kind, tenant=DEFAULT_TENANT, persons=["ada"], subject=subject)
    place.deliver()
    return waits


def test_fetching_whatever_is_in_a_notice_changes_nothing(place: Office) -> None:
    """As a mail scanner, a preview in a chat or a receiver of webhooks would."""
    site = place.site
    with closing(Visit(site)) as ada:
        ada.enrol("ada")
        waits = every_notice(place, ada)
        with site.service.store.read() as tx:
            assert tx.notices.of(tenant=DEFAULT_TENANT, subject=waits)
        found = place.addresses()
        before = everything(site)
        for channel, addresses in found.items():
            ours = {each for each in addresses if each.startswith(f"{site.url}/")}
            # What else is there is a fact about the call, as text: the tool's target.
            assert {urlsplit(each).netloc for each in addresses - ours} <= {
                urlsplit(PAYMENTS).netloc,
                "evil.example",
            }
            assert f"{site.url}/r/{waits}" in ours, channel
            assert any(urlsplit(each).path == "/me" for each in ours), channel
            for address in sorted(ours):
                for headers in SCANNERS:
                    for cookies in (None, ada.http.cookies):
                        with httpx2.Client(
                            trust_env=False, cookies=cookies, timeout=PATIENCE
                        ) as scanner:
                            for method in ("GET", "HEAD"):
                                answer = scanner.request(
                                    method, address, headers=headers, follow_redirects=True
                                )
                                assert answer.status_code < 500, (method, address)
        assert everything(site) == before
        # The same look at the database sees a decision when there is one.
        assert ada.decide(waits, "deny").json() == {"state": "denied"}
        assert everything(site) != before


def test_every_kind_of_notice_is_among_them(place: Office) -> None:
    """Or the crawl would pass by leaving something out."""
    with closing(Visit(place.site)) as ada:
        ada.enrol("ada")
        every_notice(place, ada)
    kinds = {each.value for each in NoticeKind}
    assert {body["type"] for body in place.posted()} == kinds
    subjects = [str(mail["Subject"]) for mail in place.post.mails]
    assert len(set(subjects)) == len(subjects) == len(kinds) + 2  # two requests, one of them over
    assert len(place.slack.posted(ADA)) == len(kinds) + 1  # what is over is told in place
