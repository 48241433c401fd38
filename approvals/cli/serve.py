"""`assent serve`: the service in one process, pages and API on one address.

What holds: plain http is refused on anything but this machine, before a port is bound; what cannot
be opened stops the start with its place and its code; Ctrl-C and SIGTERM end in order.
"""

import contextlib
import os
import socket
import sys
from typing import Annotated, Final

import typer

from approvals.api.server import Server
from approvals.app import create_app
from approvals.cli.options import AsJson, Home, Url
from approvals.cli.output import EPILOG, emit, out, plain
from approvals.config import Settings, load
from approvals.core.errors import AssentError
from approvals.keys.files import is_initialised

BACKLOG: Final = 2048


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(serve)


def serve(
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port to listen on.")] = None,
    home: Home = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Run the service: one process, pages and API on one address. Ctrl-C stops it in order."""
    settings = load(home=home, url=url, host=host, port=port)
    with _listening(settings) as listening:
        new = not is_initialised(settings.home / "keys")
        server = Server(create_app(settings), settings)
        value = {
            "url": settings.url,
            "host": settings.host,
            "port": settings.listen_port,
            "home": str(settings.home),
            "new_home": new,
        }

        def draw() -> None:
            if new:  # who meant another one, and misspelt it, has to notice
                home = f"New home: {settings.home}, with new keys and an empty database"
                out.print(plain(home), soft_wrap=True)
            address = f"{settings.host}:{settings.listen_port}"
            out.print(plain(f"Assent serves {settings.url} from {address}"), soft_wrap=True)

        emit(value, draw, as_json=as_json)
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):  # raised again after everything has ended
            server.run(sockets=[listening])


def _why(wrong: OSError) -> str:
    # The socket module adds the address to the system's words; the place says it already.
    code = wrong.errno or 0  # an unknown name has a number of its own kind, below zero
    return os.strerror(code) if code > 0 else wrong.strerror or str(wrong)


def _listening(settings: Settings) -> socket.socket:
    """The port, taken before anything is opened, so that a second service ends here."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server(
            (settings.host, settings.listen_port), family=family, backlog=BACKLOG
        )
    except OSError as wrong:
        raise AssentError(
            f"cannot listen here: {_why(wrong)}",
            code="address",
            place=f"{settings.host}:{settings.listen_port}",
        ) from wrong
