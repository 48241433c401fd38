"""The arguments of a Python call as the JSON object that is hashed, approved and then used.

A function's arguments become `args` member by member under their parameters' names, defaults
included. Only what is JSON already is taken, of exactly the types that `json` produces: a
subclass may show one value to the hash and another to the function. Parameters that are annotated
with one of the types in `approvals.guard.converters` take that type and are written as it says.

Left out are the object or class of a method, and parameters that were declared to be: a context
that a framework passes in. Nobody sees or approves what they hold.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from approvals.core import canonical, sizes
from approvals.core.errors import AdmissionError
from approvals.guard.converters import STANDARD, ConversionError, conversion_of
from approvals.guard.refusals import CallRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from approvals.core.canonical import Json
    from approvals.guard.converters import Conversion, Converter


@dataclass(frozen=True, slots=True)
class Frozen:
    """The arguments of one call: the canonical JSON that everything follows, and what is left out.

    Nobody else holds the bytes, so nothing that is done to an argument meanwhile changes them.
    """

    raw: bytes
    left_out: Mapping[str, Any]

    def thaw(self) -> dict[str, Json]:
        """A copy of the arguments, as they are hashed."""
        try:
            return cast("dict[str, Json]", canonical.parse(self.raw, max_bytes=sizes.CALL_MOST))
        except AdmissionError as error:
            raise CallRefused(
                f"nothing was sent: the arguments cannot be approved: {error.message}",
                reason="arguments",
                place=error.place,
            ) from error


class Parameters:
    """The parameters of one function that is guarded, and how its arguments are written.

    `receiver` says that the first parameter is the object or class of a method. Raises `TypeError`
    for a function that cannot be guarded.
    """

    def __init__(
        self,
        function: Callable[..., object],
        *,
        receiver: bool = False,
        leave_out: Collection[str] = (),
        converters: Sequence[Converter] = (),
    ) -> None:
        self._name = getattr(function, "__qualname__", None) or repr(function)
        self._signature = inspect.signature(function)
        self._names = _namespace(function)
        self._converters = converters
        self._conversions: dict[str, Conversion | None] = {}
        names = list(self._signature.parameters)
        for parameter in self._signature.parameters.values():
            if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
                raise TypeError(
                    f"{self._name}() takes {parameter}: a guarded function names each parameter, "
                    "because the names are the members of the arguments that people approve"
                )
        for name in sorted(leave_out):
            if name not in names:
                raise TypeError(f"{self._name}() has no parameter {name!r} to leave out")
        if receiver and not names:
            raise TypeError(f"{self._name}() is a method without a parameter for its object")
        self._left_out = frozenset(leave_out) | frozenset(names[:1] if receiver else ())
        self._unresolved = [name for name in names if name not in self._left_out]
        self._resolve()

    def freeze(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Frozen:
        """Bind a call and write its arguments down, once.

        Raises `TypeError` as the function itself would for arguments that do not fit it, and
        `CallRefused` (`arguments`) for a value that cannot be written as JSON and read back.
        """
        bound = self._bind(args, kwargs)
        self._resolve()
        left_out = {}
        dumped: dict[str, Json] = {}
        for name, value in bound.items():
            if name in self._left_out:
                left_out[name] = value
                continue
            conversion = self._conversions.get(name)
            dumped[name] = value if conversion is None else self._dump(name, conversion, value)
        try:
            raw = canonical.encode(dumped)
        except AdmissionError as error:
            raise self._not_json(error, bound) from error
        return Frozen(raw, left_out)

    def lay_out(self, frozen: Frozen) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The positional and keyword arguments of the function, read from what was approved."""
        arguments: dict[str, Any] = dict(frozen.left_out)
        for name, value in frozen.thaw().items():
            conversion = self._conversions.get(name)
            arguments[name] = value if conversion is None else conversion.load(value)
        bound = inspect.BoundArguments(self._signature, cast("Any", arguments))
        return bound.args, bound.kwargs

    def _bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self._name}(): {self._misfit(args, kwargs) or error}") from None
        bound.apply_defaults()
        return dict(bound.arguments)

    def _misfit(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
        parameters = self._signature.parameters.values()
        by_keyword = {it.name for it in parameters if it.kind is not it.POSITIONAL_ONLY}
        positional = [it for it in parameters if it.kind is not it.KEYWORD_ONLY]
        if surplus := sorted(set(kwargs) - by_keyword):
            return f"no parameter is named {_listed(surplus)}"
        if len(args) > len(positional):
            return f"takes {len(positional)} positional arguments and got {len(args)}"
        given = {it.name for it in positional[: len(args)]} | set(kwargs)
        wanted = [it.name for it in parameters if it.default is it.empty]
        if missing := [name for name in wanted if name not in given]:
            return f"an argument is missing for {_listed(missing)}"
        return None

    def _dump(self, name: str, conversion: Conversion, value: Any) -> Json:
        try:
            return _written(conversion, value)
        except AdmissionError as error:
            place = f"/{name}" + (error.place or "").removeprefix("/value")
            raise self._refusal(name, error.message, place=place) from error
        except ConversionError as error:
            raise self._refusal(name, str(error), place=f"/{name}") from error
        except _OF_CONVERTERS as error:
            # Its message may repeat the value.
            why = f"it cannot be written as JSON ({type(error).__name__})"
            raise self._refusal(name, why, place=f"/{name}") from error

    def _resolve(self) -> None:
        """Find how each parameter is written, as far as its annotation can be read yet.

        One that names what is defined later is read at a later call. Until then, or where it is
        there for type checkers only, the parameter takes what is JSON already, and no more.
        """
        unresolved = []
        for name in self._unresolved:
            annotation = self._signature.parameters[name].annotation
            if annotation is inspect.Parameter.empty:
                continue
            one = types.SimpleNamespace(__annotations__={name: annotation})
            try:
                hints = typing.get_type_hints(one, self._names, include_extras=True)
            except (NameError, AttributeError):
                unresolved.append(name)
            else:
                self._conversions[name] = conversion_of(hints[name], self._converters)
        self._unresolved = unresolved

    def _not_json(self, error: AdmissionError, bound: Mapping[str, Any]) -> CallRefused:
        pointer = error.place or ""
        name = pointer.removeprefix("/").partition("/")[0].replace("~1", "/").replace("~0", "~")
        if name not in bound:
            return CallRefused(
                f"nothing was sent: the arguments of {self._name}() cannot be approved: "
                f"{error.message}",
                reason="arguments",
                place=error.place,
            )
        why, kind = error.message, type(bound[name])
        if pointer.count("/") == 1 and kind not in _JSON_TYPES:
            why = f"it is a {kind.__name__}, which is not JSON"
            if name in self._unresolved:
                why += "; its annotation is not there when the program runs"
            elif any(kind is it.kind for it in STANDARD):
                why += f"; annotate the parameter as {kind.__name__}"
        return self._refusal(name, why, place=pointer)

    def _refusal(self, name: str, why: str, *, place: str) -> CallRefused:
        return CallRefused(
            f"nothing was sent: the argument {name!r} of {self._name}() cannot be approved: {why}",
            reason="arguments",
            place=place,
        )


_JSON_TYPES = frozenset({str, int, float, bool, type(None), list, dict})
_OF_CONVERTERS = (
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
)


def _written(conversion: Conversion, value: Any) -> Json:
    """The JSON of a value, once it has been read back from there and said the same again."""
    dumped = conversion.dump(value)
    back = canonical.parse(canonical.encode({"value": dumped}), max_bytes=sizes.CALL_MOST)
    again = conversion.dump(conversion.load(cast("dict[str, Json]", back)["value"]))
    # What people approve would else not be what the function gets.
    if canonical.encode(again) != canonical.encode(dumped):
        raise ConversionError("it is not the same when it is read back")
    return dumped


def _namespace(function: Callable[..., object]) -> dict[str, Any]:
    """The names that a function's annotations are written in."""
    inner: Any = inspect.unwrap(function)
    while isinstance(inner, functools.partial):
        inner = inspect.unwrap(inner.func)
    if not hasattr(inner, "__globals__"):
        inner = inspect.unwrap(type(inner).__call__)
    return getattr(inner, "__globals__", {})


def _listed(names: Sequence[str]) -> str:
    return " and ".join(repr(name) for name in names)
