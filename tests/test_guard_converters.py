"""Arguments of further types are written as the text that people see, and read back from it."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, NewType, Optional
from zoneinfo import ZoneInfo

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approvals.guard import CallRefused, Converter, guarded
from tests.company import CALL
from tests.guarding import Recording, recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from fractions import Fraction

made = guarded(target=CALL.target, tool=CALL.tool)
ID = uuid.UUID("f81d4fae-7dec-11d0-a765-00a0c91e6bf6")
AT = dt.datetime(2026, 11, 28, 2, 15, 39, tzinfo=dt.timezone(dt.timedelta(hours=1)))


class Currency(enum.Enum):
    EUR = "eur"
    USD = "usd"


class Level(enum.IntEnum):
    LOW = 1


class Mode(enum.Flag):
    A = 1
    B = 2


class Odd(enum.Enum):
    BYTES = b"x"


@dataclass(frozen=True)
class Money:
    amount: Decimal
    currency: Currency = Currency.EUR


@dataclass
class Order:
    lines: list[Money]
    memo: str | None = None
    parent: Optional[Order] = None  # noqa: UP045 - both spellings are read
    tags: dict[str, Money] = field(default_factory=dict)


@dataclass
class Lossy:
    amount: Decimal

    def __post_init__(self) -> None:
        self.amount = self.amount.quantize(Decimal(1))


@dataclass
class Partly:
    amount: Decimal
    sum: Decimal = field(init=False, default=Decimal(0))


class Invoice(pydantic.BaseModel):
    number: int
    total: Decimal = pydantic.Field(alias="grand_total")
    due: dt.date | None = None


class Hiding(pydantic.BaseModel):
    number: int
    note: str = pydantic.Field(default="", exclude=True)


Cents = NewType("Cents", Decimal)


@pytest.fixture(autouse=True)
def seen() -> Iterator[Recording]:
    with recording() as guard:
        yield guard


@made
def take_decimal(value: Decimal) -> Any:
    return value


@made
def take_datetime(value: dt.datetime) -> Any:
    return value


@made
def take_date(value: dt.date = dt.date(2026, 11, 28)) -> Any:
    return value


@made
def take_uuid(value: uuid.UUID) -> Any:
    return value


@made
def take_enum(value: Currency) -> Any:
    return value


@made
def take_int_enum(value: Level) -> Any:
    return value


@made
def take_order(value: Order) -> Any:
    return value


@made
def take_model(value: Invoice) -> Any:
    return value


@made
def take_hiding(value: Hiding) -> Any:
    return value


@made
def take_lists(value: list[Decimal] | None) -> Any:
    return value


@made
def take_tuple(value: tuple[str, ...]) -> Any:
    return value


@made
def take_pair(value: tuple[Decimal, str]) -> Any:
    return value


@made
def take_named(value: Annotated[Cents, "in cents"]) -> Any:
    return value


@made
def take_flag(value: Mode) -> Any:
    return value


@made
def take_odd(value: Odd) -> Any:
    return value


@made
def take_lossy(value: Lossy) -> Any:
    return value


@made
def take_later(value: Later) -> Any:
    return value


@made
def take_unknown(value: Fraction) -> Any:
    return value


@dataclass
class Later:
    at: dt.datetime


MONEY = Money(Decimal("1.50"), Currency.USD)
WHOLE = Order([MONEY], "m", Order([]), {"a": MONEY})
INVOICE = Invoice(number=1, grand_total=Decimal("2.50"), due=dt.date(2026, 1, 2))


@pytest.mark.parametrize(
    ("take", "value", "shown"),
    [
        (take_decimal, Decimal("750.00"), "750.00"),
        (take_decimal, Decimal("1E+3"), "1000"),
        (take_decimal, Decimal("1E-7"), "0.0000001"),
        (take_decimal, Decimal(0), "0"),
        (take_datetime, AT, "2026-11-28T02:15:39+01:00"),
        (
            take_datetime,
            AT.replace(tzinfo=dt.UTC, microsecond=5),
            "2026-11-28T02:15:39.000005+00:00",
        ),
        (take_datetime, AT.astimezone(ZoneInfo("Asia/Kolkata")), "2026-11-28T06:45:39+05:30"),
        (take_date, dt.date(2026, 2, 28), "2026-02-28"),
        (take_uuid, ID, str(ID)),
        (take_enum, Currency.EUR, "eur"),
        (take_int_enum, Level.LOW, 1),
        (take_lists, [Decimal("1.0"), Decimal(2)], ["1.0", "2"]),
        (take_lists, None, None),
        (take_tuple, ("a", "b"), ["a", "b"]),
        (take_pair, (Decimal(1), "b"), ["1", "b"]),
        (take_named, Cents(Decimal(3)), "3"),
        (take_later, Later(AT), {"at": "2026-11-28T02:15:39+01:00"}),
        (
            take_order,
            WHOLE,
            {
                "lines": [{"amount": "1.50", "currency": "usd"}],
                "memo": "m",
                "parent": {"lines": [], "memo": None, "parent": None, "tags": {}},
                "tags": {"a": {"amount": "1.50", "currency": "usd"}},
            },
        ),
        (take_model, INVOICE, {"number": 1, "grand_total": "2.50", "due": "2026-01-02"}),
        (take_hiding, Hiding(number=1), {"number": 1}),
    ],
)
def test_what_people_see_is_the_text_and_what_the_function_gets_is_the_value(
    take: Callable[[Any], Any], value: Any, shown: Any, seen: Recording
) -> None:
    got = take(value)
    assert seen.args == [{"value": shown}]
    assert got == value
    assert type(got) is type(value)


def test_a_default_is_written_too(seen: Recording) -> None:
    assert take_date() == dt.date(2026, 11, 28)
    assert seen.args == [{"value": "2026-11-28"}]


class Bigger(Decimal):
    pass


@pytest.mark.parametrize(
    ("take", "value", "says"),
    [
        (take_decimal, Decimal("NaN"), "not a finite"),
        (take_decimal, Decimal("Infinity"), "not a finite"),
        (take_decimal, Decimal("-0"), "sign"),
        (take_decimal, Decimal("1E+1000000"), "digits"),
        (take_decimal, Decimal("1E-1000000"), "digits"),
        (take_decimal, Bigger("1"), "a Decimal is wanted and it is a Bigger"),
        (take_decimal, "1.0", "a Decimal is wanted and it is a str"),
        (take_decimal, 1.0, "a Decimal is wanted and it is a float"),
        (take_datetime, AT.replace(tzinfo=None), "time zone"),
        (take_datetime, dt.date(2026, 1, 1), "a datetime is wanted"),
        (take_date, AT, "a date is wanted and it is a datetime"),
        (take_uuid, str(ID), "a UUID is wanted"),
        (take_enum, "eur", "a Currency is wanted"),
        (take_flag, Mode.A, "enumeration"),
        (take_odd, Odd.BYTES, "enumeration"),
        (take_order, Order([Money("1")]), "a Decimal is wanted and it is a str"),  # type: ignore[arg-type]
        (take_order, Order(Money(Decimal(1))), "a list is wanted"),  # type: ignore[arg-type]
        (take_lossy, Lossy(Decimal(1)), None),
        (take_hiding, Hiding(number=1, note="a secret"), "some part"),
        (take_model, Hiding(number=1), "an? Invoice is wanted"),
        (take_lists, (Decimal(1),), "a list is wanted"),
        (take_pair, (Decimal(1),), "tuple of 2"),
        (take_unknown, 1, None),
    ],
)
def test_what_cannot_be_written_and_read_back_is_refused_and_named(
    take: Callable[[Any], Any], value: Any, says: str | None, seen: Recording
) -> None:
    if says is None:
        take(value)
        return
    with pytest.raises(CallRefused, match=says) as error:
        take(value)
    assert (error.value.reason, error.value.place) == ("arguments", "/value")
    assert "'value' of take_" in error.value.message
    assert "secret" not in error.value.message
    assert seen.args == []


def test_what_changes_when_it_is_read_back_is_refused(seen: Recording) -> None:
    lossy = Lossy(Decimal(1))
    lossy.amount = Decimal("1.50")
    with pytest.raises(CallRefused, match="not the same when it is read back"):
        take_lossy(lossy)
    assert seen.args == []


def test_without_an_annotation_the_remedy_is_said(seen: Recording) -> None:
    @made
    def take(value: Any) -> Any:
        return value

    with pytest.raises(CallRefused, match="Decimal, which is not JSON; annotate the parameter as"):
        take(Decimal(1))
    with pytest.raises(CallRefused, match="annotation is not there when the program runs"):
        take_unknown(Decimal(1))  # type: ignore[arg-type]
    assert seen.args == []


def test_an_annotation_that_can_be_read_back_in_two_ways_is_refused() -> None:
    def either(value: Decimal | str) -> Any:
        return value

    def whole(value: Partly) -> Any:
        return value

    for function in (either, whole):
        with pytest.raises(TypeError):
            made(function)


class Point:
    def __init__(self, x: int) -> None:
        self.x = x


def test_a_type_of_ones_own_is_declared_once(seen: Recording) -> None:
    points = Converter(Point, dump=lambda point: {"x": point.x}, load=lambda it: Point(it["x"]))

    @guarded(target=CALL.target, tool=CALL.tool, converters=[points])
    def take(value: list[Point]) -> int:
        return value[0].x

    assert take([Point(4)]) == 4
    assert seen.args == [{"value": [{"x": 4}]}]
    broken = Converter(Point, dump=lambda point: point.y, load=Point)

    @guarded(target=CALL.target, tool=CALL.tool, converters=[broken])
    def breaks(value: Point) -> int:
        return value.x

    with pytest.raises(CallRefused, match="AttributeError"):
        breaks(Point(1))


def test_plain_json_stays_as_it_is(seen: Recording) -> None:
    @made
    def take(a: int, b: str | None, c: list[str], d: dict[str, Any], e: float | str) -> Any:
        return a, b, c, d, e

    assert take(1, None, ["x"], {"y": [1]}, 1.5) == (1, None, ["x"], {"y": [1]}, 1.5)
    assert seen.args == [{"a": 1, "b": None, "c": ["x"], "d": {"y": [1]}, "e": 1.5}]


@settings(max_examples=200, deadline=None)
@given(
    value=st.one_of(
        st.decimals(allow_nan=False, allow_infinity=False).filter(
            lambda it: abs(it.adjusted()) < 80 and abs(int(it.as_tuple().exponent)) < 80
        )
    )
)
def test_every_decimal_is_the_number_that_is_shown(value: Decimal) -> None:
    with recording() as guard:
        if value.is_zero() and value.is_signed():
            with pytest.raises(CallRefused):
                take_decimal(value)
            return
        got = take_decimal(value)
        assert got == value == Decimal(guard.args[0]["value"])


@settings(max_examples=100, deadline=None)
@given(value=st.datetimes(timezones=st.timezones()))
def test_every_moment_is_the_moment_that_is_shown(value: dt.datetime) -> None:
    with recording() as guard:
        try:
            got = take_datetime(value)
        except CallRefused:
            return  # an offset of old, with fractions of seconds that text does not take
        assert got.timestamp() == value.timestamp()
        assert dt.datetime.fromisoformat(guard.args[0]["value"]) == got
