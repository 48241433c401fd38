"""`assent evidence`: all that an auditor needs about one call, in one file, for `assent verify`."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from approvals.cli import local, remote
from approvals.cli.options import AsJson, EnforcerId, EnforcerKey, Home, Tenant, Url
from approvals.cli.output import EPILOG, emit, out, plain
from approvals.core.errors import AssentError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(evidence)


def evidence(
    subject: Annotated[
        str, typer.Argument(help="The request (req_…) or verdict (vrd_…).", metavar="REQUEST")
    ],
    *,
    file: Annotated[Path, typer.Option("--out", help="Where the evidence goes.", dir_okay=False)],
    enforcer: EnforcerId = None,
    key: EnforcerKey = None,
    url: Url = None,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Get the evidence of a call that an enforcer submitted, for `assent verify`.

    With --key it asks the service at --url in the name of --enforcer; without, it reads the home
    and finds the enforcer itself.
    """
    if key is not None:
        with remote.client(url=url, enforcer=enforcer, key=key, tenant=tenant) as client:
            try:
                raw = client.evidence(subject)
            except ValueError as wrong:
                raise AssentError("this is no id", code="not_found", place=subject) from wrong
    else:
        from approvals.flow.auditing.evidence import evidence_of

        with local.service(home) as service:
            raw = orjson.dumps(
                evidence_of(service, tenant=tenant, subject=subject, enforcer=enforcer)
            )
    file.write_bytes(raw)
    value = {"subject": subject, "file": str(file), "bytes": len(raw)}
    emit(value, lambda: out.print(plain(f"{file}: {len(raw)} bytes")), as_json=as_json)
