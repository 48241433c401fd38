"""The service put together: settings, keys, database, routes, pages, jobs.

`approvals.api.server` serves it; nothing is opened when this module is imported. What cannot be
opened stops the start with its reason, before a port is bound.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Final

from fastapi import FastAPI

from approvals import api, web
from approvals.api.account import Accounts, Routed
from approvals.api.connections import most_connections
from approvals.api.edge import Edge
from approvals.config import Settings, load
from approvals.flow.integrity.introduce import introduce
from approvals.flow.integrity.rounds import read_back
from approvals.flow.operating.opening import open_service
from approvals.flow.people.enrol import require_authenticators
from approvals.integrations import connect
from approvals.logs import configure_logs
from approvals.workers.delivery import Delivery
from approvals.workers.jobs import Jobs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from approvals.flow.service import Service
    from approvals.integrations.slack.socket import SlackSocket

SWITCH_SECONDS: Final = 0.0005
_DESCRIPTION = (
    "Out-of-band human approval for AI agents: a call is submitted, decided by policy and by "
    "people, and returned as a signed approval of exactly that call, to be verified and spent."
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """Open everything and return the application; it closes what it opened when it is shut down.

    Raises:
        AssentError: a setting is wrong, a key cannot be read, the database cannot be opened.
    """
    configure_logs()
    # A thread that waited for the database takes its turn back sooner: with the default of 5 ms,
    # each of a transaction's statements waits behind whatever computes meanwhile.
    sys.setswitchinterval(SWITCH_SECONDS)
    settings = settings or load()
    require_authenticators(settings, now=int(time.time()))
    service = open_service(settings, now=int(time.time()), serving=True)
    read_back(service)
    introduce(service)
    return build_app(service)


def build_app(service: Service, *, jobs: bool = True) -> FastAPI:
    """The application over an open service, which it closes when it is shut down."""
    # Made here, so that a channel that cannot be stops the start.
    channels = connect.channels(service) if jobs else []

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        work: list[Jobs | Delivery | SlackSocket] = []
        if jobs:
            work = [Jobs(service), Delivery(service, channels)]
            socket = connect.socket(service)
            if socket is not None:
                work.append(socket)
        room.waiting.start()
        for each in work:
            each.start()
        try:
            yield
        finally:
            room.waiting.stop()
            for each in reversed(work):
                each.stop()
            service.store.close()

    app = FastAPI(
        title="Assent",
        version="1",
        description=_DESCRIPTION,
        lifespan=lifespan,
        # The interactive pages load scripts from elsewhere, on the origin where people sign.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(Routed)
    room = api.mount(app, service)
    web.mount(app, service, streams=most_connections(service.settings) // 8)
    connect.mount(app, service)
    # The later stands around the earlier.
    app.add_middleware(Edge, origin=service.settings.url, max_bytes=service.settings.max_bytes)
    app.add_middleware(Accounts, metrics=room.metrics)

    def leave() -> None:
        room.waiting.leave()
        app.state.web.hub.leave()

    app.state.leave = leave  # for the server, before it waits for those who wait
    return app
