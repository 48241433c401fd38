"""Whatever is changed in an evidence file is refused, or named as not shown.

Every value, every element of a list and every opening of genuine files is edited, dropped, swapped
with its neighbour, and replaced by what stands there in another file of the same service. Whoever
has no keys is refused, and can only take openings out, which is said. Whoever has the service's
signing key, and says anew that the file is complete, is refused or is named what is not shown.
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from approvals.core import b64
from approvals.core.decision.ceremony import StepUp
from approvals.core.errors import AssentError
from approvals.core.evidence_file import EvidenceFile
from tests.company import TWO_FROM_FINANCE
from tests.filed import (
    COMPANY,
    allowed,
    check,
    evidence,
    refused,
    stated,
    whole_log,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

Path = tuple[str | int, ...]

CLICKED = replace(TWO_FROM_FINANCE, step_up=StepUp.SESSION)
FILES = {
    "spent": evidence(),
    "denied": evidence(denied=True),
    "clicked": evidence(asked=CLICKED, clicked=True),
    "click": evidence(
        asked=replace(CLICKED, eligible=("ada", "ben", "dora")), clicked=True, denied=True
    ),
    "allowed": allowed(),
    "refused": refused(),
}
OTHERS = {
    "spent": "denied",
    "denied": "spent",
    "clicked": "spent",
    "click": "denied",
    "allowed": "refused",
    "refused": "allowed",
}


def paths(value: Any, so_far: Path = ()) -> Iterator[Path]:
    """Every place in a document, the innermost first."""
    if isinstance(value, dict | list):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(inner, (*so_far, step))
    if so_far:
        yield so_far


def at(document: Any, path: Path) -> Any:
    for step in path:
        document = document[step]
    return document


def edited(value: Any) -> Any:
    """Another value of the same kind, one that could have been meant where there is one."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            middle = len(value) // 2
            return (
                value[:middle] + ("B" if value[middle:][:1] == "A" else "A") + value[middle + 1 :]
            )
        case list():
            return [*value, deepcopy(value[0])] if value else ["x"]
        case dict():
            return {**value, "x": 1}
        case _:
            return "x"


def changes(document: Any, other: Any, path: Path) -> Iterator[tuple[str, Any]]:
    """The document with one thing changed, in every way."""
    *outer, last = path
    parent = at(document, tuple(outer))

    def changed(act: Any) -> Any:
        copy = deepcopy(document)
        act(at(copy, tuple(outer)))
        return copy

    yield "edited", changed(lambda it: it.__setitem__(last, edited(it[last])))
    yield "dropped", changed(lambda it: it.__delitem__(last))
    if parent[last] is not None:
        yield "emptied", changed(lambda it: it.__setitem__(last, None))
    if isinstance(parent, list) and isinstance(last, int) and last:

        def swap(it: Any) -> None:
            it[last], it[last - 1] = it[last - 1], it[last]

        yield "swapped", changed(swap)
    try:
        theirs = at(other, path)
    except (KeyError, IndexError, TypeError):
        return
    yield "replaced", changed(lambda it: it.__setitem__(last, theirs))


def resigned(document: Any) -> Any:
    """The same with a new statement that it is complete, where it can still be read."""
    try:
        said = stated(EvidenceFile.from_document(document))
    except (AssentError, TypeError, KeyError, ValueError):
        return document
    return {**document, "complete": said}


def named(path: Path) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def judged(document: Any, path: Path, **how: Any) -> bool:
    """Whether the change at `path` is refused, or said to be not shown."""
    found = check(document, **how)
    if not all(step.ok for step in found):
        return True
    place = named(path)
    if ".opening" in place:
        place = place.replace(".opening", "", 1)
    unshown = {name for step in found for name in step.unshown}
    # A whole opening that was dropped is named by each of its values.
    return any(name == place or name.startswith(f"{place}.") for name in unshown)


