"""A browser without a screen: it sends what a page's script sends, with a software passkey."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import httpx2

from tests.progress import PATIENCE
from tests.softkey import SoftKey

if TYPE_CHECKING:
    from tests.web.site import Site

HTML = {"Accept": "text/html"}


class Visit:
    """One signed-in (or not) client of the pages."""

    def __init__(self, site: Site, *, host: str | None = None) -> None:
        self.site = site
        origin = site.service.settings.url
        headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
        if host is not None:
            headers["Host"] = host
        self.http = httpx2.Client(
            base_url=site.url, headers=headers, trust_env=False, timeout=PATIENCE
        )
        self.passkey: SoftKey | None = None

    def close(self) -> None:
        """Leave."""
        self.http.close()

    def get(self, path: str, **headers: str) -> httpx2.Response:
        """Open a page."""
        return self.http.get(path, headers={**HTML, **headers})

    def post(
        self, path: str, data: dict[str, Any] | None = None, **headers: str
    ) -> httpx2.Response:
        """Send what a script sends."""
        return self.http.post(path, json=data or {}, headers=headers)

    def enrol(self, person: str) -> Visit:
        """Make a passkey by a fresh invitation."""
        settings = self.site.service.settings
        self.passkey = SoftKey(
            f"{person} {secrets.token_hex(4)}", rp_id=settings.rp_id, origin=settings.url
        )
        path = "/invite/" + self.site.invite(person).rpartition("/")[2]
        begun = self.post(f"{path}/begin").json()
        self.post(
            f"{path}/finish",
            {
                "ceremony": begun["ceremony"],
                "credential": self.passkey.register(begun["options"]),
            },
        ).raise_for_status()
        return self

    def sign_in(self, to: str = "/") -> httpx2.Response:
        """Sign in with the passkey made before."""
        assert self.passkey is not None
        begun = self.post("/signin/begin").json()
        credential = self.passkey.authenticate(begun["options"])
        return self.post(
            "/signin/finish",
            {"ceremony": begun["ceremony"], "credential": credential, "next": to},
        )

    def decide(self, request_id: str, decision: str, reason: str = "") -> httpx2.Response:
        """Look, and decide with the passkey."""
        assert self.passkey is not None
        self.post(f"/r/{request_id}/seen")
        begun = self.post(f"/r/{request_id}/decide/begin", {"decision": decision})
        if begun.status_code != 200:
            return begun
        credential = self.passkey.authenticate(begun.json()["options"])
        return self.post(
            f"/r/{request_id}/decide/finish",
            {"ceremony": begun.json()["ceremony"], "credential": credential, "reason": reason},
        )
