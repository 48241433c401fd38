"""Writes tests/vectors/evidence/: evidence files, which steps fail, and what is not shown.

    python -m tests.vectors.make_evidence_vectors

Each has all that a verifier is given: the `file`, the pinned `jwks`, `log_keys`, `issuer` and
`directory` (or null), and the whole `log` where it is at hand. `failing` are the steps that do not
hold, `not_shown` the places whose values nothing shows. Keys are made fresh in memory and never
written: running this again gives other files with the same answers.
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from approvals.core import b64
from approvals.core.decision.ceremony import StepUp
from approvals.core.directory import FormerKey, FormerPlace
from approvals.core.evidence_file import EvidenceFile
from tests.company import ISSUER, NOW, ORIGIN, RP_ID, TWO_FROM_FINANCE, enrolled
from tests.filed import (
    COMPANY,
    VKEY,
    allowed,
    completed,
    evidence,
    refused,
    stated,
    whole_log,
)
from tests.softkey import SoftKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from approvals.core.directory import Directory

HERE = Path(__file__).parent / "evidence"


def plain(file: EvidenceFile) -> dict[str, Any]:
    """The file as JSON."""
    read: dict[str, Any] = json.loads(json.dumps(file.document()))
    return read


def since(*, ended: int, left: int) -> Directory:
    """The directory after ada's passkey `ended` and ben `left`."""
    ada, ben, *others = COMPANY.directory.people
    new = SoftKey("ada, again", rp_id=RP_ID, origin=ORIGIN, step_up=StepUp.HARDWARE)
    return replace(
        COMPANY.directory,
        issued=NOW + 5000,
        people=(replace(ada, keys=(enrolled(new),)), *others),
        former_people=(
            FormerPlace(id="ben", groups=ben.groups, stand_ins=(), since=ben.since, until=left),
        ),
        former_keys=(
            FormerKey(person="ada", key=ada.keys[0], until=ended),
            FormerKey(person="ben", key=ben.keys[0], until=left),
        ),
    )


def unread(file: EvidenceFile) -> EvidenceFile:
    """The file with something else in the place of the directory, as the service would say it."""
    return completed(replace(file, directory="no directory"))


