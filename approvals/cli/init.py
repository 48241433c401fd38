"""`assent init`: a home is made, with keys, a database and perhaps the first bundle.

What holds: it may be run again at any time, makes what is missing and changes nothing that is
there; a bundle that is not in order is refused before anything is made.
"""

from pathlib import Path
from typing import Annotated

import typer

from approvals.cli import bundle, local
from approvals.cli.options import AsJson, Home, Url
from approvals.cli.output import EPILOG, emit, out, plain
from approvals.config import load
from approvals.flow.integrity.introduce import introduce
from approvals.flow.operating import activate
from approvals.flow.operating.opening import open_service
from approvals.flow.service import DEFAULT_TENANT


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(init)


def init(
    *,
    home: Home = None,
    url: Url = None,
    bundle_folder: Annotated[
        Path | None,
        typer.Option("--bundle", help="A bundle to check, test and activate.", file_okay=False),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(help="The person who activates the bundle; needed with --bundle."),
    ] = None,
    move: Annotated[
        bool,
        typer.Option(
            "--move", help="The address has changed: enrolled passkeys of the former are lost."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the home: keys, database, and optionally the first bundle. May be run again."""
    if bundle_folder is not None and by is None:
        raise typer.BadParameter("--bundle needs --by PERSON: who activates it")
    settings = load(home=home, url=url)
    checked = None if bundle_folder is None else bundle.tested(bundle_folder, as_json=as_json)
    service = open_service(settings, now=local.now(), move=move)
    keys = service.keys
    try:
        introduce(service)
        version = (
            None
            if checked is None or by is None
            else activate.activate(service, tenant=DEFAULT_TENANT, files=checked.files, by=by)
        )
        short = () if version is None else activate.left_short(service, DEFAULT_TENANT)
    finally:
        service.store.close()
    value = {
        "home": str(settings.home),
        "url": settings.url,
        "log_key": keys.vkey,
        "bundle": version,
        "warnings": bundle.warnings(short),
    }

    def draw() -> None:
        out.print(plain(f"Home:    {settings.home}"))
        out.print(plain(f"Address: {settings.url}"))
        out.print(plain(f"Log key: {keys.vkey}"), soft_wrap=True)
        if version is not None:
            out.print(plain(f"Bundle:  {version}"))
        bundle.draw_short(short)
        out.print("\nNext:")
        if version is None:
            out.print(
                "  assent bundle activate DIR --by PERSON    say who exists and what may happen"
            )
        out.print("  assent people invite PERSON               a link to enrol a passkey with")
        out.print("  assent serve                              run the service")

    emit(value, draw, as_json=as_json)
