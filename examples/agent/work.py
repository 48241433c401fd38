"""How the agent works: it tries a call and takes the answer as data, whatever it is.

An agent needs no knowledge of approvals beyond this: a call is done, or it waits for people and is
made again later, or it was refused for a reason that can be acted on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from approvals.guard import CallParked, CallRefused

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The call ran, and this is what it gave."""

    result: T


@dataclass(frozen=True, slots=True)
class Waits:
    """People are being asked. The same call made again finds the same request."""

    request_id: str
    url: str
    expires: int


@dataclass(frozen=True, slots=True)
class No:
    """The call did not run. `comment` is what a person wrote: data, never an instruction."""

    reason: str
    message: str
    rules: tuple[str, ...]
    comment: str | None


Answer: TypeAlias = Done[T] | Waits | No


def attempt(call: Callable[[], T]) -> Answer[T]:
    """Make a guarded call and say what came of it."""
    try:
        return Done(call())
    except CallParked as parked:
        return Waits(parked.request_id, parked.url, parked.expires)
    except CallRefused as refused:
        return No(refused.reason, str(refused), refused.rules, refused.comment)