def cases() -> Iterator[dict[str, Any]]:
    """Each vector with its name."""
    clicked = replace(TWO_FROM_FINANCE, step_up=StepUp.SESSION)
    spent, denied = evidence(), evidence(denied=True)
    click = evidence(asked=clicked, clicked=True)

    def case(
        name: str,
        about: str,
        file: EvidenceFile,
        act: Callable[[dict[str, Any]], object] = lambda _: None,
        *,
        failing: tuple[str, ...] = (),
        not_shown: tuple[str, ...] = (),
        pinned: bool = True,
        log: EvidenceFile | None = None,
        people: Directory | None = None,
        **key_times: int,
    ) -> dict[str, Any]:
        document = deepcopy(plain(file))
        act(document)
        found = None if log is None else whole_log(log)
        return {
            "name": name,
            "about": about,
            "failing": list(failing),
            "not_shown": list(not_shown),
            "issuer": ISSUER,
            "jwks": {"keys": [{**COMPANY.key.public_jwk(), **key_times}]},
            "log_keys": [VKEY],
            "directory": (people or COMPANY.directory).document() if pinned else None,
            "log": None
            if found is None
            else {
                "checkpoint": found.checkpoint,
                "leaves": [b64.encode(leaf) for leaf in found.leaves],
            },
            "file": document,
        }

    def strip(name: str, event: int) -> Callable[[dict[str, Any]], object]:
        return lambda it: it["events"][event]["opening"].pop(name)

    def cut(document: dict[str, Any]) -> None:
        document["outcome"] = None
        del document["events"][-1]

    def cut_and_stated(document: dict[str, Any]) -> None:
        cut(document)
        document["complete"] = stated(EvidenceFile.from_document(document))

    def rewritten(document: dict[str, Any]) -> None:
        strip("reason", 3)(document)
        document["votes"][1]["reason"] = "by all means"

    def rewritten_and_stated(document: dict[str, Any]) -> None:
        rewritten(document)
        document["complete"] = stated(EvidenceFile.from_document(document))

    yield case("accepted-spent", "two people approved, it ran and was reported", spent)
    yield case("accepted-denied", "one person denied", denied)
    yield case("accepted-allowed", "policy allowed it; nobody was asked", allowed())
    yield case("accepted-refused", "policy refused it; nobody was asked", refused())
    yield case("accepted-click", "decided by a click; no directory is pinned", click, pinned=False)
    yield case("accepted-log", "with the whole log at hand", spent, log=spent)
    yield case(
        "accepted-past",
        "the signing key is retired, ada's passkey was replaced and ben has left since",
        spent,
        people=since(ended=NOW - 15, left=NOW - 10),
        exp=NOW + 61,
    )
    yield case(
        "votes-ended",
        "ada's passkey had ended a second before she voted with it",
        spent,
        people=since(ended=NOW - 16, left=NOW - 10),
        failing=("votes[0]", "approval", "receipt", "story"),
    )
    yield case(
        "votes-left",
        "ben had left long before he was asked",
        spent,
        people=since(ended=NOW - 15, left=NOW - 91),
        failing=("votes[1]", "approval", "receipt", "story"),
    )
    yield case(
        "approval-retired",
        "the signing key had been retired when it signed the approval",
        spent,
        exp=NOW - 10,
        failing=("approval", "receipt", "story", "complete"),
    )
    yield case(
        "accepted-enclosed",
        "what the file encloses is no directory; one is pinned, so nobody looks",
        unread(spent),
    )
    yield case(
        "directory-enclosed",
        "the same, and none is pinned",
        unread(spent),
        pinned=False,
        failing=("directory", "votes[0]", "votes[1]"),
    )
    yield case(
        "complete-reason",
        "a denial's reason rewritten, and its opening taken out",
        denied,
        rewritten,
        failing=("complete",),
        not_shown=("events[3].reason", "votes[1].reason"),
    )
    yield case(
        "not-shown-resigned",
        "the same, and the service says anew that this is the file: nothing else shows the reason",
        denied,
        rewritten_and_stated,
        not_shown=("events[3].reason", "votes[1].reason"),
    )
    yield case(
        "not-shown-erased",
        "the opening of a denial's reason is taken out, and nothing else is changed",
        denied,
        strip("reason", 3),
        not_shown=("events[3].reason", "votes[1].reason"),
    )
    yield case(
        "not-shown-approver",
        "whose click it was is erased",
        click,
        strip("approver", 2),
        not_shown=("events[2].approver", "votes[0].approver"),
        pinned=False,
    )
    yield case(
        "not-shown-call",
        "the call of a refused verdict is erased",
        refused(),
        strip("call_hash", 0),
        not_shown=("events[0].call_hash", "call"),
    )
    yield case(
        "events-gap",
        "an event in the middle is left out",
        spent,
        lambda it: it["events"].pop(1),
        failing=("events", "story", "complete"),
    )
    yield case(
        "complete-end", "the outcome and its event are left out", spent, cut, failing=("complete",)
    )
    yield case(
        "complete-resigned",
        "the same, and the service says anew that this is all: its word is believed",
        spent,
        cut_and_stated,
    )
    yield case(
        "log-end",
        "the same, with the whole log at hand",
        spent,
        cut_and_stated,
        failing=("log",),
        log=spent,
    )
    yield case("log-other", "with the log of something else", spent, failing=("log",), log=denied)
    yield case(
        "story-reason",
        "a denial's reason rewritten",
        denied,
        lambda it: it["votes"][1].update(reason="by all means"),
        failing=("story", "complete"),
    )
    yield case(
        "complete-directory",
        "without the directory that the service enclosed",
        spent,
        lambda it: it.update(directory=None),
        failing=("complete",),
    )


def main() -> None:
    """Write every file anew."""
    HERE.mkdir(exist_ok=True)
    for old in HERE.glob("*.json"):
        old.unlink()
    for made in cases():
        name = made.pop("name")
        text = json.dumps(made, indent=1, ensure_ascii=True)
        (HERE / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
