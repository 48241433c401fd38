"""A person made of software: opens the service's pages and answers with a software passkey.

It takes a person's part in the demo when nobody sits at the keyboard. It goes the way a browser
goes: the same addresses, the same cookies and headers, the same two steps for each passkey prompt.
The service cannot tell the difference and nothing in it is switched off.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

import httpx2

from examples.agent.software_passkey import SoftwarePasskey

TIMEOUT = 30.0
_APART = {"li", "ol", "span", "ul"}  # what a page sets apart by its looks


class PageRefusedError(Exception):
    """The service did not take what this person sent; `code` is its stable code."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Page:
    """What a person reads on a request's page: the labelled facts and the call's fingerprint."""

    facts: tuple[tuple[str, str], ...]
    fingerprint: str


class SoftwarePerson:
    """One person with one browser and one passkey."""

    def __init__(self, person: str, *, origin: str) -> None:
        self.person = person
        self._passkey = SoftwarePasskey(origin)
        self._may_approve: dict[str, float] = {}
        self._http = httpx2.Client(
            base_url=origin,
            timeout=TIMEOUT,
            trust_env=False,  # a proxy has no business between two processes on one machine
            headers={"Origin": origin, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
        )

    def close(self) -> None:
        """Close the browser."""
        self._http.close()

    def enrol(self, invitation: str) -> None:
        """Open an invitation and make a passkey; afterwards this person is signed in."""
        path = urlsplit(invitation).path
        self._read(path)
        asked = self._post(f"{path}/begin")
        made = self._passkey.register(asked["options"])
        self._post(f"{path}/finish", {"ceremony": asked["ceremony"], "credential": made})

    def sign_in(self) -> None:
        """Sign in with the passkey."""
        asked = self._post("/signin/begin")
        signed = self._passkey.sign(asked["options"])
        self._post(
            "/signin/finish", {"ceremony": asked["ceremony"], "credential": signed, "next": "/"}
        )

    def read(self, url: str) -> Page:
        """Open a request's page, the whole of it, and read what it says."""
        path = urlsplit(url).path
        reader = _Reader()
        reader.feed(self._read(path))
        looked = self._post(f"{path}/seen")
        self._may_approve[path] = time.monotonic() + looked["wait"]
        if reader.gated:
            # The page shows a long payload cut, and says so: approving waits for the whole.
            self._post(f"{path}/opened")
            reader = _Reader()
            reader.feed(self._read(path))
        return Page(facts=tuple(reader.facts), fingerprint=reader.fingerprint.strip())

    def decide(self, url: str, decision: str, *, reason: str = "") -> None:
        """Press Approve or Deny and answer the passkey prompt; the passkey signs the statement.

        Approve is there only after the page has been before this person for a moment.
        """
        path = urlsplit(url).path
        if decision == "approve":
            if path not in self._may_approve:
                self.read(url)
            time.sleep(max(0.0, self._may_approve[path] - time.monotonic()))
        path += "/decide"
        asked = self._post(f"{path}/begin", {"decision": decision})
        signed = self._passkey.sign(asked["options"])
        self._post(
            f"{path}/finish",
            {"ceremony": asked["ceremony"], "credential": signed, "reason": reason},
        )

    def _read(self, path: str) -> str:
        answer = self._http.get(path, headers={"Accept": "text/html", "Sec-Fetch-Mode": "navigate"})
        if answer.status_code != httpx2.codes.OK:
            raise PageRefusedError(answer.status_code, "page", path)
        return answer.text

    def _post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        answer = self._http.post(
            path, json=dict(body or {}), headers={"Accept": "application/json"}
        )
        told: dict[str, Any] = answer.json() if answer.content else {}
        if not answer.is_success:
            raise PageRefusedError(
                answer.status_code,
                str(told.get("code", "error")),
                str(told.get("detail") or told.get("title") or path),
            )
        return told


class _Reader(HTMLParser):
    """Reads the labelled facts (`dt`, `dd`) and the fingerprint off a request's page."""

    def __init__(self) -> None:
        super().__init__()
        self.facts: list[tuple[str, str]] = []
        self.fingerprint = ""
        self.gated = False
        self._tag = ""
        self._label = ""
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a label, a value or the fingerprint."""
        given = dict(attrs)
        if given.get("id") == "show-all":
            self.gated = True
        if tag in {"dt", "dd"} or given.get("class") == "fingerprint":
            self._tag = tag
            self._text = []
        elif self._tag == "dd" and tag == "span" and given.get("class") == "quiet":
            self._text.append(" · ")
        elif tag in _APART:
            self._text.append(" ")

    def handle_data(self, data: str) -> None:
        """Collect what stands inside."""
        if self._tag:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        """Keep what was read."""
        if tag != self._tag:
            return
        text = " ".join("".join(self._text).split())
        match tag:
            case "dt":
                self._label = text
            case "dd":
                self.facts.append((self._label, text))
            case _:
                self.fingerprint = text
        self._tag = ""
