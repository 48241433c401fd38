"""Writes tests/vectors/events.json: leaves, their openings, the chains they make, and what is none.

    python -m tests.vectors.make_event_vectors

Nothing in it is random, so that running this again gives the same file.
"""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from approvals.core import b64, canonical
from approvals.core.history.events import (
    EVENTS,
    ApprovalConsumed,
    ApprovalLapsed,
    CallAllowed,
    Event,
    RequestApproved,
    RequestOpened,
    VoteApprove,
    shape_of,
)
from approvals.core.history.leaves import Chain, seal
from approvals.core.merkle import leaf_hash
from tests.events import some_event

FILE = Path(__file__).parent / "events.json"
OCCASION = "mq4d2vbn7s3kxw5cz6ae2yulfi"


def digest_of(text: str) -> str:
    """A digest that stands for one of something."""
    return b64.encode(sha256(text.encode()).digest())


def event(kind: type[Event], subject: str, time: int) -> Event:
    """An event of this kind with a value for each of its members."""
    digests = {
        name: f"apr_{subject[4:]}" if name == "approval" else digest_of(name)
        for name, types in shape_of(kind).open.items()
        if str in types
    }
    return some_event(kind, subject, time=time, **digests)


def linked(events: list[Event]) -> list[dict[str, Any]]:
    """The events as leaves, each after those of its subject."""
    chains: dict[str, Chain] = {}
    made = []
    for number, one in enumerate(events):
        chain = chains.setdefault(one.subject, Chain())
        salt = sha256(f"salt {number}".encode()).digest()
        link = chain.next()
        sealed = seal(one, link=link, salt=salt)
        chain.add(sealed.leaf)
        made.append(
            {
                "salt": b64.encode(salt),
                "event": {
                    "type": one.TYPE,
                    "time": one.time,
                    "tenant": one.tenant,
                    "subject": one.subject,
                    "seq": link.seq,
                    "previous": None if link.previous is None else b64.encode(link.previous),
                    "open": dict(sorted(one.open_members().items())),
                    "sealed": dict(sorted(one.sealed_members().items())),
                },
                "leaf": sealed.leaf.decode(),
                "leaf_hash": b64.encode(leaf_hash(sealed.leaf)),
                "opening": dict(sorted(sealed.opening.items())),
            }
        )
    return made


def document() -> dict[str, Any]:
    """The whole file."""
    request, verdict = f"req_{OCCASION}", f"vrd_{OCCASION[::-1]}"
    story = [
        event(RequestOpened, request, 1_800_000_000),
        event(CallAllowed, verdict, 1_800_000_001),
        event(VoteApprove, request, 1_800_000_002),
        event(RequestApproved, request, 1_800_000_003),
        event(ApprovalConsumed, request, 1_800_000_004),
        event(ApprovalLapsed, verdict, 1_800_000_005),
    ]
    kinds = [
        event(kind, kind.ABOUT[0] + (OCCASION if kind.ABOUT[0].endswith("_") else ""), number)
        for number, (_, kind) in enumerate(sorted(EVENTS.items()))
    ]
    chain = linked(story)
    vote = json.loads(chain[2]["leaf"])
    opening = chain[2]["opening"]
    leaves = [each["leaf"] for each in chain]

    def changed(**members: Any) -> str:
        return canonical.encode({**vote, **members}).decode()

    def reopened(**members: Any) -> dict[str, Any]:
        return {"leaf": chain[2]["leaf"], "opening": {**opening, **members}}

    return {
        "about": "Leaves of the log (docs/protocol.md, section 15): how one is made of an event,"
        " a salt and a place; which bytes are no leaf; which openings do not open one; and which"
        " leaves, in the order of the log, are whole chains.",
        "source": "tests/vectors/make_event_vectors.py",
        "leaves": [*chain, *linked(kinds)],
        "refused_leaves": [
            {"about": about, "leaf": leaf}
            for about, leaf in (
                ("not in canonical form", json.dumps(vote)),
                ("of another version", changed(typ="assent/event/1")),
                ("of no known type", changed(type="vote.maybe")),
                ("a member that its type has not", changed(call_hash=digest_of("call"))),
                ("a secret in the open", changed(approver="ada")),
                ("a commitment less", changed(sealed={})),
                ("about another kind of subject", changed(subject=verdict)),
                ("a member of another kind", changed(statement=1)),
                ("a first event that follows one", changed(seq=0)),
                ("a later event that follows none", changed(previous=None)),
                ("a number below 0", changed(seq=-1)),
                ("not a hash before it", changed(previous="AA")),
            )
        ],
        "refused_openings": [
            {"about": about, **given}
            for about, given in (
                ("another value", reopened(approver={**opening["approver"], "value": "ada"})),
                ("another salt", reopened(approver={**opening["approver"], "salt": "A" * 43})),
                (
                    "a salt of 16 bytes",
                    reopened(approver={**opening["approver"], "salt": "A" * 22}),
                ),
                ("that of another value", reopened(approver=opening["reason"])),
                ("of a name that was not sealed", reopened(user=opening["approver"])),
                ("a member more", reopened(approver={**opening["approver"], "note": 1})),
            )
        ],
        "chains": [
            {"about": about, "leaves": given, "breaks_at": place}
            for about, given, place in (
                ("two whole chains", leaves, None),
                ("the beginning of both", leaves[:3], None),
                ("without its first event", leaves[1:], 1),
                ("without one in the middle", [*leaves[:2], *leaves[3:]], 2),
                ("one twice", [*leaves[:3], *leaves[2:]], 3),
                ("two in the wrong order", [*leaves[:2], leaves[3], leaves[2], *leaves[4:]], 2),
                (
                    "one that another vote was put in the place of",
                    [*leaves[:2], changed(statement=None), *leaves[3:]],
                    3,
                ),
            )
        ],
    }


def main() -> None:
    """Write the file anew."""
    FILE.write_text(json.dumps(document(), indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
