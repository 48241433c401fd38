"""Where the demo plays: a folder made for it, the real service as a process, and `assent`.

What holds: everything is inside one temporary folder; whatever way the story ends (also Ctrl-C) the
service is stopped as an operator would stop it, so are the servers beside it, and the folder is
removed.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx2
import yaml

from examples.bells import Bells
from examples.narrator import StoryBrokeError

COMPANY = Path(__file__).parent / "company"
START_SECONDS = 300.0
STOP_SECONDS = 20.0


class Stage:
    """A temporary home with a service on a port of this machine; 0 means a free one."""

    def __init__(self, *, port: int = 0) -> None:
        self.url = f"http://localhost:{_free_port(port)}"  # before anything is made
        self.root = Path(tempfile.mkdtemp(prefix="assent-demo-"))
        self.home = self.root / "home"
        self.bundle = self.root / "bundle"
        self.pins = self.root / "pins"
        self.bells = Bells()
        self._service: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
            self.bells.stop()
        finally:
            shutil.rmtree(self.root, ignore_errors=True)

    def prepare_bundle(self, public_jwk: Mapping[str, Any]) -> tuple[str, ...]:
        """Copy the example company's bundle, with a fresh enforcer key in it; gives the enforcers.

        The published bundle names a key of which nobody has the private half.
        """
        shutil.copytree(COMPANY, self.bundle)
        path = self.bundle / "enforcers.yaml"
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        for enforcer in document["enforcers"].values():
            enforcer["keys"] = [dict(public_jwk)]
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return tuple(document["enforcers"])

    def start_bells(self) -> None:
        """Start the mail server and the Slack, with the company's people in it."""
        people = yaml.safe_load((self.bundle / "people.yaml").read_text(encoding="utf-8"))["people"]
        self.bells.start(person["slack"] for person in people.values() if "slack" in person)

    def assent(self, *arguments: str, codes: Sequence[int] = (0,)) -> str:
        """Run `assent` as a process of its own and return what it printed."""
        done = subprocess.run(  # noqa: S603 - our own interpreter and our own arguments
            [sys.executable, "-m", "approvals.cli", *arguments],
            env=self._environment(),
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in codes:
            said = (done.stderr or done.stdout).strip()
            raise StoryBrokeError(
                f"`assent {' '.join(arguments)}` ended with {done.returncode}:\n{said}"
            )
        return done.stdout

    def assent_json(self, *arguments: str, codes: Sequence[int] = (0,)) -> Any:
        """Run `assent … --json` and return the document."""
        return json.loads(self.assent(*arguments, "--json", codes=codes))

    def start(self) -> None:
        """Start the service and wait until it answers."""
        port = self.url.rpartition(":")[2]
        with (self.root / "service.log").open("wb") as log:
            self._service = subprocess.Popen(  # noqa: S603 - our own interpreter
                [sys.executable, "-m", "approvals.cli", "serve", "--port", port],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C at the terminal is for the story, which then stops the service in order.
                start_new_session=True,
            )
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._service.poll() is not None:
                raise StoryBrokeError(f"the service did not start:\n{self._last_words()}")
            if time.monotonic() > end:
                raise StoryBrokeError(f"the service does not answer at {self.url}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the service as an operator does."""
        if self._service is None:
            return
        self._service.send_signal(signal.SIGTERM)
        try:
            self._service.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._service.kill()
            self._service.wait()
        self._service = None

    def _answers(self) -> bool:
        try:
            answer = httpx2.get(
                f"{self.url}/.well-known/assent-configuration", timeout=2.0, trust_env=False
            )
        except httpx2.TransportError:
            return False
        return answer.is_success

    def _last_words(self) -> str:
        lines = (self.root / "service.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-15:])

    def _environment(self) -> dict[str, str]:
        # Nothing of the visitor's own Assent, if there is one, may leak into the demo.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ASSENT_")}
        return {
            **kept,
            "ASSENT_HOME": str(self.home),
            "ASSENT_URL": self.url,
            **self.bells.settings,
            "COLUMNS": "74",  # what they print is shown indented, on 80 columns
            "PYTHONPATH": str(COMPANY.parents[1]),
        }


def _free_port(wanted: int) -> int:
    """The port itself if nobody listens on it, or for 0 one that is free."""
    try:
        with socket.create_server(("127.0.0.1", wanted)) as listening:
            port: int = listening.getsockname()[1]
            return port
    except OSError as taken:
        raise StoryBrokeError(f"port {wanted} cannot be used: {taken.strerror}") from taken
