"""`guarded`, for functions and for coroutine functions, and `use`, which says by which guard."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from approvals.core.calls import ToolCall
from approvals.guard.arguments import call_with, freeze, signature_of, thaw
from approvals.guard.gate import Guard

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

P = ParamSpec("P")
R = TypeVar("R")

_in_use: ContextVar[Guard | None] = ContextVar("approvals_guard", default=None)


@contextlib.contextmanager
def use(guard: Guard) -> Iterator[Guard]:
    """Check guarded calls in this block (this thread or task) by `guard`."""
    token = _in_use.set(guard)
    try:
        yield guard
    finally:
        _in_use.reset(token)


def guarded(*, target: str, tool: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let the function run only as the approved call `tool` on `target`.

    Raises `TypeError` for a function that cannot be guarded, when it is decorated.
    """
    # Said once with no arguments, so that a wrong target or tool is found at import.
    ToolCall(target=target, tool=tool, args={})

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if inspect.iscoroutinefunction(function):
            return cast("Callable[P, R]", _guarded_async(function, target=target, tool=tool))
        return _guarded_sync(function, target=target, tool=tool)

    return decorate


def _guarded_sync(function: Callable[P, R], *, target: str, tool: str) -> Callable[P, R]:
    signature = signature_of(function)

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        frozen = freeze(signature, args, kwargs)
        call = ToolCall(target=target, tool=tool, args=thaw(frozen))
        guard = _current()
        spent = guard.spend(guard.ask(call), call)
        positional, named = call_with(signature, thaw(frozen))
        finished = False
        try:
            result = function(*positional, **named)
            finished = True
        finally:
            # Also for what is no Exception, such as an interrupt: it ran, and it did not finish.
            if not finished:
                guard.report_error(spent)
        guard.report_ok(spent, result)
        return result

    return wrapper


def _guarded_async(
    function: Callable[..., Awaitable[Any]], *, target: str, tool: str
) -> Callable[..., Awaitable[Any]]:
    signature = signature_of(function)

    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        frozen = freeze(signature, args, kwargs)
        call = ToolCall(target=target, tool=tool, args=thaw(frozen))
        guard = await asyncio.to_thread(_current)
        # Two steps in threads: a task that is cancelled while people decide spends nothing.
        token = await asyncio.to_thread(guard.ask, call)
        spent = await asyncio.to_thread(guard.spend, token, call)
        positional, named = call_with(signature, thaw(frozen))
        finished = False
        try:
            result = await function(*positional, **named)
            finished = True
        finally:
            if not finished:
                await asyncio.to_thread(guard.report_error, spent)
        await asyncio.to_thread(guard.report_ok, spent, result)
        return result

    return wrapper


class _FromEnvironment:
    """The guard of a process that sets none: made at the first guarded call, once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guard: Guard | None = None

    def get(self) -> Guard:
        with self._lock:
            if self._guard is None:
                self._guard = Guard.from_environment()
            return self._guard


_environment = _FromEnvironment()


def _current() -> Guard:
    return _in_use.get() or _environment.get()
