"""When a guarded call has ended, for functions that return work which runs later.

An outcome is reported when the call has run. A function may return a coroutine, a generator or a
future, even if it is not declared so. Then the outcome is reported when that work has ended.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
import types
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from approvals.guard.aftermath import aftermath

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator

    from approvals.guard.gate import Guard, Spent


def is_coroutine_function(function: Any) -> bool:
    """Whether calling this gives a coroutine: also through a partial or an object's `__call__`.

    Raises `TypeError` for a generator, also behind a decorator: its effects come after it has
    returned, and may never come.
    """
    for layer in _layers(function):
        if inspect.isgeneratorfunction(layer) or inspect.isasyncgenfunction(layer):
            raise TypeError(f"{function!r} is a generator: its effects come after it has returned")
    return inspect.iscoroutinefunction(_called(function))


def reported(guard: Guard, spent: Spent, result: Any) -> Any:
    """The result of a call, reported as soon as the work that it stands for has ended.

    Looks only at the type of the result, which cannot answer with code of its own.
    """
    kind = type(result)
    if issubclass(kind, types.GeneratorType):
        return _iterated(guard, spent, result)
    if issubclass(kind, types.AsyncGeneratorType):
        return _iterated_async(guard, spent, result)
    if issubclass(kind, (asyncio.Future, concurrent.futures.Future)):
        result.add_done_callback(functools.partial(_done, guard, spent))
        return result
    if issubclass(kind, Awaitable):
        return awaited(guard, spent, result)
    guard.report_ok(spent, result)
    return result


async def awaited(guard: Guard, spent: Spent, work: Awaitable[Any]) -> Any:
    """Await work and report how it ended."""
    try:
        result = await work
    except Exception:
        await guard.report_error_async(spent)
        raise
    except BaseException:
        # A task that is cancelled goes at once.
        failed(guard, spent)
        raise
    await guard.report_ok_async(spent, result)
    return result


def failed(guard: Guard, spent: Spent) -> None:
    """Have the guard's own thread report that the call was cut short."""
    aftermath.leave(f"reporting the outcome of {spent.jti}", lambda: guard.report_error(spent))


def _iterated(
    guard: Guard, spent: Spent, work: Generator[Any, Any, Any]
) -> Generator[Any, Any, Any]:
    try:
        result = yield from work
    except Exception:
        guard.report_error(spent)
        raise
    except BaseException:
        # Closed early, perhaps by the garbage collector, which must not wait for the service.
        failed(guard, spent)
        raise
    guard.report_ok(spent, result)
    return result


async def _iterated_async(
    guard: Guard, spent: Spent, work: AsyncGenerator[Any, Any]
) -> AsyncGenerator[Any, Any]:
    try:
        item = await work.asend(None)
        while True:
            try:
                sent = yield item
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001 - thrown in: the function's own to handle
                item = await work.athrow(error)
            else:
                item = await work.asend(sent)
    except StopAsyncIteration:
        pass
    except BaseException:
        failed(guard, spent)
        raise
    finally:
        await work.aclose()
    await guard.report_ok_async(spent, None)


def _done(guard: Guard, spent: Spent, work: Any) -> None:
    cut_short = work.cancelled() or work.exception() is not None
    report = guard.report_error if cut_short else None

    def act() -> None:
        if report is not None:
            report(spent)
        else:
            guard.report_ok(spent, work.result())

    # A callback of an event loop or of somebody's pool: neither waits for the service.
    aftermath.leave(f"reporting the outcome of {spent.jti}", act)


def _layers(function: Any) -> Iterator[Any]:
    """A function and all that it is known to stand for, outermost first."""
    seen: set[int] = set()
    while function is not None and id(function) not in seen:
        seen.add(id(function))
        yield function
        inner = getattr(function, "__wrapped__", None)
        called = _inner(function)
        if inner is not None and called is not None:
            yield from _layers(called)
        function = called if inner is None else inner


def _called(function: Any) -> Any:
    """The function whose code runs when this is called."""
    while (inner := _inner(function)) is not None:
        function = inner
    return function


def _inner(function: Any) -> Any:
    if isinstance(function, functools.partial):
        return function.func
    if inspect.ismethod(function):
        return function.__func__
    if inspect.isroutine(function) or isinstance(function, type):
        return None
    call = getattr(type(function), "__call__", None)  # noqa: B004 - the function itself is wanted
    return call if inspect.isfunction(call) else None
