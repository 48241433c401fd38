"""Callers that hold a connection until their request is decided.

A waiting caller costs a future and a few kilobytes: no thread, and no question to the database
until something happened to its request. The store tells of every commit; the word is passed to the
event loop, the request is read once for all who wait for it, and they are answered.

What holds:
1. No wake-up is lost: a caller is registered first and the request is read afterwards.
2. A wait ends when it is decided, when the wait or the request's own time is over, or when the
   caller has gone; each of these frees the place.
3. Several callers that wait for one request cost one read.
4. No enforcer can take all places: each has a share (`approvals.flow.places`). Who finds none is
   told 503 `too_many_waiting`, not an early "pending", which would be asked again at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
import anyio.to_thread

from approvals.core.errors import AssentError, Unavailable
from approvals.core.requests import State
from approvals.flow.places import Places
from approvals.flow.status import RequestStatus, status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import Receive

    from approvals.flow.acting.caller import Caller
    from approvals.flow.service import Service

MAX_WAIT: Final = 60
_READERS: Final = 8
LOOK_SECONDS: Final = 25.0
"""A caller looks by itself after about this time, in case that a word was lost on the way."""

_LATE: Final = 1.0
"""How long to wait for a request's end when our clock says that it should have come already."""


_Key: TypeAlias = "tuple[Caller, str]"


@dataclass(eq=False, slots=True)
class _Place:
    """All who wait for one request of one caller.

    The same enforcer with another key is another caller: one of the keys may be taken away.
    """

    caller: Caller
    request_id: str
    futures: set[asyncio.Future[RequestStatus]] = field(default_factory=set)
    reading: asyncio.Task[None] | None = None
    again: bool = False


class Waiting:
    """The places of one process. Used from one event loop; woken from any thread."""

    def __init__(self, service: Service, *, total: int) -> None:
        """Prepare for `total` callers; `start` begins to listen."""
        self._service = service
        self._shares: Places[tuple[str, str]] = Places(
            total,
            code="too_many_waiting",
            message="too many callers of this enforcer wait for decisions; ask again",
        )
        self._places: dict[_Key, _Place] = {}
        self._by_request: dict[str, set[_Key]] = {}
        self._leaving = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Callable[[], None] | None = None
        self._limiter: anyio.CapacityLimiter | None = None

    def start(self) -> None:
        """Listen to the store, on the running loop."""
        self._leaving = False
        self._loop = asyncio.get_running_loop()
        # Its own few threads: a flood of submissions must not hold back those who wait.
        self._limiter = anyio.CapacityLimiter(_READERS)
        self._stop = self._service.store.listen(self._heard)

    def stop(self) -> None:
        """Listen no more."""
        if self._stop is not None:
            self._stop()
            self._stop = None
        self._loop = None
        self.leave()

    def leave(self) -> None:
        """Let go of all who wait: they ask again, and another process answers. None may wait now.

        Each gets 503 `stopping`.
        """
        self._leaving = True
        for place in tuple(self._places.values()):
            for future in place.futures:
                future.cancel()

    @property
    def parked(self) -> int:
        """How many callers wait."""
        return self._shares.taken

    async def read(self, caller: Caller, request_id: str) -> RequestStatus:
        """The status of a request, read in a thread."""
        return await anyio.to_thread.run_sync(
            status, self._service, caller, request_id, limiter=self._limiter
        )

    async def until_decided(
        self, caller: Caller, request_id: str, *, seconds: float, receive: Receive
    ) -> RequestStatus:
        """The status once it is not pending, or as it is when `seconds` are over.

        Raises:
            NotFound: it is not a request of this caller.
            Unavailable: the enforcer has its share of places (`too_many_waiting`), or the service
                stops (`stopping`).
        """
        if seconds <= 0:
            return await self.read(caller, request_id)
        if self._leaving:
            raise _stopping()
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            with (
                self._shares.take((caller.tenant, caller.enforcer)),
                self._parking(caller, request_id) as decided,
            ):
                # 1. Registered, so read now: whatever is decided from here on wakes us.
                found = await self.read(caller, request_id)
                while found.state is State.PENDING and (left := end - loop.time()) > 0:
                    # Expiry is a condition on the clock: nobody announces it.
                    expiry = max(found.expires - time.time(), _LATE)
                    ends: set[asyncio.Future[Any]] = {decided, gone}
                    await asyncio.wait(
                        ends,
                        timeout=min(left, expiry, LOOK_SECONDS * random.uniform(0.8, 1.2)),  # noqa: S311 - spreads them
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                    if decided.cancelled():
                        raise _stopping()
                    if gone.done():
                        break  # nobody listens any more
                    found = (
                        decided.result() if decided.done() else await self.read(caller, request_id)
                    )
                return found
        finally:
            gone.cancel()

    @contextlib.contextmanager
    def _parking(self, caller: Caller, request_id: str) -> Iterator[asyncio.Future[RequestStatus]]:
        key = (caller, request_id)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = _Place(caller, request_id)
            self._by_request.setdefault(request_id, set()).add(key)
        future: asyncio.Future[RequestStatus] = asyncio.get_running_loop().create_future()
        place.futures.add(future)
        try:
            yield future
        finally:
            place.futures.discard(future)
            if not future.cancel() and not future.cancelled():
                future.exception()  # looked at, or asyncio would complain that nobody did
            if not place.futures and self._places.get(key) is place:
                del self._places[key]
                keys = self._by_request[request_id]
                keys.discard(key)
                if not keys:
                    del self._by_request[request_id]

    def _heard(self, topic: str) -> None:
        """Pass on what the store tells, from whichever thread it tells it."""
        loop = self._loop
        # "" means that something may have been missed: everybody looks.
        if loop is not None and (not topic or topic in self._by_request):
            with contextlib.suppress(RuntimeError):  # the loop was closed a moment ago
                loop.call_soon_threadsafe(self._wake, topic)

    def _wake(self, topic: str) -> None:
        keys = self._by_request.get(topic, set()) if topic else set(self._places)
        for key in tuple(keys):
            place = self._places[key]
            if place.reading is None:
                place.reading = asyncio.ensure_future(self._tell(place))
            else:
                # That reading may have begun before this commit.
                place.again = True

    async def _tell(self, place: _Place) -> None:
        """Read a request once and answer all who wait for it, if it is decided."""
        try:
            while True:
                place.again = False
                try:
                    found = await self.read(place.caller, place.request_id)
                except AssentError as error:
                    for future in place.futures:
                        if not future.done():
                            future.set_exception(error)
                    return
                if found.state is not State.PENDING:
                    for future in place.futures:
                        if not future.done():
                            future.set_result(found)
                    return
                if not place.again:
                    return
        finally:
            place.reading = None


def _stopping() -> Unavailable:
    return Unavailable("the service is being stopped; ask again", code="stopping")


async def _disconnected(receive: Receive) -> None:
    """Return when the caller has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
