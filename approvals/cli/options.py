"""Options that several commands share, spelled once so that they mean the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]
Home = Annotated[
    Path | None,
    typer.Option(help="The service's home: keys, database; unset: ASSENT_HOME.", file_okay=False),
]
Url = Annotated[str | None, typer.Option(help="The service's address; unset: ASSENT_URL.")]
Tenant = Annotated[str, typer.Option(help="The tenant.", hidden=True)]
EnforcerKey = Annotated[
    Path | None,
    typer.Option("--key", help="The enforcer's private key (a JWK file).", dir_okay=False),
]
EnforcerId = Annotated[
    str | None, typer.Option("--enforcer", help="The enforcer's id, as in enforcers.yaml.")
]
BundleFolder = Annotated[Path, typer.Argument(help="The bundle's folder.", metavar="DIR")]
