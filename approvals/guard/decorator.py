"""`guarded`, for functions, methods and coroutines, and `use`, which says by which guard."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import threading
import types
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar, cast

from approvals.core.calls import ToolCall
from approvals.guard.arguments import Parameters
from approvals.guard.gate import Guard
from approvals.guard.shapes import awaited, failed, is_coroutine_function, reported

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from approvals.guard.arguments import Frozen
    from approvals.guard.converters import Converter

F = TypeVar("F")

_in_use: ContextVar[Guard | None] = ContextVar("approvals_guard", default=None)


@contextlib.contextmanager
def use(guard: Guard) -> Iterator[Guard]:
    """Check guarded calls in this block (this thread or task) by `guard`."""
    token = _in_use.set(guard)
    try:
        yield guard
    finally:
        _in_use.reset(token)


def guarded(
    *,
    target: str,
    tool: str,
    leave_out: Collection[str] = (),
    converters: Sequence[Converter] = (),
) -> Callable[[F], F]:
    """Let the function run only as the approved call `tool` on `target`.

    `leave_out` names parameters that are no part of the call, such as a context that a framework
    passes in: they are not hashed, shown or approved, and reach the function as they are. The
    object of a method, or the class of a class method, is always left out. `converters` declare how
    further types of arguments are written.

    Put it above `@classmethod` and `@staticmethod`. Raises `TypeError` for a function that cannot
    be guarded, when it is decorated.
    """
    # Said once with no arguments, so that a wrong target or tool is found at import.
    ToolCall(target=target, tool=tool, args={})
    if isinstance(leave_out, str):
        raise TypeError("leave_out is a set of names, and this is one text")
    made = _Guarding(target, tool, frozenset(leave_out), tuple(converters))

    def decorate(function: F) -> F:
        return cast("F", made.wrap(function))

    return decorate


class _Guarding:
    """One use of `guarded`: what it was told, and wrapping what it decorates."""

    def __init__(
        self, target: str, tool: str, leave_out: frozenset[str], converters: tuple[Converter, ...]
    ) -> None:
        self._target = target
        self._tool = tool
        self._leave_out = leave_out
        self._converters = converters

    def wrap(self, function: Any) -> Any:
        if isinstance(function, staticmethod):
            return staticmethod(self.function(function.__func__, receiver=False))
        if isinstance(function, classmethod):
            return _Method(self, function.__func__, of_class=True)
        if _is_in_a_class_body(function):
            return _Method(self, function, of_class=False)
        return self.function(function, receiver=False)

    def function(self, function: Callable[..., Any], *, receiver: bool) -> Callable[..., Any]:
        """The function, guarded; `receiver` says that its first parameter is a method's object."""
        asynchronous = is_coroutine_function(function)
        parameters = Parameters(
            function,
            receiver=receiver,
            leave_out=self._leave_out,
            converters=self._converters,
        )
        wrap = self._async if asynchronous else self._sync
        return wrap(function, parameters)

    def _call(self, frozen: Frozen) -> ToolCall:
        return ToolCall(target=self._target, tool=self._tool, args=frozen.thaw())

    def _sync(self, function: Callable[..., Any], parameters: Parameters) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            frozen = parameters.freeze(args, kwargs)
            call = self._call(frozen)
            guard = _current()
            spent = guard.spend(guard.ask(call), call)
            try:
                positional, named = parameters.lay_out(frozen)
                result = function(*positional, **named)
            except Exception:
                guard.report_error(spent)
                raise
            except BaseException:
                # An interrupt: it ran, it did not finish, and its caller wants to go.
                failed(guard, spent)
                raise
            return reported(guard, spent, result)

        return wrapper

    def _async(self, function: Callable[..., Any], parameters: Parameters) -> Callable[..., Any]:
        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            frozen = parameters.freeze(args, kwargs)
            call = self._call(frozen)
            guard = _current()
            # Two steps: a task that is cancelled while people decide spends nothing.
            token = await guard.ask_async(call)
            spent = await guard.spend_async(token, call)

            async def work() -> Any:
                positional, named = parameters.lay_out(frozen)
                return await function(*positional, **named)

            return await awaited(guard, spent, work())

        return wrapper


class _Method:
    """A guarded function in the body of a class: bound to an object or class, it is a method.

    Only what Python itself binds as the object of a method is left out of the arguments. Called
    without having been bound, as below `@staticmethod`, it has none, and every argument counts.
    """

    def __init__(self, made: _Guarding, function: Callable[..., Any], *, of_class: bool) -> None:
        self._of_class = of_class
        self._bound = _later(lambda: made.function(function, receiver=True))
        self._unbound = _later(lambda: made.function(function, receiver=False))
        functools.update_wrapper(self, function)
        # Found wrong now and not at the first call. What has no parameter can only be static.
        is_coroutine_function(function)
        if inspect.signature(function).parameters:
            self._bound()
        else:
            self._unbound()

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        receiver = owner if self._of_class else instance
        if receiver is None:
            return self._bound()
        return types.MethodType(self._bound(), receiver)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._unbound()(*args, **kwargs)


def _later(make: Callable[[], Callable[..., Any]]) -> Callable[[], Callable[..., Any]]:
    return functools.cache(make)


def _is_in_a_class_body(function: Any) -> bool:
    parent, _, _ = getattr(function, "__qualname__", "").rpartition(".")
    return isinstance(function, types.FunctionType) and bool(parent) and not parent.endswith(">")


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

    def after_fork(self) -> None:
        """A thread of the parent may have held the lock; the guard itself survives a fork."""
        self._lock = threading.Lock()


_environment = _FromEnvironment()


def _after_fork() -> None:
    _environment.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _current() -> Guard:
    return _in_use.get() or _environment.get()
