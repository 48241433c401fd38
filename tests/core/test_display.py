"""What a person is shown is all of what will run, and nothing in it works unseen."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.core import b64, canonical
from approvals.core.calls import ToolCall, call_hash
from approvals.core.display import Shown, fingerprint, mixed_scripts, original, visible
from approvals.core.display import shown as shown_of
from approvals.core.display.drawn import MOST_FLAGS
from approvals.core.errors import Invalid
from approvals.core.registry import Field, FieldKind, Tool

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "display.json").read_text(encoding="utf-8")
)
TARGET = "https://mail.example"
UNSEEN = {"Cf", "Cc", "Co", "Cs", "Cn", "Zl", "Zp"}
MARK = re.compile("⟦U\\+([0-9A-F]{4,6})⟧")


def tool(*fields: Field, title: str = "Send") -> Tool:
    return Tool(
        name="send",
        target=TARGET,
        title=title,
        schema={},
        groups=(),
        owner="ada",
        opaque=False,
        display=fields,
        definition="-",
    )


def call(args: dict[str, Any], name: str = "send") -> ToolCall:
    return ToolCall(TARGET, name, args)


def document(of: Tool | None, called: ToolCall) -> dict[str, Any]:
    """The document of a call, which is read back as what was shown."""
    made = shown_of(of, called)
    assert Shown.from_document(made.document()) == made
    return made.document()


def shown(kind: FieldKind, value: Any, **more: Any) -> dict[str, Any]:
    """The one field that shows `value` at /v."""
    made: Any = document(tool(Field("/v", "Value", kind, **more)), call({"v": value}))
    (field,) = made["fields"]
    return dict(field)


def strings_in(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for each in pair for text in strings_in(each)]
    return [text for each in value for text in strings_in(each)] if isinstance(value, list) else []


def unmarked(text: str) -> str:
    """What `visible` drew, undone."""
    return MARK.sub(lambda found: chr(int(found[1], 16)), text)


# ---------------------------------------------------------------- characters


@pytest.mark.parametrize("vector", VECTORS["characters"], ids=lambda v: v["name"])
def test_characters(vector: dict[str, Any]) -> None:
    assert visible(vector["text"]) == vector["visible"]
    assert list(mixed_scripts(vector["text"])) == vector["mixed_scripts"]


def test_every_code_point_that_cannot_be_seen_is_drawn_as_a_mark() -> None:
    everything = [chr(number) for number in range(sys.maxunicode + 1)]
    unseen = [each for each in everything if unicodedata.category(each) in UNSEEN]
    assert len(unseen) > 900_000  # most of Unicode is private, surrogate or not assigned
    drawn = visible("".join(unseen))
    assert drawn == "".join(f"⟦U+{ord(each):04X}⟧" for each in unseen)
    # And what is left over is drawn as itself or as its own mark: nothing disappears.
    for start in range(0, len(everything), 0x4000):
        text = "".join(everything[start : start + 0x4000])
        assert unmarked(visible(text)) == text
        left = set(MARK.sub("", visible(text)))
        assert not {each for each in left if unicodedata.category(each) in UNSEEN}


@pytest.mark.parametrize("kind", list(FieldKind))
def test_nothing_unseen_reaches_any_string_of_the_document(kind: FieldKind) -> None:
    """One route that forgets to draw marks is enough for an override to turn the page around."""
    nasty = "a\u202eb\u200bc\U000e0041d\ufeffe\x1bf\u2028g\u00adh\u3164i⟦U+0041⟧\u0300\ue000"
    args = {"v": nasty, nasty: {nasty: [nasty, None]}, "list": [nasty, {nasty: 1}], "c": nasty}
    made = document(
        tool(
            Field("/v", nasty, kind, currency_path="/c"),
            Field("/list", "L", kind, currency=nasty),
            title=nasty,
        ),
        call(args),
    )
    for text in strings_in(made):
        raw = {each for each in MARK.sub("", text) if unicodedata.category(each) in UNSEEN}
        assert raw <= {"\n"}, text
        assert "⟦U+0041⟧" not in text  # written by the agent, it would pass for one of ours


@given(st.text(st.characters(codec=None)), st.booleans())
def test_drawing_loses_nothing(text: str, lines: bool) -> None:  # noqa: FBT001 - given by hypothesis
    """If two texts looked the same, one could be approved for the other."""
    drawn = visible(text, lines=lines)
    assert unmarked(drawn) == original(drawn) == text


def test_line_feeds_stay_only_where_text_has_lines() -> None:
    assert visible("a\nb") == "a⟦U+000A⟧b"
    assert visible("a\nb\r", lines=True) == "a\nb⟦U+000D⟧"
    assert shown(FieldKind.TEXT, "a\nb")["value"] == "a\nb"
    for kind in (FieldKind.PERSON, FieldKind.ADDRESS, FieldKind.HOST):
        assert shown(kind, "a\nb")["value"] == "a⟦U+000A⟧b"
    assert shown(FieldKind.LIST, ["a\nb"])["value"] == ["a⟦U+000A⟧b"]


# ---------------------------------------------------------------- fields


@pytest.mark.parametrize("vector", VECTORS["documents"], ids=lambda v: v["name"])
def test_documents(vector: dict[str, Any]) -> None:
    registered = vector["tool"] and tool(
        *(
            Field(**{**field, "kind": FieldKind(field["kind"])})
            for field in vector["tool"]["display"]
        ),
        title=vector["tool"]["title"],
    )
    made = document(registered, ToolCall(**vector["call"]))
    assert made == vector["document"]
    assert shown_of(registered, ToolCall(**vector["call"])).digest() == vector["digest"]
    assert vector["digest"] == canonical.digest(vector["document"])


def test_money_stands_with_its_currency() -> None:
    assert shown(FieldKind.MONEY, "12.50", currency="EUR")["value"] == "12.50 EUR"
    assert shown(FieldKind.MONEY, 1e-7, currency="EUR")["value"] == "1e-7 EUR"
    pair = tool(Field("/v", "Sum", FieldKind.MONEY, currency_path="/c"))
    for currency, value, flags, unchecked in [
        ("GBP", "5 GBP", [], 0),
        (None, "5", ["no currency"], 1),
        ({"code": "GBP"}, "5", ["no currency"], 1),
    ]:
        made: Any = document(pair, call({"v": 5, "c": currency}))
        assert made["fields"][0]["value"] == value
        assert made["fields"][0]["flags"] == flags
        # A currency that could not be shown with the amount is not thereby shown.
        assert len(made["unchecked"]) == unchecked


def test_lists_are_counted() -> None:
    assert shown(FieldKind.LIST, [])["flags"] == ["0 items"]
    assert shown(FieldKind.LIST, ["a"])["flags"] == ["1 item"]
    assert shown(FieldKind.LIST, ["a", "a", "b"]) == {
        "label": "Value",
        "kind": "list",
        "path": "/v",
        "value": ["a", "a", "b"],
        "flags": ["3 items"],
    }
    assert shown(FieldKind.LIST, "not a list")["value"] == "not a list"


def test_long_values_are_kept_whole() -> None:
    """Padding pushes what matters out of a cut view; here nothing is cut, and blanks are named."""
    padded = "pay 5" + " " * 3000 + "and 5000 more"
    field = shown(FieldKind.TEXT, padded)
    assert field["value"] == padded
    assert field["flags"] == ["a long run of blanks"]
    made: Any = document(None, call({"v": "x" * 200_000}))
    assert made["payload_length"] == len(made["payload"]) > 200_000


def test_warnings_are_bounded_and_each_is_said_once() -> None:
    """Somebody who can write a warning's cause ten thousand times makes no wall of warnings."""
    words = [f"a\u0430{number:x}" for number in range(5000)]
    for kind, value, counted in (
        (FieldKind.LIST, words + words, ["10000 items"]),
        (FieldKind.TEXT, " ".join(words), []),
    ):
        flags = shown(kind, value)["flags"]
        assert flags[: len(counted)] == counted
        assert len(flags) == len(set(flags)) == len(counted) + MOST_FLAGS + 1
        assert flags[-1] == f"{5000 - MOST_FLAGS} more warnings like these"


