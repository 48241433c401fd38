"""Pages hear that something changed, without a reload.

A server-sent event says only that a page should look again: no id, no state, no payload, so the
stream can leak nothing that the page itself would not show. What changed is then fetched as the
page, through the same checks as any visit.

What holds: a waiting browser costs no thread and asks the database nothing; many changes in a
short time are one event; whoever falls behind misses no last change, since what waits is a flag
and not a queue. A person has at most `EACH` streams, and all people together have a limit of which
each has a share (`approvals.flow.places`); both are exact, however many come at one moment.
Standard: server-sent events, WHATWG HTML.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from approvals.flow.acting.session import Session
from approvals.flow.deciding import look
from approvals.flow.places import Places
from approvals.web.paths import ID
from approvals.web.session import service_of, signed_in

HEARTBEAT = 20.0  # seconds; below the idle limit of every common proxy
LIFE = 600.0  # seconds; then the browser comes back, and its session is looked at again
QUIET = 0.25  # seconds; changes closer together are one event
EACH = 16  # streams of one person: tabs, not a flood


@dataclass(eq=False, slots=True)
class _Ear:
    """One open stream: the topic it is about, whether something came."""

    topic: str
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """Wakes the streams of this process when the store tells of a commit."""

    def __init__(
        self, listen: Callable[[Callable[[str], None]], Callable[[], None]], *, total: int
    ) -> None:
        self.places: Places[tuple[str, str]] = Places(
            total, each=EACH, code="too_many_streams", message="too many open pages"
        )
        self._ears: set[_Ear] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leaving = False
        listen(self._heard)  # for as long as the application lives

    def _heard(self, topic: str) -> None:
        # Called from any thread, with the writer's lock held on SQLite: only pass it on.
        loop = self._loop
        if loop is not None and self._ears:
            with contextlib.suppress(RuntimeError):  # the loop has just been closed
                loop.call_soon_threadsafe(self._wake, topic)

    def _wake(self, topic: str) -> None:
        for ear in self._ears:
            # An empty topic means that something may have been missed: everyone looks.
            if topic in {"", ear.topic}:
                ear.changed.set()

    async def stream(self, topic: str) -> AsyncIterator[str]:
        """The events for one browser, as text/event-stream."""
        self._loop = asyncio.get_running_loop()
        ear = _Ear(topic)
        self._ears.add(ear)
        try:
            yield "retry: 2000\n\n"
            end = self._loop.time() + LIFE
            while not self._is_leaving() and (left := end - self._loop.time()) > 0:
                try:
                    await asyncio.wait_for(ear.changed.wait(), min(HEARTBEAT, left))
                except TimeoutError:
                    yield ":\n\n"  # finds out that a browser has gone
                    continue
                if self._is_leaving():
                    return
                await asyncio.sleep(QUIET)
                ear.changed.clear()
                yield "event: changed\ndata: 1\n\n"
        finally:
            self._ears.discard(ear)

    def _is_leaving(self) -> bool:
        return self._leaving

    def leave(self) -> None:
        """End every stream, as the service stops; the browsers come back to what follows it."""
        self._leaving = True
        for ear in self._ears:
            ear.changed.set()


class _Stream(StreamingResponse):
    """A stream that holds a place from before its first byte until after its last."""

    def __init__(self, hub: Hub, session: Session, topic: str) -> None:
        super().__init__(
            hub.stream(topic),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )
        self._place = hub.places.take((session.tenant, session.person))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or raise Unavailable (`too_many_streams`) before anything is sent."""
        with self._place:
            await super().__call__(scope, receive, send)


router = APIRouter(include_in_schema=False)


@router.get("/live")
async def live(
    request: Request,
    session: Annotated[Session, Depends(signed_in)],
    about: Annotated[str | None, Query(alias="request", pattern=ID)] = None,
) -> Response:
    """Tell of changes to one request that the person may see, or to any that concerns them."""
    topic = f"person:{session.person}"
    if about is not None:
        # A foreign id is the same 404 here as on its page.
        await run_in_threadpool(look.request, service_of(request), session, about)
        topic = about
    hub: Hub = request.app.state.web.hub
    return _Stream(hub, session, topic)
