"""The JSON routes that enforcers use, and the public ones: keys, configuration, the log.

Bytes come in through `edge`, callers are known by `caller`, bodies are read by `bodies` into the
types of `wire`, and a use case of `approvals.flow` does the work. No decision is made in this room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.api import (
    approvals,
    calls,
    health,
    openapi,
    problems,
    published,
    requests,
    transparency,
)
from approvals.api.caller import Callers
from approvals.api.connections import most_connections
from approvals.api.edge import Edge
from approvals.api.metrics import Metrics
from approvals.api.metrics import router as metrics_router
from approvals.api.readiness import Readiness
from approvals.api.routes import Room
from approvals.api.waiting import Waiting

if TYPE_CHECKING:
    from fastapi import FastAPI

    from approvals.flow.service import Service

__all__ = ["ROUTED", "Edge", "Room", "mount"]

ROUTED = (calls, requests, approvals, published, transparency, health)


def mount(app: FastAPI, service: Service) -> Room:
    """Add the routes and the one way of saying no.

    The caller starts and stops `Room.waiting` with the event loop that serves the application.
    """
    # What is left of the connections is for everybody else's requests.
    waiting = Waiting(service, total=most_connections(service.settings) * 3 // 4)
    room = Room(
        service=service,
        callers=Callers(service),
        waiting=waiting,
        readiness=Readiness(service),
        metrics=Metrics(service, waiting),
    )
    app.state.api = room
    problems.install(app)
    app.include_router(metrics_router)
    for module in ROUTED:
        app.include_router(module.router)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]  # FastAPI's own way
    return room