@pytest.mark.parametrize("name", FILES)
def test_whatever_is_changed_is_refused_but_an_opening_may_be_taken_out(name: str) -> None:
    document = json.loads(json.dumps(FILES[name].document()))
    other = json.loads(json.dumps(FILES[OTHERS[name]].document()))
    pinned = None if name.startswith("click") else COMPANY.directory
    tried = 0
    for path in paths(document):
        for how, changed in changes(document, other, path):
            if changed == document:
                continue
            tried += 1
            if "opening" in path:
                assert judged(changed, path, directory=pinned), (how, named(path))
            else:
                assert not holds(changed, directory=pinned), (how, named(path))
    assert tried > 100


def holds(document: Any, **how: Any) -> bool:
    return all(step.ok for step in check(document, **how))


@pytest.mark.parametrize("name", FILES)
def test_nor_does_it_help_to_have_the_services_signing_key(name: str) -> None:
    """With the log at hand: then nothing rests on the service's word that the file is complete."""
    document = json.loads(json.dumps(FILES[name].document()))
    other = json.loads(json.dumps(FILES[OTHERS[name]].document()))
    pinned = None if name.startswith("click") else COMPANY.directory
    for path in paths(document):
        if path[0] in {"complete", "directory"}:  # what the service says, it can say anew
            continue
        if len(path) > 2 and path[0] in {"events", "request"} and path[2] == "proof":
            continue  # covered above, and no signature of the service is in it
        for how, changed in changes(document, other, path):
            if changed == document:
                continue
            log = whole_log(FILES[name])
            again = resigned(changed)
            assert judged(again, path, directory=pinned, log=log), (how, named(path))


ERASED = {
    ("denied", "votes[1].reason"): ("events[3].reason",),
    ("denied", "votes[0].channel"): ("events[2].channel",),
    ("click", "votes[0].approver"): ("events[2].approver",),
    ("click", "votes[0].step_up"): ("events[2].step_up",),
    ("spent", "outcome.status"): ("events[7].status",),
    ("spent", "outcome.output_hash"): ("events[7].output_hash",),
    ("refused", "call"): ("events[0].call_hash", "events[0].target", "events[0].tool"),
}
"""Which values rest on an opening alone, and on which."""


@pytest.mark.parametrize(("name", "place"), ERASED)
def test_a_value_whose_opening_was_stripped_is_named_whatever_it_now_says(
    name: str, place: str
) -> None:
    document = json.loads(json.dumps(FILES[name].document()))
    pinned = None if name.startswith("click") else COMPANY.directory
    for opening in ERASED[name, place]:
        position, member = opening.removeprefix("events[").split("].")
        del document["events"][int(position)]["opening"][member]
    for value in ("rewritten", "unchanged"):
        copy = deepcopy(document)
        if value == "rewritten":
            match place:
                case "call":
                    copy["call"] = copy["call"].replace("750.00", "950.00")
                    assert copy["call"] != document["call"]
                case "votes[0].approver":
                    copy["votes"][0]["approver"] = "dora"
                case "votes[0].step_up":
                    continue  # a click can be nothing else
                case _:
                    outer, inner = place.split(".")
                    it = copy["outcome"] if outer == "outcome" else copy["votes"][int(outer[6])]
                    it[inner] = b64.encode(bytes(32)) if inner == "output_hash" else "error"
        found = check(copy, directory=pinned)
        failing = [step.step for step in found if not step.ok]
        assert failing == (["complete"] if value == "rewritten" else [])
        found = check(resigned(copy), directory=pinned)
        assert all(step.ok for step in found)
        unshown = {each for step in found for each in step.unshown}
        assert {place, *ERASED[name, place]} <= unshown, value


def test_nothing_is_unshown_in_a_genuine_file() -> None:
    for name, file in FILES.items():
        found = check(file, directory=None, log=whole_log(file))
        assert [each for each in found if not each.ok or each.unshown] == [], name
