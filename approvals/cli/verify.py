"""`assent verify` and `assent evidence`: check a decision with nothing but pinned keys.

What holds: `verify` opens no connection and reads no database; what it trusts is what the person
named on the command line. A verdict is printed step by step, and the first step that fails says
where in the file.
"""

from pathlib import Path
from typing import Annotated

import typer

from approvals.cli import files, remote
from approvals.cli.options import AsJson, EnforcerId, EnforcerKey, Tenant, Url
from approvals.cli.output import EPILOG, emit, finding, out, plain, table
from approvals.core import evidence_file
from approvals.core.evidence_file import Finding


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=EPILOG)(verify)
    app.command(epilog=EPILOG)(evidence)


def verify(
    file: Annotated[Path, typer.Argument(help="The evidence file.", dir_okay=False)],
    *,
    jwks: Annotated[
        Path, typer.Option(help="Pinned: the service's public keys (JWKS).", dir_okay=False)
    ],
    log_key: Annotated[
        list[str],
        typer.Option("--log-key", help="Pinned: the log's verifier key, or a file of them."),
    ],
    people: Annotated[
        Path | None,
        typer.Option(help="Pinned: the directory of approvers' keys.", dir_okay=False),
    ] = None,
    issuer: Annotated[
        str | None, typer.Option(help="The service's address, as approvals name it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check an evidence file offline against pinned keys, and say where it fails."""
    findings = evidence_file.verify(
        files.read(file),
        jwks=files.read_object(jwks),
        vkeys=[vkey for given in log_key for vkey in _vkeys(given)],
        directory=None if people is None else files.read_text(people).strip(),
        issuer=issuer,
    )
    holds = bool(findings) and all(found.ok for found in findings)
    value = {
        "ok": holds,
        "file": str(file),
        "steps": [
            {"step": found.step, "ok": found.ok, "detail": found.detail, "place": found.place}
            for found in findings
        ],
    }
    emit(value, lambda: _draw(file, findings, holds=holds), as_json=as_json)
    if not holds:
        finding()


def evidence(
    request: Annotated[str, typer.Argument(help="The request's id, req_…")],
    *,
    file: Annotated[Path, typer.Option("--out", help="Where the evidence goes.", dir_okay=False)],
    key: EnforcerKey = None,
    enforcer: EnforcerId = None,
    url: Url = None,
    tenant: Tenant = "default",
    as_json: AsJson = False,
) -> None:
    """Fetch the evidence of a request, in the name of the enforcer that submitted it."""
    with remote.client(url=url, enforcer=enforcer, key=key, tenant=tenant) as client:
        raw = client.evidence(request)
    file.write_bytes(raw)
    value = {"request": request, "file": str(file), "bytes": len(raw)}
    emit(value, lambda: out.print(plain(f"{file}: {len(raw)} bytes")), as_json=as_json)


def _vkeys(given: str) -> list[str]:
    """A verifier key as written, or each line of the file of that name."""
    path = Path(given)
    if "+" in given and not path.exists():
        return [given]
    return [line.strip() for line in files.read_text(path).splitlines() if line.strip()]


def _draw(file: Path, findings: list[Finding], *, holds: bool) -> None:
    drawn = table("", "step", "what was found")
    for found in findings:
        mark = plain("✓", "green") if found.ok else plain("✗", "bold red")
        detail = plain(found.detail, "" if found.ok else "red")
        if not found.ok and found.place:
            detail.append_text(plain(f" (at {found.place})", "bold red"))
        drawn.add_row(mark, plain(found.step), detail)
    out.print(drawn)
    failed = sum(not found.ok for found in findings)
    if holds:
        out.print(plain(f"{file}: holds, {len(findings)} steps.", "bold green"))
    else:
        out.print(plain(f"{file}: does not hold: {failed} of {len(findings)} steps.", "bold red"))
