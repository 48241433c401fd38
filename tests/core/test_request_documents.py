"""The document of a request: it reads back as itself, and its digest covers everything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from approvals.core.decision.requirement import Requirement
from approvals.core.errors import Invalid
from approvals.core.requests import RequestDocument
from tests.company import NOW, Company, digest_of
from tests.core.voting import requirement


def test_a_document_reads_back_as_itself() -> None:
    document = Company().request(
        replace(requirement("ada", quorum=1), escalate=((0, "managers"), (600, "owners"))),
        task="task-1",
        precondition="etag-7",
    )
    assert RequestDocument.from_document(document.document()) == document


def test_a_long_list_of_stand_ins_is_read_in_one_pass() -> None:
    """The reader of somebody's file is not kept busy for as long as they like."""
    eligible = [f"p{number:06}" for number in range(40_000)]
    document = requirement("ada").document() | {
        "eligible": list(eligible),
        "stand_ins": [[who, f"{who}-away"] for who in eligible],
    }
    assert len(Requirement.from_document(document).stand_ins) == len(eligible)


@pytest.mark.parametrize(
    "change",
    [
        {"call_hash": digest_of("other")},
        {"tool_definition": digest_of("other")},
        {"tenant": "other"},
        {"user": "other"},
        {"agent": "other"},
        {"task": "other"},
        {"precondition": "other"},
        {"bundle": "other"},
        {"requirements": (requirement("ada"),)},
        {"display_digest": digest_of("other")},
        {"audience": "other"},
        {"nonce": "other"},
        {"created": 1},
        {"expires": 2_000_000_000},
    ],
)
def test_the_digest_covers_everything(change: dict[str, Any]) -> None:
    document = Company().request(nonce="nonce")
    assert replace(document, **change).digest() != document.digest()


def mutated(path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    document: Any = Company().request().document()
    place = document
    for step in path[:-1]:
        place = place[step]
    if value is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize(
    ("path", "value", "place"),
    [
        (("typ",), "assent/request/2", "request.typ"),
        (("task",), KeyError, "request.task"),
        (("surprise",), 1, "request.surprise"),
        (("tenant",), None, "request.tenant"),
        (("call_hash",), "short", "request.call_hash"),
        (("call_hash",), "A" * 42 + "B", "request.call_hash"),  # not canonical base64url
        (("display_digest",), "short", "request.display_digest"),
        (("created",), True, "request.created"),
        (("created",), -1, "request.created"),
        (("expires",), 1.5, "request.expires"),
        (("expires",), 10**12, "request.expires"),
        (("expires",), 1, "request.expires"),
        (("expires",), NOW - 60, "request.expires"),  # when it was created
        (("requirements",), {}, "request.requirements"),
        (("requirements", 0), "any", "request.requirements[0]"),
        (("requirements", 0, "quorum"), 0, "request.requirements[0].quorum"),
        (("requirements", 0, "quorum"), -1, "request.requirements[0].quorum"),
        (("requirements", 0, "quorum"), True, "request.requirements[0].quorum"),
        (("requirements", 0, "step_up"), "none", "request.requirements[0].step_up"),
        (("requirements", 0, "eligible"), ["b", "a"], "request.requirements[0].eligible"),
        (("requirements", 0, "eligible"), ["a", "a"], "request.requirements[0].eligible"),
        (("requirements", 0, "eligible"), [1], "request.requirements[0].eligible[0]"),
        (("requirements", 0, "approvers"), [None], "request.requirements[0].approvers[0]"),
        (("requirements", 0, "escalate"), [[1]], "request.requirements[0].escalate[0]"),
        (("requirements", 0, "escalate"), [[True, "a"]], "request.requirements[0].escalate[0]"),
        (("requirements", 0, "escalate"), [[-1, "a"]], "request.requirements[0].escalate[0]"),
        (("requirements", 0, "reason"), KeyError, "request.requirements[0].reason"),
    ],
)
def test_a_document_that_is_not_exact_is_refused(
    path: tuple[str | int, ...], value: object, place: str
) -> None:
    with pytest.raises(Invalid) as caught:
        RequestDocument.from_document(mutated(path, value))
    assert (caught.value.code, caught.value.place) == ("malformed", place)
