"""`assent token`: a bearer token for curl, signed with an enforcer's key."""

import time
from pathlib import Path
from typing import Annotated

import typer

from approvals.cli import files, remote
from approvals.cli.options import AsJson, Tenant
from approvals.cli.output import EPILOG, emit
from approvals.client import mint_token


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(token)


def token(
    *,
    key: Annotated[
        Path, typer.Option(help="The enforcer's private key (a JWK file).", dir_okay=False)
    ],
    enforcer: Annotated[str, typer.Option(help="The enforcer's id, as in enforcers.yaml.")],
    audience: Annotated[
        str | None, typer.Option(help="The service's address; unset: ASSENT_URL.")
    ] = None,
    tenant: Tenant = "default",
    as_json: AsJson = False,
) -> None:
    """Print a bearer token for curl; it lives five minutes and names one enforcer.

    Example: curl -H "Authorization: Bearer $(assent token --key k.json --enforcer gw)" …
    """
    service = remote.address(audience, option="--audience")
    minted = mint_token(
        enforcer=enforcer,
        key=files.read_secret_object(key),
        audience=service,
        now=int(time.time()),
        tenant=tenant,
    )
    value = {"token": minted, "audience": service, "enforcer": enforcer}
    # Plain echo: a token that rich wrapped at 80 columns would not be a token.
    emit(value, lambda: typer.echo(minted), as_json=as_json)
