"""The arguments of a Python call as the JSON object that is hashed, approved and then used.

A function's arguments become `args` member by member under their parameters' names, defaults
included. Only what is JSON already is taken, of exactly the types that `json` produces: a
subclass may show one value to the hash and another to the function. Pass a money amount as a
string or an integer of minor units: a `Decimal` has no JSON form that all languages agree on. A
`float` is approved as the shortest decimal that reads back as it; digits that Python dropped when
it read the program's text are in no call.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

from approvals.core import canonical, sizes
from approvals.core.errors import AdmissionError
from approvals.guard.refusals import CallRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from approvals.core.canonical import Json


def signature_of(function: Callable[..., object]) -> inspect.Signature:
    """Return the signature of a function that can be guarded, or raise `TypeError`."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function!r} is a generator: its effects come after it has returned")
    signature = inspect.signature(function)
    for parameter in signature.parameters.values():
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            raise TypeError(
                f"{function!r} takes {parameter}: a guarded function names each parameter, "
                "because the names are the members of the arguments that people approve"
            )
    return signature


def freeze(signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
    """Bind a call and return its arguments as canonical JSON: the bytes that everything follows.

    Raises `TypeError` as the function itself would for arguments that do not fit it, and
    `CallRefused` with reason `arguments` for a value that is not JSON.
    """
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    try:
        return canonical.encode(cast("Json", dict(bound.arguments)))
    except AdmissionError as error:
        raise _refusal(error) from error


def thaw(frozen: bytes) -> dict[str, Json]:
    """A copy of the arguments that nobody else holds."""
    try:
        value = canonical.parse(frozen, max_bytes=sizes.CALL_MOST)
    except AdmissionError as error:
        raise _refusal(error) from error
    return cast("dict[str, Json]", value)


def call_with(
    signature: inspect.Signature, arguments: Mapping[str, Json]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Lay approved arguments out as the positional and keyword arguments of the function."""
    bound = inspect.BoundArguments(signature, dict(arguments))
    return bound.args, bound.kwargs


def _refusal(error: AdmissionError) -> CallRefused:
    return CallRefused(
        f"nothing was sent: an argument is not JSON that can be approved: {error}",
        reason="arguments",
        place=error.place,
    )
