"""`make demo`: the whole story, told by a small company, its agent and two of its people.

A real service runs on this machine, real policy decides, real passkey signatures are made and
checked, and the agent's calls change a real (small) database. Each step is checked: when one does
not go as told, the demo stops with exit code 1. Nothing outside a temporary folder is touched.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from types import FrameType

import httpx2

from approvals.client import Client
from approvals.core.errors import AssentError
from examples import bells_story, story
from examples.agent import database
from examples.agent.software_person import PageRefusedError
from examples.cast import Cast
from examples.narrator import Narrator, StoryBrokeError, StoryEndedError
from examples.stage import Stage

PACE = 0.7
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Tell the story; 0 if everything went as told, 1 if not, 130 if it was interrupted."""
    parser = argparse.ArgumentParser(prog="assent demo", description="Tell the whole story.")
    parser.add_argument("--pace", type=float, help="seconds of a short pause")
    parser.add_argument("--port", type=int, default=0, help="the service's port; 0: a free one")
    parser.add_argument("--json", action="store_true", help="print the steps as one JSON document")
    chosen = parser.parse_args(arguments)
    unattended = os.environ.get("CI", "") not in {"", "0", "false"}
    attended = sys.stdin.isatty() and sys.stdout.isatty() and not unattended
    pace = chosen.pace if chosen.pace is not None else PACE if attended else 0.0
    tell = Narrator(pace=pace, aside=chosen.json)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, _interrupted)
    try:
        _tell(tell, attended=attended, port=chosen.port)
    except KeyboardInterrupt:
        tell.broke("Interrupted. The service is stopped and its folder is removed.")
        return INTERRUPTED
    except StoryEndedError as ended:
        tell.title(str(ended), "The story of an approved call needs an approval: run it once more.")
    except (StoryBrokeError, AssentError, PageRefusedError, httpx2.HTTPError) as broke:
        tell.broke(str(broke))
        if chosen.json:
            print(json.dumps({"ok": False, "broke": str(broke), "steps": tell.steps}, indent=2))
        return 1
    if chosen.json:
        print(json.dumps({"ok": True, "steps": tell.steps}, indent=2, ensure_ascii=False))
    return 0


def _tell(tell: Narrator, *, attended: bool, port: int) -> None:
    tell.title(
        "Assent: a person's yes, bound to the exact call",
        "Fernhill Outdoor rents tents and kayaks. An agent works in its office.",
    )
    if not attended:
        tell.say("Nobody is at the keyboard: software passkeys play the people, through the pages.")
    with ExitStack() as stack:
        stage = stack.enter_context(Stage(port=port))
        tell.chapter("A service, a bundle of policy, an enforcer with a key")
        tell.command("assent keys enforcer --out enforcer.json")
        made = stage.assent_json("keys", "enforcer", "--out", "enforcer.json")
        (enforcer,) = stage.prepare_bundle(made["public_jwk"])
        tell.command("assent init --bundle bundle --by jonas")
        begun = stage.assent_json("init", "--bundle", stage.bundle.name, "--by", "jonas")
        tell.good(f"Bundle {begun['bundle'][:16]}… checked, its cases passed, active.")
        tell.command("assent serve")
        stage.start_bells()
        stage.start()
        tell.good(f"The service runs at {stage.url}, on SQLite in {stage.home}")
        key = json.loads((stage.root / "enforcer.json").read_text(encoding="utf-8"))
        client = Client(stage.url, enforcer=enforcer, key=key)
        stack.callback(client.close)
        visitor = "priya" if attended else None
        cast = Cast(stage=stage, tell=tell, client=client, visitor=visitor)
        stack.callback(cast.close)
        os.environ[database.VARIABLE] = str(stage.root / "fernhill.db")
        database.create(stage.root / "fernhill.db")
        it = story.Company(stage=stage, tell=tell, cast=cast, client=client, enforcer=enforcer)
        story.enrolment(it)
        note = story.reading(it)
        story.forbidden(it, note)
        parked = story.waiting(it)
        told = bells_story.asked(it, parked)
        story.deciding(it, parked)
        bells_story.ended(it, told)
        token = story.approval(it, parked)
        story.running(it, token)
        story.denied(it)
        story.afterwards(it, parked)
    tell.title(
        "Everything went as told.",
        "Read next:  examples/agent/tools.py   one decorator guards a tool\n"
        "            examples/company          people, tools and policy\n"
        "Then:       docs/policy.md            a bundle of your own\n"
        "            docs/enforcing.md         your own functions under it",
    )


def _interrupted(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