@pytest.mark.parametrize(
    ("kind", "value", "flag"),
    [
        (FieldKind.TEXT, None, "null"),
        (FieldKind.TEXT, {"a": 1}, "shown as JSON"),
        (FieldKind.TEXT, "a\u200bb", "invisible characters"),
        (FieldKind.TEXT, "line\n\n\n\n\n\nhidden", "a long run of blanks"),
        (FieldKind.TEXT, "p\u0430ypal", "mixed scripts (Cyrillic, Latin): p\u0430ypal"),
        (
            FieldKind.HOST,
            "\u0430\u0440\u0440.com",
            "mixed scripts (Cyrillic, Latin): \u0430\u0440\u0440.com",
        ),
        (FieldKind.HOST, "m\u00fcller.example", "not plain ASCII"),
        (FieldKind.ADDRESS, "eve@xn--80ak6aa92e.com", "an encoded international name (xn--)"),
    ],
)
def test_what_deserves_a_second_look_is_flagged(kind: FieldKind, value: Any, flag: str) -> None:
    assert flag in shown(kind, value)["flags"]


@pytest.mark.parametrize(
    "text",
    [
        "M\u00fcller & S\u00f6hne, 5 \u00b5m",
        "\u6771\u4eac\u30bf\u30ef\u30fc x",
        "\u041c\u043e\u0441\u043a\u0432\u0430 and Rome",
        "\ud55c\uad6d ok",
    ],
)
def test_ordinary_text_of_any_language_is_not_flagged(text: str) -> None:
    assert shown(FieldKind.TEXT, text)["flags"] == []


