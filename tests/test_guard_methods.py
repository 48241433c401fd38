"""Methods, what is left out of a call, and errors that name the argument."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from approvals.core import canonical
from approvals.guard import CallRefused, guarded
from tests.company import CALL
from tests.guarding import Recording, recording

if TYPE_CHECKING:
    from collections.abc import Iterator

made = guarded(target=CALL.target, tool=CALL.tool)


@pytest.fixture(autouse=True)
def seen() -> Iterator[Recording]:
    with recording() as guard:
        yield guard


class Account:
    """Whose methods are guarded in every way."""

    def __init__(self, name: str) -> None:
        self.name = name

    @made
    def pay(self, amount: str, to: str = "v") -> tuple[str, str, str]:
        """Pay."""
        return self.name, amount, to

    @made
    async def pay_async(self, amount: str) -> tuple[str, str]:
        await asyncio.sleep(0)
        return self.name, amount

    @made
    @classmethod
    def open(cls, amount: str) -> tuple[str, str]:
        return cls.__name__, amount

    @made
    @staticmethod
    def convert(amount: str) -> str:
        return amount

    @staticmethod
    @made
    def convert_below(amount: str) -> str:
        return amount

    @staticmethod
    @made
    def nothing() -> int:
        return 1

    @made
    def with_context(self, amount: str, *, ctx: object) -> tuple[str, object]:
        return amount, ctx

    also = guarded(target=CALL.target, tool=CALL.tool, leave_out={"ctx"})

    @also
    def with_context_left_out(self, amount: str, *, ctx: object) -> tuple[str, object]:
        return amount, ctx


class Savings(Account):
    def pay(self, amount: str, to: str = "w") -> tuple[str, str, str]:
        return super().pay(amount, to)


def test_a_method_is_guarded_and_its_object_is_no_argument(seen: Recording) -> None:
    account = Account("a")
    assert account.pay("1") == ("a", "1", "v")
    assert account.pay(amount="2", to="x") == ("a", "2", "x")
    assert Account.pay(account, "3") == ("a", "3", "v")
    assert Savings("s").pay("4") == ("s", "4", "w")
    assert asyncio.run(account.pay_async("5")) == ("a", "5")
    assert Account.open("6") == ("Account", "6")
    assert Savings.open("7") == ("Savings", "7")
    assert account.open("8") == ("Account", "8")
    assert Account.convert("9") == account.convert("9") == "9"
    assert Account.convert_below("10") == account.convert_below("10") == "10"
    assert account.nothing() == 1
    assert seen.args == [
        {"amount": "1", "to": "v"},
        {"amount": "2", "to": "x"},
        {"amount": "3", "to": "v"},
        {"amount": "4", "to": "w"},
        {"amount": "5"},
        {"amount": "6"},
        {"amount": "7"},
        {"amount": "8"},
        {"amount": "9"},
        {"amount": "9"},
        {"amount": "10"},
        {"amount": "10"},
        {},
    ]


def test_a_guarded_method_keeps_the_face_of_a_method() -> None:
    method = Account("a").pay
    assert inspect.ismethod(method)
    assert (method.__name__, method.__doc__) == ("pay", "Pay.")
    assert list(inspect.signature(method).parameters) == ["amount", "to"]
    assert inspect.iscoroutinefunction(Account("a").pay_async)
    assert not inspect.iscoroutinefunction(method)


def test_what_python_does_not_bind_is_never_left_out(seen: Recording) -> None:
    """A first parameter is an argument, unless it is the object of a method."""

    class Loose:
        pay = staticmethod(made(lambda amount, to: (amount, to)))

    @made
    def self_paid(self: str, amount: str) -> str:
        return self + amount

    assert Loose.pay("1", "x") == ("1", "x")
    assert self_paid("a", "1") == "a1"
    assert seen.args == [{"amount": "1", "to": "x"}, {"self": "a", "amount": "1"}]


def test_a_parameter_is_left_out_by_declaration_and_reaches_the_function(seen: Recording) -> None:
    context = object()

    @guarded(target=CALL.target, tool=CALL.tool, leave_out={"ctx"})
    def pay(ctx: object, amount: str) -> tuple[object, str]:
        return ctx, amount

    assert pay(context, "1") == (context, "1")
    assert pay(amount="2", ctx=context) == (context, "2")
    assert Account("a").with_context_left_out("3", ctx=context) == ("3", context)
    assert seen.args == [{"amount": "1"}, {"amount": "2"}, {"amount": "3"}]


def test_nothing_is_left_out_silently(seen: Recording) -> None:
    with pytest.raises(CallRefused) as error:
        Account("a").with_context("1", ctx=object())
    assert error.value.place == "/ctx"
    assert seen.args == []


@pytest.mark.parametrize("names", [{"context"}, {"amount", "ctxt"}, "ctx"])
def test_leaving_out_what_is_not_there_is_refused(names: Any) -> None:
    def pay(ctx: object, amount: str) -> None: ...

    with pytest.raises(TypeError):
        guarded(target=CALL.target, tool=CALL.tool, leave_out=names)(pay)


def test_a_method_without_a_place_for_its_object_is_only_static() -> None:
    class Odd:
        @made
        def nothing() -> int:  # type: ignore[misc]
            return 1

    with pytest.raises(TypeError, match="method"):
        Odd().nothing()  # type: ignore[misc]


@pytest.mark.parametrize(
    ("args", "named", "says"),
    [
        ((), {}, r"pay\(\): an argument is missing for 'amount' and 'to'"),
        (("1",), {}, r"pay\(\): an argument is missing for 'to'"),
        (("1", "x", "y", "z"), {}, r"pay\(\): takes 3 positional arguments and got 4"),
        (("1",), {"ot": "x"}, r"pay\(\): no parameter is named 'ot'"),
        (("1", "x"), {"to": "y"}, r"pay\(\): multiple values for argument 'to'"),
    ],
)
def test_arguments_that_do_not_fit_are_named(
    args: tuple[str, ...], named: dict[str, str], says: str, seen: Recording
) -> None:
    @made
    def pay(amount: str, to: str, memo: str = "") -> None: ...

    with pytest.raises(TypeError, match=says):
        pay(*args, **named)
    assert seen.args == []


@pytest.mark.parametrize(
    ("value", "place", "says"),
    [
        (object(), "/amount", "it is a object, which is not JSON"),
        ({"a": [1, {2}]}, "/amount/a/1", "set is not a JSON value"),
        ("secret\ud800", "/amount", "surrogate"),
        (2**60, "/amount", "2\\^53|integer|range"),
    ],
)
def test_an_argument_that_cannot_be_approved_is_named_and_not_repeated(
    value: Any, place: str, says: str
) -> None:
    @made
    def pay(amount: Any) -> None: ...

    with pytest.raises(CallRefused, match=says) as error:
        pay(value)
    assert (error.value.reason, error.value.place) == ("arguments", place)
    assert "'amount' of" in error.value.message
    assert "secret" not in error.value.message


def test_what_the_function_gets_is_its_own_copy(seen: Recording) -> None:
    words = ["a"]

    @made
    def search(words: list[str]) -> list[str]:
        words.append("mine")
        return words

    seen.meanwhile = lambda: words.append("evil")
    assert search(words) == ["a", "mine"]
    assert canonical.encode(seen.args[0]) == b'{"words":["a"]}'
