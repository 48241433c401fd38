"""Passkeys at the pages: browsers of many kinds, what is signed, and passkeys that end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from playwright.sync_api import Route, expect

from approvals.flow.service import DEFAULT_TENANT

if TYPE_CHECKING:
    from tests.web.browser import Visitor
    from tests.web.conftest import Arrive
    from tests.web.site import Site

pytestmark = pytest.mark.browser

WITHOUT_JSON = """
delete PublicKeyCredential.parseCreationOptionsFromJSON;
delete PublicKeyCredential.parseRequestOptionsFromJSON;
delete PublicKeyCredential.prototype.toJSON;
"""
# A password manager that puts itself before the browser: plain objects instead of the browser's,
# without helpers or transports, byte arrays instead of buffers, and an empty user handle.
PASSWORD_MANAGER = (
    WITHOUT_JSON
    + """
const {create, get} = navigator.credentials;
const plain = (it) => {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature"])
    if (it.response[name]) response[name] = new Uint8Array(it.response[name]);
  response.userHandle = new Uint8Array();
  return {id: it.id, rawId: new Uint8Array(it.rawId), type: it.type, response};
};
navigator.credentials.create = async (options) =>
  plain(await create.call(navigator.credentials, options));
navigator.credentials.get = async (options) => {
  const it = await get.call(navigator.credentials, options);
  return options.publicKey.allowCredentials.length ? plain(it) : it;
};
"""
)


@pytest.mark.parametrize("script", ["", WITHOUT_JSON, PASSWORD_MANAGER])
def test_every_browser_enrols_signs_in_and_decides(site: Site, arrive: Arrive, script: str) -> None:
    ada = arrive(site)
    ada.page.add_init_script(script or "0")
    ada.enrol("ada")
    if script:
        assert ada.page.evaluate("!PublicKeyCredential.parseCreationOptionsFromJSON")
        assert ada.page.evaluate("!('toJSON' in PublicKeyCredential.prototype)")
    ada.sign_out()
    ada.sign_in()
    expect(ada.page.get_by_role("heading", name="Inbox")).to_be_visible()
    request_id = site.submit("refund", amount="41.00", to="Uma")
    page = ada.open(request_id)
    ada.approve()
    expect(page.locator(".state")).to_contain_text("Approved")
    assert ada.complaints == []


def signatures(someone: Visitor) -> int:
    """How often the authenticator signed, by its own count."""
    held = someone.devtools.send(
        "WebAuthn.getCredentials", {"authenticatorId": someone.authenticator}
    )
    return max(int(each["signCount"]) for each in held["credentials"])


def test_a_page_has_nothing_signed_that_it_does_not_show(site: Site, arrive: Arrive) -> None:
    """Whoever stands between page and service cannot have a decision signed as a sign-in."""
    ada = arrive(site).enrol("ada")
    page = ada.page
    first = site.submit("refund", amount="41.00", to="Uma")
    second = site.submit("refund", amount="42.00", to="Uma")
    ada.open(second)
    other = ada.post(f"/r/{second}/decide/begin", {"decision": "approve"})
    ada.open(first)
    before = signatures(ada)

    def put(answer: dict[str, Any]) -> Any:
        def fulfil(route: Route) -> None:
            route.fulfill(status=200, content_type="application/json", body=json.dumps(answer))

        return fulfil

    # Another request's decision; a denial's place taken by an approval.
    page.route("**/decide/begin", put(other))
    ada.approve()
    error = page.locator("#form-approve .error")
    expect(error).to_have_text(
        "What was to be signed is not what this page shows. Nothing was signed."
    )
    page.unroute("**/decide/begin")
    ada.sign_out()
    signing = page.request.post(
        f"{site.url}/signin/begin", data={}, headers={"Origin": site.url}
    ).json()
    for answer in (
        other,
        {**signing, "options": {**signing["options"], "challenge": other["options"]["challenge"]}},
        {**other, "statement": signing["statement"]},
    ):
        page.route("**/signin/begin", put(answer))
        page.reload()
        ada.sign_in()
        expect(page.locator(".error")).to_have_text(
            "What was to be signed is not what this page shows. Nothing was signed."
        )
        page.unroute("**/signin/begin")
    assert signatures(ada) == before
    page.reload()
    ada.sign_in()
    expect(page.get_by_role("heading", name="Inbox")).to_be_visible()
    assert signatures(ada) == before + 1


def test_a_lost_passkey_is_ended_with_one_that_is_held(site: Site, arrive: Arrive) -> None:
    lost = arrive(site).enrol("ada")
    kept = arrive(site)
    kept.page.goto(site.invite("ada"))
    expect(kept.page.locator("main")).to_contain_text("This invitation adds a passkey.")
    kept.page.get_by_role("button", name="Create passkey").click()
    expect(kept.page.get_by_role("heading", name="Inbox")).to_be_visible()
    page = kept.page
    page.goto(f"{site.url}/me")
    expect(page.locator(".keys li")).to_have_count(2)
    first = page.locator(".keys li").first
    expect(first).to_contain_text("Used here 0 times, to decide 0.")
    first.get_by_role("button", name="End this passkey").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    lost.page.goto(f"{site.url}/me")
    expect(lost.page.get_by_role("heading", name="Sign in")).to_be_visible()
    kept.sign_in()
    expect(page.locator(".keys li, h1").first).to_be_visible()
    with site.service.store.read() as tx:
        assert len(tx.passkeys.active(tenant=DEFAULT_TENANT, person="ada")) == 1


def test_an_invitation_says_that_it_replaces(site: Site, arrive: Arrive) -> None:
    lost = arrive(site).enrol("ada")
    new = arrive(site)
    new.page.goto(site.invite("ada", replaces=True))
    expect(new.page.locator("main")).to_contain_text("This invitation replaces your passkeys.")
    lost.page.goto(site.url)
    lost.sign_in()
    expect(lost.page.locator(".error")).to_contain_text("not enrolled")
    new.page.get_by_role("button", name="Create passkey").click()
    expect(new.page.get_by_role("heading", name="Inbox")).to_be_visible()


def test_what_never_came_here_is_shown_to_its_person(site: Site, arrive: Arrive) -> None:
    ada = arrive(site).enrol("ada")
    page = ada.page
    ada.sign_out()
    ada.sign_in()
    expect(page.get_by_role("heading", name="Inbox")).to_be_visible()
    page.evaluate(
        """() => navigator.credentials.get({publicKey: {challenge: new Uint8Array(32)}})"""
    )
    ada.sign_out()
    ada.sign_in()
    expect(page.get_by_role("heading", name="Inbox")).to_be_visible()
    page.goto(f"{site.url}/me")
    expect(page.locator(".keys")).to_contain_text("Its own counter shows 1 more.")
    with site.service.store.read() as tx:
        (held,) = tx.passkeys.active(tenant=DEFAULT_TENANT, person="ada")
    assert (held.uses, held.unseen) == (2, 1)


def test_no_translator_rewrites_a_page(site: Site, arrive: Arrive) -> None:
    """A browser that translates would show other words than those that are signed."""
    ada = arrive(site).enrol("ada")
    request_id = site.submit("refund", amount="41.00", to="Uma")
    invitation = site.invite("bo")
    for path in ("/", "/me", f"/r/{request_id}", "/figures", "/nope", invitation):
        page = ada.page
        page.goto(path if path.startswith("http") else f"{site.url}{path}")
        html = page.locator("html")
        expect(html).to_have_attribute("translate", "no")
        expect(html).to_have_attribute("lang", "en")
        assert page.evaluate("document.body.translate") is False
        marked = page.evaluate("[...document.querySelectorAll('[translate=yes]')].length")
        assert marked == 0
        expect(page.locator('meta[name="google"]')).to_have_attribute("content", "notranslate")
    with httpx2.Client(base_url=site.url, trust_env=False, timeout=600) as anybody:
        assert 'translate="no"' in anybody.get("/signin").text
