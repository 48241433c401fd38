"""`assent log`: check the whole transparency log, and print its checkpoint.

What holds: `check` recomputes everything from the leaves and believes nothing that is stored beside
them, neither the tree nor the state of requests and approvals. What it cannot know by itself is
whether an older log was put in the place of a newer one; for that it takes checkpoints that were
kept elsewhere.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from approvals.cli import fetched, files, local, remote
from approvals.cli.findings import draw_findings, draw_report, listed
from approvals.cli.options import AsJson, Home, Url
from approvals.cli.output import EPILOG, emit, err, finding, moment, out, plain, table
from approvals.core import b64
from approvals.core.display import visible
from approvals.core.errors import AssentError, ProofError
from approvals.core.tlog.checkpoint import read_vkey
from approvals.core.tlog.published import verify_copy, verify_published

if TYPE_CHECKING:
    from approvals.store.holdings import Held

_group = typer.Typer(help="The transparency log.", no_args_is_help=True, epilog=EPILOG)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_group, name="log")


@_group.command(epilog=EPILOG)
def check(
    *,
    remembered: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint",
            help="A checkpoint kept from earlier: the log must still begin with it. Repeatable.",
            dir_okay=False,
        ),
    ] = None,
    published: Annotated[
        str | None,
        typer.Option(
            "--log", help="A published log instead of the home's: its address, or a fetched folder."
        ),
    ] = None,
    log_key: Annotated[
        Path | None,
        typer.Option(help="Pinned: the published log's verifier key.", dir_okay=False),
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Check every leaf, proof node and checkpoint, and every row that grants something.

    The service may keep running. With --log and --log-key it checks what everybody can fetch: the
    leaves, in order and whole, under a checkpoint that the log signed.
    """
    kept = [files.read_text(path) for path in remembered or ()]
    if published is not None or log_key is not None:
        _check_published(published, log_key, kept, as_json=as_json)
        return
    from approvals.flow.operating import restore

    with local.service(home, checked=False) as service, _progress(shown=not as_json) as advance:
        report = restore.checked(service, remembered=kept, advance=advance)
    value = {
        "ok": report.ok,
        "size": report.size,
        "root": b64.encode(report.root),
        "checkpoints": report.checkpoints,
        "remembered": len(kept),
        "staged": report.staged,
        "findings": listed(report),
        "unlisted": report.unlisted,
        "following": report.following,
    }
    emit(value, lambda: draw_report(report, kept), as_json=as_json)
    if not report.ok:
        finding()


@_group.command(epilog=EPILOG)
def checkpoint(*, home: Home = None, as_json: AsJson = False) -> None:
    """Print the last signed checkpoint; keep it elsewhere and give it to `log check` later."""
    from approvals import log as transparency_log

    with local.service(home, checked=False) as service, service.store.read() as tx:
        note = transparency_log.checkpoint(tx)
        vkey = service.keys.vkey
    emit({"checkpoint": note, "vkey": vkey}, lambda: typer.echo(note, nl=False), as_json=as_json)


