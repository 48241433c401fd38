"""What a client does, said as steps that do no I/O, so that it is said once for both ways to do it.

A plan is a generator: it yields what to send and how long to pause, is given the answer or the
error, and returns its result. `drive` performs a plan by blocking, `drive_async` on an event loop,
where a plan that waits for people holds a connection and no thread.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

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


def drive(plan: Plan[T], perform: Callable[[Step], bytes]) -> T:
    """Perform the steps of a plan one after the other and return its result."""
    answer: bytes | AssentError = b""
    started = False
    try:
        while True:
            try:
                if isinstance(answer, AssentError):
                    step = plan.throw(answer)
                else:
                    step = plan.send(answer) if started else next(plan)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            started = True
            try:
                answer = perform(step)
            except AssentError as error:
                answer = error
    finally:
        plan.close()


async def drive_async(plan: Plan[T], perform: Callable[[Step], Awaitable[bytes]]) -> T:
    """Perform the steps of a plan on the running event loop and return its result."""
    answer: bytes | AssentError = b""
    started = False
    try:
        while True:
            try:
                if isinstance(answer, AssentError):
                    step = plan.throw(answer)
                else:
                    step = plan.send(answer) if started else next(plan)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            started = True
            try:
                answer = await perform(step)
            except AssentError as error:
                answer = error
    finally:
        plan.close()
