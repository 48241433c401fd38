"""Who plays the people: the person at the keyboard, or a software passkey in their place.

What holds: a software passkey goes through the same pages, cookies and ceremonies as a browser, and
the story says each time that it is one. Whoever sits at the keyboard has as long as the request
itself gives them.
"""

import getpass
import json
import os
import select
import socket
import sys
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass, field

from approvals.client import Client, Pending, ServiceError
from approvals.core import directory
from examples.agent.software_person import Page, SoftwarePerson
from examples.narrator import Narrator, StoryBrokeError
from examples.stage import Stage

LOOK_EVERY = 0.5


@dataclass(slots=True)
class Cast:
    """The people of the story. `visitor` is the one whom the person at the keyboard plays."""

    stage: Stage
    tell: Narrator
    client: Client
    visitor: str | None
    software: dict[str, SoftwarePerson] = field(default_factory=dict)
    enrolled_again: bool = False

    def enrol(self, person: str, *, name: str) -> None:
        """Invite a person and have them make a passkey."""
        self.tell.command(f"assent people invite {person}")
        url = str(self.stage.assent_json("people", "invite", person)["url"])
        if person != self.visitor:
            self._enrol_software(person, url)
            self.tell.good(f"{name} has a passkey (a software passkey plays {name}).")
            return
        self.tell.say(f"You play {name}. Open this page and make a passkey:")
        self._show(url)
        if self._until(lambda: self._has_passkey(person)):
            self.tell.good(f"{name} has a passkey: yours.")
        else:
            self._enrol_software(person, url)
            self.tell.good(f"{name} has a passkey (a software passkey takes your part).")

    def read(self, person: str, url: str) -> Page:
        """What a person who is played by software reads on the page."""
        return self.software[person].read(url)

    def decide(
        self, person: str, url: str, request_id: str, decision: str, *, name: str, reason: str = ""
    ) -> None:
        """Have a person decide; returns when they have.

        The person at the keyboard may decide otherwise than the story asks them to.
        """
        if person not in self.software:
            what = "approve" if decision == "approve" else "deny, with a reason"
            self.tell.say(f"It is your turn, {name}: open the page, look, and {what}.")
            self._show(url)
            if self._until(lambda: self._has_decided(person, request_id)):
                return
            again = str(self.stage.assent_json("people", "invite", person, "--add")["url"])
            self._enrol_software(person, again)
            self.enrolled_again = True
            self.tell.say("A software passkey takes your part, by a new invitation.")
        playing = self.software[person]
        playing.read(url)
        playing.decide(url, decision, reason=reason)

    def close(self) -> None:
        """Close every browser."""
        for person in self.software.values():
            person.close()

    def _enrol_software(self, person: str, invitation: str) -> None:
        playing = SoftwarePerson(person, origin=self.stage.url)
        self.software[person] = playing
        playing.enrol(invitation)

    def _has_passkey(self, person: str) -> bool:
        known = directory.verify(self.client.directory(), keys=self.client.jwks()).person(person)
        return known is not None and bool(known.keys)

    def _has_decided(self, person: str, request_id: str) -> bool:
        """Whether this person has voted, or the request has ended without them."""
        if not isinstance(self.client.look(request_id), Pending):
            return True
        try:
            told = self.client.evidence(request_id)
        except ServiceError:
            return False  # the log has not caught up yet
        return any(vote["approver"] == person for vote in json.loads(told)["votes"])

    def _show(self, url: str) -> None:
        self.tell.link(url)
        if os.environ.get("SSH_CONNECTION"):
            port = self.stage.url.rpartition(":")[2]
            self.tell.say("This is another machine than the one before you? Type there, first:")
            self.tell.link(f"ssh -N -L {port}:localhost:{port} {getpass.getuser()}@{_host()}")
        # A browser in the terminal would take the story's place: only one with a window is opened.
        if (
            sys.platform == "darwin"
            or os.environ.get("DISPLAY")
            or os.environ.get("WAYLAND_DISPLAY")
        ):
            webbrowser.open(url)
        self.tell.waiting("Waiting for you. Press Enter to let a software passkey do it.")

    def _until(self, happened: Callable[[], bool]) -> bool:
        """Wait until it has happened (True) or Enter was pressed (False)."""
        while not happened():
            ready, _, _ = select.select([sys.stdin], [], [], LOOK_EVERY)
            if ready:
                if not sys.stdin.readline():
                    raise StoryBrokeError("the terminal was closed")
                return False
        return True


def _host() -> str:
    """The address under which the visitor's own machine reached this one (sshd tells it)."""
    reached = os.environ.get("SSH_CONNECTION", "").split(" ")  # client, its port, server, its port
    return reached[2] if len(reached) == 4 else socket.gethostname()  # noqa: PLR2004
