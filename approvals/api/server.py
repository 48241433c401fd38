"""The one server that Assent is served with: uvicorn, limits on connections, an orderly end.

What holds:
1. Each limit on what a stranger can make the process hold is set here, none by the environment of
   a library: connections, heads (`approvals.api.protocol`), times, and whose word is taken for the
   address of a caller (`trusted_proxies`, no other `X-Forwarded-For`).
2. When the service is stopped, callers that wait for people are answered 503 at once and pages'
   streams end; what is being done may take `grace` seconds more. What is then not answered gets
   a 503 that says whether it may have been done. Nobody gets half an answer or another format.
3. A second signal ends the process at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Final

import uvicorn

from approvals.api.connections import Connections
from approvals.api.protocol import BoundedProtocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import FrameType

    from fastapi import FastAPI
    from starlette.types import Receive, Scope, Send

    from approvals.config import Settings

GRACE: Final = 2.0
_LOOK: Final = 0.02
_LAST: Final = 0.5
"""Seconds for answers that were given up to leave the process."""


class Server(uvicorn.Server):
    """Serves one application until it is told to stop."""

    def __init__(self, app: FastAPI, settings: Settings, *, grace: float = GRACE) -> None:
        """Prepare to serve `app`, whose `state.leave` lets go of callers that wait."""
        self._app = app
        self._grace = grace
        self._leave: Callable[[], None] = app.state.leave
        super().__init__(
            uvicorn.Config(
                self._answer,
                loop="uvloop",
                http=BoundedProtocol,
                ws="none",
                lifespan="on",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=True,
                forwarded_allow_ips=list(settings.proxies),
                timeout_keep_alive=settings.keep_alive,
            )
        )
        self.server_state = Connections(settings)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            # Its caller has been answered by `give_up`; uvicorn would log a traceback.
            if not self.should_exit:
                raise

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop in order; on a second signal at once, as if the signal were not handled."""
        if self.should_exit:
            signal.signal(sig, signal.SIG_DFL)
            os.kill(os.getpid(), sig)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End in order: no new connection, whoever waits is answered, what is done is finished."""
        for server in self.servers:
            server.close()
        for each in sockets or []:
            each.close()
        self._leave()
        for connection in tuple(self.server_state.connections):
            connection.shutdown()
        await self._finished(within=self._grace)
        for connection in tuple(self.server_state.connections):
            if isinstance(connection, BoundedProtocol):
                connection.give_up()
        await self._finished(within=_LAST)
        for task in tuple(self.server_state.tasks):
            task.cancel()
        await self.lifespan.shutdown()

    async def _finished(self, *, within: float) -> None:
        end = asyncio.get_running_loop().time() + within
        while self.server_state.connections or self.server_state.tasks:
            if asyncio.get_running_loop().time() >= end:
                return
            await asyncio.sleep(_LOOK)
