"""`assent verify`: check a decision with nothing but pinned keys.

What holds: `verify` reads no database and opens no connection but the one that `--log` names; what
it trusts is what the person named on the command line. A verdict is printed step by step, and a
step that fails says where in the file. Values that nothing shows are named, and so is on whose word
the file is complete.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from approvals.cli import fetched, files
from approvals.cli.options import AsJson
from approvals.cli.output import EPILOG, emit, finding, out, plain, table
from approvals.core import directory as directories
from approvals.core import evidence_file
from approvals.core.directory import Directory
from approvals.core.errors import AssentError, KeySetError, ProofError
from approvals.core.evidence_file import Finding
from approvals.core.jws import KeySet
from approvals.core.tlog.checkpoint import read_vkey


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(verify)


def verify(
    file: Annotated[
        Path, typer.Argument(help="The evidence file.", metavar="FILE", dir_okay=False)
    ],
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
    log: Annotated[
        str | None,
        typer.Option(
            help="The service's address, or a folder made by assent log fetch: check in the log "
            "itself that no event is left out.",
            metavar="URL|DIR",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check an evidence file against pinned keys, offline unless --log is given."""
    pinned = _keys(jwks)
    raw = files.read(file)
    vkeys = [vkey for given in log_key for vkey in _vkeys(given)]
    directory = None if people is None else _directory(people, pinned)
    with ExitStack() as stack:
        whole = None
        if log is not None:
            whole = fetched.whole(stack.enter_context(fetched.reader(log)), vkeys=vkeys)
        findings = evidence_file.verify(
            raw, jwks=pinned.jwks(), vkeys=vkeys, directory=directory, issuer=issuer, log=whole
        )
    holds = bool(findings) and all(found.ok for found in findings)
    value = {
        "ok": holds,
        "file": str(file),
        "steps": [
            {
                "step": found.step,
                "ok": found.ok,
                "detail": found.detail,
                "place": found.place,
                "not_shown": list(found.unshown),
            }
            for found in findings
        ],
        "not_shown": [place for found in findings for place in found.unshown],
    }
    emit(value, lambda: _draw(file, findings, holds=holds), as_json=as_json)
    if not holds:
        finding()


def _keys(path: Path) -> KeySet:
    """The service's keys in a file; none at all would make every signature look forged."""
    try:
        keys = KeySet.from_jwks(files.read_object(path))
    except KeySetError as wrong:
        raise AssentError(wrong.message, code=wrong.code, place=f"{path}{wrong.place}") from wrong
    if not keys.kids():
        raise AssentError("no signing key is in this file", code="key", place=str(path))
    return keys


def _directory(path: Path, keys: KeySet) -> Directory:
    """The directory in a file: as a JSON document, or as the token that the service signed."""
    text = files.read_text(path)
    try:
        return directories.read_pinned(text, keys=keys)
    except AssentError as wrong:
        message = f"not a directory of approvers' keys: {wrong}"
        raise AssentError(message, code=wrong.code, place=str(path)) from wrong


def _vkeys(given: str) -> list[str]:
    """A verifier key as written, or each line of the file of that name."""
    path = Path(given)
    if "+" in given and not path.exists():
        keys = [given]
    else:
        keys = [line.strip() for line in files.read_text(path).splitlines() if line.strip()]
    for key in keys:
        try:
            read_vkey(key)
        except ProofError as wrong:
            raise AssentError(wrong.message, code=wrong.code, place="--log-key") from wrong
    return keys


def _draw(file: Path, findings: list[Finding], *, holds: bool) -> None:
    drawn = table("", "step", "what was found")
    for found in findings:
        mark = plain("✓", "green") if found.ok else plain("✗", "bold red")
        detail = plain("")
        if not found.ok and found.place:
            detail.append_text(plain(f"{found.place}: ", "bold red"))
        detail.append_text(plain(found.detail, "" if found.ok else "red"))
        drawn.add_row(mark, plain(found.step), detail)
        if found.unshown:
            drawn.add_row("", "", plain(f"not shown: {', '.join(found.unshown)}", "yellow"))
    out.print(drawn)
    unshown = sum(len(found.unshown) for found in findings)
    failed = sum(not found.ok for found in findings)
    if holds and unshown:
        said = f"{file}: holds, {len(findings)} steps; {unshown} values are not shown by anything."
        out.print(plain(said, "bold yellow"))
    elif holds:
        out.print(plain(f"{file}: holds, {len(findings)} steps.", "bold green"))
    else:
        out.print(plain(f"{file}: does not hold: {failed} of {len(findings)} steps.", "bold red"))
