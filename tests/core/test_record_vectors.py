"""The published vectors of events and evidence files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from approvals.core import b64, canonical
from approvals.core.errors import ProofError
from approvals.core.evidence_file import verify
from approvals.core.history.events import event_of
from approvals.core.history.leaves import Link, parse_leaf, seal, verify_opening
from approvals.core.history.rebuild import rebuild
from approvals.core.merkle import leaf_hash
from approvals.core.tlog.published import FetchedLog
from tests.vectors.make_event_vectors import document
from tests.vectors.make_evidence_vectors import cases

FOLDER = Path(__file__).parents[1] / "vectors"
VECTORS = json.loads((FOLDER / "events.json").read_text())
EVIDENCE = sorted((FOLDER / "evidence").glob("*.json"))
MADE = {made["name"]: made for made in cases()}


def octets(text: str | None) -> bytes | None:
    return None if text is None else b64.decode(text)


def test_the_events_file_is_what_its_script_makes() -> None:
    made = json.loads(json.dumps(document()))
    assert made == VECTORS, "python -m tests.vectors.make_event_vectors writes it anew"


@pytest.mark.parametrize("vector", VECTORS["leaves"], ids=lambda it: it["event"]["type"])
def test_a_leaf_is_made_of_its_event(vector: dict[str, Any]) -> None:
    it = vector["event"]
    event = event_of(
        it["type"],
        time=it["time"],
        tenant=it["tenant"],
        subject=it["subject"],
        open_members=it["open"],
        sealed_members=it["sealed"],
    )
    link = Link(it["seq"], octets(it["previous"]))
    sealed = seal(event, link=link, salt=b64.decode(vector["salt"]))
    assert sealed.leaf.decode() == vector["leaf"]
    assert sealed.opening == vector["opening"]
    assert b64.encode(leaf_hash(sealed.leaf)) == vector["leaf_hash"]
    assert verify_opening(parse_leaf(sealed.leaf), vector["opening"]) == event


@pytest.mark.parametrize("vector", VECTORS["refused_leaves"], ids=lambda it: it["about"])
def test_what_is_no_leaf_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(ProofError) as refused:
        parse_leaf(vector["leaf"].encode())
    assert refused.value.code == "event"


@pytest.mark.parametrize("vector", VECTORS["refused_openings"], ids=lambda it: it["about"])
def test_what_does_not_open_a_leaf_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(ProofError) as refused:
        verify_opening(parse_leaf(vector["leaf"].encode()), vector["opening"])
    assert refused.value.code == "opening"


@pytest.mark.parametrize("vector", VECTORS["chains"], ids=lambda it: it["about"])
def test_a_chain_holds_or_breaks_where_it_says(vector: dict[str, Any]) -> None:
    leaves = [leaf.encode() for leaf in vector["leaves"]]
    if vector["breaks_at"] is None:
        rebuild(leaves)
        return
    with pytest.raises(ProofError) as refused:
        rebuild(leaves)
    assert (refused.value.code, refused.value.place) == ("chain", f"leaf {vector['breaks_at']}")


def answers(vector: dict[str, Any]) -> tuple[list[str], list[str]]:
    log = vector["log"]
    found = verify(
        canonical.encode(vector["file"]),
        jwks=vector["jwks"],
        vkeys=vector["log_keys"],
        directory=vector["directory"],
        issuer=vector["issuer"],
        log=None
        if log is None
        else FetchedLog(
            checkpoint=log["checkpoint"], leaves=[b64.decode(leaf) for leaf in log["leaves"]]
        ),
    )
    return (
        [step.step for step in found if not step.ok],
        [place for step in found for place in step.unshown],
    )


@pytest.mark.parametrize("path", EVIDENCE, ids=lambda path: path.stem)
def test_an_evidence_file_fails_where_its_vector_says(path: Path) -> None:
    vector = json.loads(path.read_text())
    assert answers(vector) == (vector["failing"], vector["not_shown"])


@pytest.mark.parametrize("name", MADE)
def test_an_evidence_file_made_now_has_the_same_answers(name: str) -> None:
    vector = json.loads(json.dumps(MADE[name]))
    assert answers(vector) == (vector["failing"], vector["not_shown"])


def test_there_is_an_evidence_vector_for_each() -> None:
    assert {path.stem for path in EVIDENCE} == set(MADE)