# ---------------------------------------------------------------- laws

names = st.text(st.sampled_from("ab/~\u202e\u00e9"), max_size=3)
leaves = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4) | st.just(0.5)
arguments = st.dictionaries(
    names,
    st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


def paths_of(value: Any, at: str = "") -> list[str]:
    """The pointers of all values that are not objects with members."""
    if isinstance(value, dict) and (value or not at):
        steps = {name: name.replace("~", "~0").replace("/", "~1") for name in value}
        return [path for n, s in steps.items() for path in paths_of(value[n], f"{at}/{s}")]
    return [at]


@given(arguments, st.data())
def test_every_argument_is_somewhere(args: dict[str, Any], data: st.DataObject) -> None:
    """An argument that is in no part of the document would be approved without being seen."""
    everywhere = paths_of(args)
    chosen = data.draw(st.lists(st.sampled_from([*everywhere, "/absent", "/a"]), unique=True))
    kinds = st.sampled_from(list(FieldKind))
    made: Any = document(
        tool(*(Field(path, "L", data.draw(kinds), currency_path="/b") for path in chosen)),
        call(args),
    )
    covered = [field["path"] for field in made["fields"]]
    covered += [part["path"] for part in made["unchecked"]]
    covered += (
        ["/b"]
        if any(f["kind"] == "money" and f["flags"][-1:] != ["no currency"] for f in made["fields"])
        else []
    )
    for path in everywhere:
        assert any(visible(path) == c or visible(path).startswith(f"{c}/") for c in covered), path
    assert unmarked(made["payload"]) == call(args).canonical().decode()


@pytest.mark.parametrize("kind", [kind for kind in FieldKind if kind is not FieldKind.MONEY])
def test_a_currency_that_stands_beside_no_amount_is_not_taken_for_shown(kind: FieldKind) -> None:
    field = Field("/", "L", kind, currency_path="/b")
    made: Any = document(tool(field), call({"": "x", "b": "EUR"}))
    assert [part["path"] for part in made["unchecked"]] == ["/b"]


@given(arguments)
def test_without_a_registered_display_everything_is_unchecked(args: dict[str, Any]) -> None:
    made: Any = document(None, call(args))
    assert made["fields"] == []
    values = [json.loads(unmarked(part["value"])) for part in made["unchecked"]]
    assert values == [args[name] for name in sorted(args, key=lambda n: n.encode("utf-16-be"))]


def test_the_document_depends_on_call_and_display_and_nothing_else() -> None:
    first = document(tool(), call({"a": 1, "b": 2}))
    assert first == document(tool(), call({"b": 2, "a": 1}))
    assert canonical.digest(first) == canonical.digest(document(tool(), call({"b": 2, "a": 1})))
    assert canonical.digest(first) != canonical.digest(document(tool(), call({"a": 1, "b": "2"})))
    assert canonical.digest(first) != canonical.digest(
        document(tool(title="Sent"), call({"a": 1, "b": 2}))
    )


def test_the_fingerprint_is_the_first_eighty_bits_of_the_call_hash() -> None:
    assert fingerprint(b64.encode(bytes(32))) == "0000-0000-0000-0000"
    assert fingerprint(b64.encode(b"\xff" * 32)) == "ZZZZ-ZZZZ-ZZZZ-ZZZZ"
    assert fingerprint(b64.encode(bytes(range(32)))) == "000G-40R4-0M30-E209"
    assert fingerprint(call_hash(call({}))) != fingerprint(call_hash(call({"a": None})))


DOCUMENT = document(
    tool(Field("/to", "To", FieldKind.LIST)), call({"to": ["a@example.com"], "note": "x"})
)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"typ": "assent/display/2"}, "display.typ"),
        ({"more": 1}, "display.more"),
        ({"title": None}, "display.title"),
        ({"flags": [1]}, "display.flags[0]"),
        ({"payload_length": 1}, "display.payload_length"),
        ({"fields": [{}]}, "display.fields[0].flags"),
        ({"fields": [{**DOCUMENT["fields"][0], "kind": "picture"}]}, "display.fields[0].kind"),
        ({"fields": [{**DOCUMENT["fields"][0], "value": [1]}]}, "display.fields[0].value[0]"),
        ({"fields": [{**DOCUMENT["fields"][0], "value": 1}]}, "display.fields[0].value"),
        ({"unchecked": [{"path": "/note"}]}, "display.unchecked[0].value"),
    ],
)
def test_another_document_is_not_read_as_what_was_shown(
    changes: dict[str, Any], place: str
) -> None:
    with pytest.raises(Invalid) as refused:
        Shown.from_document({**DOCUMENT, **changes})
    assert refused.value.place == place
