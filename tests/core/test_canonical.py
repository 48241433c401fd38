"""Bytes have one reading or none, a value has one writing or none, and both are RFC 8785's."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import enum
import json
import struct
import tracemalloc
import uuid
from base64 import b64decode
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from approvals.core import canonical
from approvals.core.errors import AdmissionError

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "canonical.json").read_text(encoding="utf-8")
)


def cases(group: str) -> list[Any]:
    found = VECTORS[group]["cases"]
    assert found
    return [pytest.param(case, id=case["name"]) for case in found]


# Characters on either side of every border that a writer or a sorter could trip over.
BORDERS = (
    "\x00\x07\x08\t\n\x0c\r\x1f\"\\/'.e0\x7f\x80\xa0é"
    "\u07ff\u2028\ud7ff\ue000\uffff\U00010000\U0010ffff"
)
texts = st.text(st.sampled_from(BORDERS)) | st.text()
whole = st.integers(-canonical.MAX_INTEGER, canonical.MAX_INTEGER)
fractions = st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | whole | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
)
values = st.recursive(
    st.none() | st.booleans() | whole | fractions | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
)
hostile = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None, exclude_categories=()))
    | st.binary()
    | st.uuids()
    | st.dates()
    | st.decimals(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner)
        | st.dictionaries(st.text(st.characters(exclude_categories=())) | st.integers(), inner)
    ),
)


# --- against the standard


@pytest.mark.parametrize("case", cases("documents"))
def test_published_documents_are_written_as_published(case: dict[str, Any]) -> None:
    raw = b64decode(case["input"])
    assert canonical.encode(json.loads(raw)).decode() == case["canonical"]
    if case["admitted"]:
        assert canonical.encode(canonical.parse(raw)).decode() == case["canonical"]
    else:
        with pytest.raises(AdmissionError):
            canonical.parse(raw)


@pytest.mark.parametrize(("bits", "text"), VECTORS["numbers"]["cases"])
def test_published_numbers_are_written_as_published(bits: str, text: str | None) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    if text is None:
        with pytest.raises(AdmissionError) as refusal:
            canonical.encode([number])
        assert (refusal.value.code, refusal.value.place) == ("not_finite", "/0")
    else:
        assert canonical.encode([number]).decode() == f"[{text}]"


@given(values)
@example({"\ue000": 1, "\U00010000": 2})  # code points and UTF-16 units sort these apart
@example({"a": "1.5e3", "b": '"\\"1.5'})  # a number within text is not a number
@example([1.0, 1e16, 5e-324, -0.0])
def test_what_is_written_is_what_the_reference_writes(value: canonical.Json) -> None:
    """Would catch a value on the fast path that orjson writes in its own way."""
    assert canonical.encode(value) == rfc8785.dumps(value)


class Attributes:
    def __init__(self) -> None:
        self.rate = 1.0
        self.name = "a"


@pytest.mark.parametrize("copies", [True, canonical._HIDES_ATTRIBUTES])
def test_the_attributes_of_an_object_are_no_hiding_place(
    monkeypatch: pytest.MonkeyPatch, *, copies: bool
) -> None:
    """Would catch a walk that does not see into such a dictionary, as on Python 3.13."""
    monkeypatch.setattr(canonical, "_HIDES_ATTRIBUTES", copies)
    assert canonical.encode(vars(Attributes())) == b'{"name":"a","rate":1}'
    assert canonical.encode([vars(Attributes())]) == b'[{"name":"a","rate":1}]'
    foreign: Any = {"a": [Colour.RED, uuid.UUID(int=0)]}
    with pytest.raises(AdmissionError):
        canonical.encode(foreign)


@given(plain)
def test_writing_and_reading_are_inverse(value: canonical.Json) -> None:
    written = canonical.encode(value)
    assert canonical.parse(written, max_depth=canonical.ENCODE_DEPTH) == value


# --- admission


@pytest.mark.parametrize("case", cases("admitted"))
def test_what_is_admitted(case: dict[str, Any]) -> None:
    assert canonical.encode(canonical.parse(b64decode(case["input"]))).decode() == case["canonical"]


@pytest.mark.parametrize("case", cases("refused"))
def test_what_is_refused_and_where(case: dict[str, Any]) -> None:
    with pytest.raises(AdmissionError) as refusal:
        canonical.parse(b64decode(case["input"]))
    assert refusal.value.code == case["code"]
    if "place" in case:
        assert refusal.value.place == case["place"]


def test_numbers_keep_their_kind() -> None:
    read = canonical.parse(b"[1.0, 1e3, 1.5, 7]")
    assert isinstance(read, list)
    assert [type(number) for number in read] == [int, int, float, int]


def test_fractions_of_either_sign_are_read() -> None:
    """Would catch a refusal of -0 that takes zero or other negative numbers along."""
    assert canonical.parse(b"[-1.5, -1.50, -1e-7, 0.0, 0.5]") == [-1.5, -1.5, -1e-7, 0, 0.5]
    largest = canonical.MAX_INTEGER
    assert canonical.parse(f"[{largest}.0, -{largest}.0]".encode()) == [largest, -largest]


@st.composite
def decimals(draw: st.DrawFn) -> str:
    """JSON numbers as people and programs write them, also far longer than a binary64 keeps."""
    whole_part = draw(st.from_regex(r"-?(0|[1-9][0-9]{0,19})", fullmatch=True))
    fraction = draw(st.from_regex(r"(\.[0-9]{1,40})?", fullmatch=True))
    exponent = draw(st.from_regex(r"([eE][+-]?[0-9]{1,3})?", fullmatch=True))
    return f"{whole_part}{fraction}{exponent}"


@given(decimals())
@example("0.99999999999999999999")
@example("0.1e-400")
@example("100e-2")
def test_a_number_that_is_admitted_is_exactly_what_its_canonical_form_says(text: str) -> None:
    """Would catch two payloads with different numbers that share a call hash."""
    try:
        value = canonical.parse(f"[{text}]".encode())
    except AdmissionError as refusal:
        if refusal.code == "not_exact":
            assert Decimal(repr(float(text))) != Decimal(text)
        return
    assert Decimal(canonical.encode(value).decode()[1:-1]) == Decimal(text)


@given(st.floats(-canonical.MAX_INTEGER, canonical.MAX_INTEGER))
def test_every_number_of_a_program_is_admitted_as_it_is_written(number: float) -> None:
    """Would catch a guard that refuses a float because of how its canonical form is spelled."""
    assert canonical.parse(canonical.encode([number])) == [number]


def test_a_long_number_costs_no_more_than_its_length() -> None:
    """Would catch an exponent or a run of zeros that is multiplied out."""
    for text in (f"1e{'0' * 100_000}1", f"0.{'0' * 100_000}1e100001", f"1.{'0' * 200_000}"):
        assert canonical.parse(f"[{text}]".encode()) in ([10], [1])


def test_a_fault_of_syntax_is_placed() -> None:
    with pytest.raises(AdmissionError) as refusal:
        canonical.parse(b"[1,\n 2,]")
    assert (refusal.value.code, refusal.value.place) == ("not_json", "line 2 column 4")


def test_size_is_bounded_before_anything_is_read() -> None:
    raw = bytes(100_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(AdmissionError) as refusal:
            canonical.parse(raw)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refusal.value.code == "too_large"
    assert peak < 1_000_000


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        pytest.param(b"[" * 100_000, "too_deep", id="100,000 deep, open"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, "too_deep", id="100,000 deep"),
        pytest.param(b'{"a":' * 40_000 + b"1" + b"}" * 40_000, "too_deep", id="40,000 objects"),
        pytest.param(b"9" * 4_301, "integer_range", id="4,301 digits"),
        pytest.param(b"[-" + b"9" * 200_000 + b"]", "integer_range", id="200,000 digits"),
        pytest.param(b"0." + b"9" * 200_000, "not_exact", id="200,000 decimals"),
        pytest.param(b"1." + b"0" * 200_000, None, id="200,000 decimals of nothing"),
    ],
)
def test_hostile_sizes_within_the_limit_are_answered(raw: bytes, code: str | None) -> None:
    if code is None:
        assert canonical.parse(raw) == 1
        return
    with pytest.raises(AdmissionError) as refusal:
        canonical.parse(raw)
    assert refusal.value.code == code


def test_limits_are_the_callers_to_set() -> None:
    assert canonical.parse(b"[[1]]", max_bytes=5, max_depth=2) == [[1]]
    for limits in ({"max_bytes": 4}, {"max_depth": 1}):
        with pytest.raises(AdmissionError):
            canonical.parse(b"[[1]]", **limits)


def test_an_object_can_be_asked_for() -> None:
    assert canonical.parse_object(b'{"a":1}') == {"a": 1}
    with pytest.raises(AdmissionError) as refusal:
        canonical.parse_object(b"[]")
    assert refusal.value.code == "not_an_object"


def outcome(read: Any, raw: bytes) -> tuple[str, object]:
    try:
        value = read(raw, 32)
    except AdmissionError as error:
        return (error.code, error.place)
    else:
        return ("read", value)


FRAGMENTS = [
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"a", b"0", b"-0", b"1", b"-1"),
    *(b"1.0", b"1.5", b"1e3", b"1e17"),
    *(b'"a"', b'"b"', b'"\\u0061"', b'"\\ud800"', b'"\\ud83d\\ude00"', b"null", b"NaN", b" "),
    *(b"9007199254740991", b"9007199254740992", b"18446744073709551616", b"\xef\xbb\xbf", b"\xff"),
    *('"\ue000"'.encode(), '"\U00010000"'.encode(), b'"\x7f"', b"true", b"[]", b"{}", b'{"a":1}'),
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(b"".join))
@example(b'{"a":1,"a":1}')
@example(b'{"b":1,"a":1}')
@example(b"[" * 33 + b"]" * 33)
def test_the_short_way_of_reading_never_reads_otherwise(raw: bytes) -> None:
    """Would catch bytes that are taken as canonical and that the strict reader refuses."""
    assert outcome(lambda raw, depth: canonical.parse(raw, max_depth=depth), raw) == outcome(
        canonical._read_strictly, raw
    )


@given(st.binary(max_size=40) | plain.map(json.dumps).map(str.encode))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    kind, value = outcome(lambda raw, depth: canonical.parse(raw, max_depth=depth), raw)
    if kind == "read":
        assert json.loads(raw) == value


# --- what has no canonical form


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Text(str):
    __slots__ = ()


class Number(int):
    __slots__ = ()


@dataclasses.dataclass
class Point:
    x: int = 1


def nested(depth: int, innermost: object) -> object:
    for _ in range(depth):
        innermost = [innermost]
    return innermost


RING: list[object] = []
RING.append(RING)


@pytest.mark.parametrize("depth", [0, 1, 3])
@pytest.mark.parametrize(
    ("foreign", "code"),
    [
        (Colour.RED, "not_json"),
        (Text("red"), "not_json"),
        (Number(1), "not_json"),
        (Level.LOW, "not_json"),
        (uuid.UUID(int=0), "not_json"),
        (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "not_json"),
        (dt.date(2026, 1, 1), "not_json"),
        (Point(), "not_json"),
        (Point, "not_json"),
        (orjson.Fragment(b"1"), "not_json"),
        (b"red", "not_json"),
        ((1, 2), "not_json"),
        ({1}, "not_json"),
        (1j, "not_json"),
        ({1: "a"}, "not_json"),
        ({None: "a"}, "not_json"),
        ({Text("a"): 1}, "not_json"),
        ({Colour.RED: 1}, "not_json"),
        (float("nan"), "not_finite"),
        (float("-inf"), "not_finite"),
        (2**53, "integer_range"),
        (-(2**53), "integer_range"),
        pytest.param(10**5_000, "integer_range", id="5,001 digits"),
        ("\ud800", "lone_surrogate"),
        ({"\udfff": 1}, "lone_surrogate"),
        (nested(255, 1), "too_deep"),
        (nested(255, 1.5), "too_deep"),
        (nested(100_000, 1), "too_deep"),
        (RING, "too_deep"),
    ],
)
def test_what_is_not_json_has_no_canonical_form(foreign: Any, code: str, depth: int) -> None:
    value: Any = nested(depth, foreign)
    with pytest.raises(AdmissionError) as refusal:
        canonical.encode(value)
    assert refusal.value.code == code


@pytest.mark.parametrize("innermost", [1, 1.5], ids=["short way", "reference"])
def test_both_ways_of_writing_go_equally_deep(innermost: float) -> None:
    deepest: Any = nested(canonical.ENCODE_DEPTH, innermost)
    assert canonical.encode(deepest).startswith(b"[" * canonical.ENCODE_DEPTH)


@given(hostile)
def test_no_other_error_leaks(value: Any) -> None:
    """Would catch a UnicodeEncodeError or a TypeError of a library beneath."""
    with contextlib.suppress(AdmissionError):
        assert json.loads(canonical.encode(value), parse_int=float) == value


def test_digest_is_base64url_of_sha256() -> None:
    assert canonical.digest({}) == "RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o"


def test_pointers_escape_as_rfc_6901_says() -> None:
    assert canonical.pointer("a/b", "m~n", "é", "0") == "/a~1b/m~0n/é/0"
    assert canonical.pointer() == ""
