"""An error names its place once: as a member, which `str` puts in front of the message."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from approvals.core import documents
from approvals.core.errors import AssentError, Invalid
from approvals.core.floor import Floor, Floors
from approvals.guard import CallRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

CODE = Path(__file__).parents[2]


def test_the_place_stands_in_front_of_what_is_wrong_there() -> None:
    with pytest.raises(Invalid) as caught:
        documents.read({}, {"approval": (str,)}, "file")
    assert (caught.value.message, caught.value.place) == ("missing", "file.approval")
    assert str(caught.value) == "file.approval: missing"
    with pytest.raises(Invalid) as caught:
        Floor(quorum=0)
    assert str(caught.value) == f"quorum: {caught.value.message}"
    assert str(Invalid("not a number")) == "not a number"
    refused = CallRefused("nothing was sent", reason="arguments", place="/amount")
    assert str(refused) == "/amount: nothing was sent"


def test_a_fault_of_a_floor_file_is_placed_at_the_member_that_has_it() -> None:
    with pytest.raises(Invalid) as caught:
        Floors.from_document({"typ": "assent/floor/1", "tools": {"transfer": [{"quorum": 0}]}})
    assert caught.value.place == "floor.tools.transfer[0].quorum"
    assert caught.value.message.startswith("not a number of people")


def test_a_message_that_begins_like_its_place_keeps_it() -> None:
    """Would catch a guess from the text whether the place was said already."""
    assert str(AssentError("a: b", place="a")) == "a: a: b"


def test_no_message_repeats_the_place_that_is_beside_it() -> None:
    found = [it for room in ("approvals", "integrations", "web") for it in repeated(CODE / room)]
    assert found == []


def test_a_message_that_repeats_its_place_is_found(tmp_path: Path) -> None:
    (tmp_path / "some.py").write_text(
        "E(f'{p}: wrong', place=p)\n"
        "E(f'{p} is wrong', place=str(p))\n"
        "E('url: wrong', place='url')\n"
        "E('use_id is wrong', place='/use_id')\n"
        "E(f'not sent: {error}', place=error.place)\n"
        "E(f'not sent (at {p})', place=p)\n"
        "E(error.message, place=error.place)\n"
    )
    assert [line for _, line in repeated(tmp_path)] == [1, 2, 3, 4, 5, 6]


def repeated(room: Path) -> Iterator[tuple[str, int]]:
    """Where an error is made of a place and of a message that says the place as well."""
    for path in sorted(room.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                places = [it.value for it in node.keywords if it.arg == "place"]
                messages = [*node.args, *(it.value for it in node.keywords if it.arg == "message")]
                if any(_repeats(it, place) for place in places for it in messages):
                    yield str(path.relative_to(room.parent)), node.lineno


def _repeats(message: ast.expr, place: ast.expr) -> bool:
    named = ast.unparse(place).removeprefix("str(").removesuffix(")")
    if isinstance(message, ast.Constant) and isinstance(place, ast.Constant):
        return _begins(message.value, place.value)
    if not isinstance(message, ast.JoinedStr):
        return False
    first, filled = message.values[0], [ast.unparse(it) for it in _filled(message)]
    if isinstance(place, ast.Constant) and isinstance(first, ast.Constant):
        return _begins(first.value, place.value)
    begins = not isinstance(first, ast.Constant) and filled[0] == named
    told = any(named == f"{it}.place" for it in filled)
    return begins or told or f"(at {{{named}}})" in ast.unparse(message)


def _begins(message: object, place: object) -> bool:
    return str(message).startswith((f"{place}:", f"{place} ")) or (
        str(place).startswith("/") and str(message).startswith(f"{str(place)[1:]} ")
    )


def _filled(message: ast.JoinedStr) -> Iterator[ast.expr]:
    return (it.value for it in message.values if isinstance(it, ast.FormattedValue))
