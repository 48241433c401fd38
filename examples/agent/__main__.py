"""The example company's agent: `python -m examples.agent` does a morning's work.

It needs a running service with the bundle in `examples/company`, and the variables that
`approvals.guard` reads (ASSENT_URL, ASSENT_ENFORCER, ASSENT_KEY_FILE; the agent is
office-assistant, working for carla, unless ASSENT_AGENT and ASSENT_USER say otherwise).
FERNHILL_DATABASE names its database, which is made when it is missing.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from approvals.guard import CallRefused, Guard, use
from examples.agent import database, tools
from examples.agent.work import Done, No, Waits, attempt

AGAIN_AFTER = 2.0

MORNING: tuple[tuple[str, Callable[[], object]], ...] = (
    ("look up customer 1", lambda: tools.read_customer(1)),
    ("note a new telephone number", lambda: tools.change_phone(3, "+39 06 5550199")),
    (
        "pay for new paddles",
        lambda: tools.transfer(
            amount="4800.00",
            currency="EUR",
            payee="Nordkajak AB",
            iban="SE4550000000058398257466",
            reference="Invoice 7781",
        ),
    ),
)


def main() -> int:
    """Do each task, waiting for people where policy asks them; 1 if any was refused."""
    os.environ.setdefault("ASSENT_AGENT", "office-assistant")
    os.environ.setdefault("ASSENT_USER", "carla")
    path = Path(os.environ.setdefault(database.VARIABLE, "fernhill.db"))
    if not path.exists():
        database.create(path)
    try:
        guard = Guard.from_environment()
    except CallRefused as wrong:
        print(f"{wrong} [{wrong.reason}]", file=sys.stderr)
        return 2
    refused = 0
    with use(guard):
        for title, call in MORNING:
            answer = attempt(call)
            while isinstance(answer, Waits):
                print(f"… {title}: waiting for people, {answer.url}", flush=True)
                time.sleep(AGAIN_AFTER)
                answer = attempt(call)
            match answer:
                case Done(result):
                    print(f"✓ {title}: {result}")
                case No(reason, message):
                    refused += 1
                    print(f"✗ {title}: {message} [{reason}]")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