@_group.command(epilog=EPILOG)
def reopen(
    *,
    reason: Annotated[str, typer.Option(help="What was wrong and what was done; it is logged.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Let the service grant again after it was closed, if the whole log is found in order now."""
    from approvals.flow.operating import restore

    with local.service(home, checked=False) as service:
        report = restore.reopen(service, reason=reason)
    value = {"reopened": report.ok, "findings": listed(report)}

    def draw() -> None:
        if report.ok:
            out.print("The log is in order: the service grants again.")
        else:
            out.print("The log is not in order: the service stays closed.")
            draw_findings(report)

    emit(value, draw, as_json=as_json)
    if not report.ok:
        finding()


@_group.command(epilog=EPILOG)
def accept_restore(
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this, only say.")] = False,
    end_passkeys: Annotated[
        list[str] | None,
        typer.Option(
            "--end-passkeys",
            metavar="PERSON",
            help="End the passkeys and chat accounts of PERSON, and keep the others'. Repeatable.",
        ),
    ] = None,
    end_all_passkeys: Annotated[
        bool, typer.Option("--end-all-passkeys", help="End everybody's; all enrol anew.")
    ] = False,
    keep_passkeys: Annotated[
        bool,
        typer.Option("--keep-passkeys", help="Keep all: none ended since the backup was made."),
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; it is logged. Needed with --yes.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a restored database although the keys signed more; says first what is lost.

    Everything that could be spent or used a second time ends: pending requests, approvals that
    were not spent, invitations, sessions and codes. A passkey or chat account that ended since the
    backup is there again, so --yes takes one of --end-passkeys, --end-all-passkeys and
    --keep-passkeys.
    """
    from approvals.flow.operating import restore

    if [bool(end_passkeys), end_all_passkeys, keep_passkeys].count(True) > 1:
        raise typer.BadParameter(
            "say one of --end-passkeys PERSON, --end-all-passkeys and --keep-passkeys"
        )
    if yes and not reason:
        raise typer.BadParameter("--yes takes --reason TEXT: why this database is accepted")
    ending = (
        restore.Ending(frozenset(end_passkeys or ()), everybody=end_all_passkeys)
        if end_passkeys or end_all_passkeys or keep_passkeys
        else None
    )
    with local.service(home, checked=False) as service:
        lost = (
            restore.accept(service, reason=reason, ending=ending) if yes else restore.loss(service)
        )
    value = {"accepted": yes, **asdict(lost)}

    def draw() -> None:
        gone = max(0, lost.signed - lost.size)
        out.print(f"The keys signed {lost.signed} events, the database has {lost.size}.")
        if lost.since is not None:
            out.print(f"The newest event in the database is from {moment(lost.since)}.")
        out.print(f"{'Lost' if yes else 'To be lost'}:")
        if gone:
            out.print(f"  {gone} events: whoever kept a later checkpoint will see a fork")
        out.print(f"  {lost.pending} pending requests and {lost.unspent} unspent approvals end")
        out.print("  every invitation, session and code ends")
        out.print("  people and bundles are as they were then: look at who has left since")
        if yes:
            out.print(f"  {_passkeys_after(end_passkeys or (), everybody=end_all_passkeys)}")
            return
        _draw_access(lost.access)
        if lost.undecided:
            out.print(
                "\nA passkey or chat account that ended since the backup is there again. Say whose "
                "end:\n--end-passkeys PERSON (repeatable), --end-all-passkeys or --keep-passkeys."
            )
        decision = " DECISION" if lost.undecided else ""
        out.print(
            f"\nNothing was changed. To do it: "
            f"assent log accept-restore --yes{decision} --reason TEXT"
        )

    emit(value, draw, as_json=as_json)
    if not yes:
        finding()


@_group.command(epilog=EPILOG)
def fetch(
    *,
    folder: Annotated[
        Path, typer.Option("--out", help="Where the log goes; a copy that is there is added to.")
    ],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the published log, for assent verify --log; it takes no token, as for everybody.

    A copy that is there already is only added to: what the log published since has to go on from
    it. The checkpoint is written last, so that a folder with one has the leaves that it covers.
    """
    signed = folder / fetched.CHECKPOINT
    kept = [fetched.unverified(files.read_text(signed))] if signed.exists() else []
    with fetched.reader(remote.address(url)) as read:
        note = fetched.note(read)
        whole = fetched.unverified(note)
        for path in fetched.paths(whole.size):
            place = folder / path
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                files.replace(place, read(path))
    folder.mkdir(parents=True, exist_ok=True)
    with fetched.reader(str(folder)) as copy:
        try:
            verify_copy(fetched.leaves(copy, whole.size), whole=whole, kept=kept)
        except ProofError as wrong:
            _draw_fork(folder, wrong, as_json=as_json)
            finding()
    files.replace(signed, note.encode())
    emit(
        {"folder": str(folder), "size": whole.size},
        lambda: out.print(
            plain(
                f"{folder}: {whole.size} leaves; nothing of it is checked yet. "
                f"To check it: assent log check --log {folder} --log-key FILE"
            )
        ),
        as_json=as_json,
    )


def _draw_fork(folder: Path, wrong: ProofError, *, as_json: bool) -> None:
    said = (
        f"{folder}: {wrong} [{wrong.code}]. Its checkpoint was not replaced. If the log was cut "
        "off or changed since, this copy shows it: keep it, and fetch into another folder."
    )
    emit(
        {"ok": False, "code": wrong.code, "message": str(wrong), "folder": str(folder)},
        lambda: out.print(plain(said, "bold red")),
        as_json=as_json,
    )


@_group.command(epilog=EPILOG)
def repair_clock(
    *,
    reason: Annotated[str, typer.Option(help="What was wrong with the clock; it is logged.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Let the service write again after it ran on a clock that was ahead. Set the clock first."""
    from approvals.flow.operating.repair import repair_clock as repair

    with local.service(home, checked=False) as service:
        done = repair(service, reason=reason)

    def draw() -> None:
        out.print(f"{moment(done.recorded)} had been recorded; it is {moment(done.now)}.")
        out.print("Restart the service: it goes on from here.")

    emit(asdict(done), draw, as_json=as_json)


def _passkeys_after(ended: "Sequence[str]", *, everybody: bool) -> str:
    if everybody:
        return "all passkeys and chat accounts ended: everybody enrols anew"
    if ended:
        return f"passkeys and chat accounts ended of: {', '.join(visible(each) for each in ended)}"
    return "no passkey and no chat account ended"


def _draw_access(access: "Sequence[Held]") -> None:
    """What everybody has in the database that was put back."""
    if not access:
        return
    drawn = table("person", "passkeys", "newest", "browsers", "invitations", "chat accounts")
    for held in access:
        drawn.add_row(
            plain(held.person),
            str(held.passkeys),
            "" if held.newest is None else moment(held.newest),
            str(held.browsers),
            str(held.invitations),
            str(held.accounts),
        )
    out.print()
    out.print(drawn)


def _check_published(
    place: str | None, log_key: Path | None, kept: Sequence[str], *, as_json: bool
) -> None:
    if place is None or log_key is None:
        missing = "--log" if place is None else "--log-key"
        raise AssentError(
            "checking a published log takes both --log and --log-key", code="usage", place=missing
        )
    vkey = files.read_text(log_key).strip()
    read_vkey(vkey)
    try:
        with fetched.reader(place) as read:
            found = verify_published(
                fetched.whole(read, vkeys=[vkey]), vkeys=[vkey], remembered=kept
            )
    except ProofError as wrong:
        said = f"{wrong} [{wrong.code}]"
        emit(
            {"ok": False, "code": wrong.code, "message": str(wrong)},
            lambda: out.print(plain(said, "bold red")),
            as_json=as_json,
        )
        finding()
    earlier = f" and {len(kept)} kept earlier" if kept else ""
    emit(
        {"ok": True, "size": found.size, "root": b64.encode(found.root), "remembered": len(kept)},
        lambda: out.print(
            plain(
                f"The log is whole: {found.size} leaves under its checkpoint{earlier}, each after "
                "the one before it of its subject.",
                "bold green",
            )
        ),
        as_json=as_json,
    )


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, which is gone when the work is done."""
    with Progress(
        TextColumn("checking"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("leaves"),
        console=err,
        transient=True,
        disable=not shown or not err.is_terminal,
    ) as progress:
        task = progress.add_task("leaves", total=None)

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        yield advance
