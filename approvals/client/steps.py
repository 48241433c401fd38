"""What a client does, as steps that do no I/O: one text for blocking callers and coroutines.

A plan is a generator: it yields what to send and how long to pause, is given the answer or the
error, and returns its result. `drive` performs a plan by blocking, `drive_async` on an event loop,
where a plan that waits for people holds a connection and no thread.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

from approvals.core.errors import AssentError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from approvals.core.canonical import Json

T = TypeVar("T")

MAX_ANSWER: Final = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """One request to the service; its answer is the body of a response of an `expected` status.

    `hold` is for how many seconds the service may hold it, `answer_within` how many seconds it has
    beyond that, `limit` how many bytes are read, and `named` whether the enforcer says who it is.
    """

    method: str
    path: str
    expected: tuple[int, ...] = (200,)
    body: Mapping[str, Json] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    hold: float = 0.0
    limit: int = MAX_ANSWER
    answer_within: float = 20.0
    named: bool = True


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for so many seconds; its answer is empty."""

    seconds: float


Step: TypeAlias = Send | Pause
Plan: TypeAlias = Generator[Step, bytes, T]


@dataclass(frozen=True, slots=True)
class _Result(Generic[T]):
    """What a plan returned."""

    value: T


def _advance(plan: Plan[T], answer: bytes | AssentError | None) -> Step | _Result[T]:
    """Give a plan the answer to its last step (None before the first); the next step or its end."""
    try:
        if answer is None:
            return next(plan)
        return plan.throw(answer) if isinstance(answer, AssentError) else plan.send(answer)
    except StopIteration as done:
        return _Result(done.value)


def drive(plan: Plan[T], perform: Callable[[Step], bytes]) -> T:
    """Perform the steps of a plan one after the other and return its result."""
    answer: bytes | AssentError | None = None
    try:
        while not isinstance(step := _advance(plan, answer), _Result):
            try:
                answer = perform(step)
            except AssentError as error:
                answer = error
        return step.value
    finally:
        plan.close()


async def drive_async(plan: Plan[T], perform: Callable[[Step], Awaitable[bytes]]) -> T:
    """Perform the steps of a plan on the running event loop and return its result."""
    answer: bytes | AssentError | None = None
    try:
        while not isinstance(step := _advance(plan, answer), _Result):
            try:
                answer = await perform(step)
            except AssentError as error:
                answer = error
        return step.value
    finally:
        plan.close()
