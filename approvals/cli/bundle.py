"""`assent bundle`: check, test, activate and show policy bundles.

What holds: everything wrong with a bundle is told at once, each with file and line; nothing becomes
current that does not check and pass its own cases.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from approvals.cli import local
from approvals.cli.folder import FolderContents, read_folder
from approvals.cli.options import AsJson, BundleFolder, Home, Tenant
from approvals.cli.output import EPILOG, ExitCode, complain, emit, finding, out, plain, table
from approvals.config import load
from approvals.flow.operating import activate as activation
from approvals.keys.authenticators import read_authenticators
from approvals.policy import Shortfall
from approvals.policy.bundle import Bundle, BundleProblem
from approvals.policy.bundle import check as problems_of
from approvals.policy.bundle.bundle import needs_attestation
from approvals.policy.cases import CaseResult, run_tests, unreached_rules

_group = typer.Typer(
    help="Check, test and activate policy bundles.", no_args_is_help=True, epilog=EPILOG
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_group, name="bundle")


@_group.command(epilog=EPILOG)
def check(
    folder: BundleFolder,
    *,
    attestation: Annotated[
        Path | None,
        typer.Option(
            help="The folder of roots that the service will have; unset: ASSENT_ATTESTATION_ROOTS.",
            file_okay=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a bundle: every problem with its file and line. Changes nothing.

    A rule that asks for hardware-passkey needs roots of attestation, or nobody could satisfy it.
    """
    bundle, found = _checked(folder, as_json=as_json, attestation=attestation)
    value = {"ok": True, "version": bundle.version, "problems": [], "beside": list(found.beside)}

    def draw() -> None:
        out.print(plain(f"{folder}: in order.", "bold green"))
        _draw_contents(bundle)
        if found.beside:
            out.print(plain(f"Not part of it: {', '.join(found.beside)}", "yellow"))

    emit(value, draw, as_json=as_json)


@_group.command("test", epilog=EPILOG)
def cases(folder: BundleFolder, *, as_json: AsJson = False) -> None:
    """Run a bundle's cases (tests/*.yaml): each a call, and the verdict expected of it."""
    bundle = checked(folder, as_json=as_json)
    results = run_tests(bundle)
    unreached = unreached_rules(bundle)
    failed = [result for result in results if not result.ok]
    value = {
        "ok": not failed,
        "version": bundle.version,
        "cases": [
            {
                "name": result.case.name,
                "place": _place(folder, result),
                "ok": result.ok,
                "differences": list(result.differences),
            }
            for result in results
        ],
        "unreached_rules": list(unreached),
    }
    emit(value, lambda: _draw_results(folder, results, unreached), as_json=as_json)
    if failed:
        finding()


@_group.command(epilog=EPILOG)
def activate(
    folder: BundleFolder,
    *,
    by: Annotated[
        str, typer.Option(help="The person who does this; they are not asked under its rules.")
    ],
    tenant: Tenant = "default",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make a bundle current, after checking it and running its cases. Logged."""
    bundle = tested(folder, as_json=as_json)
    with local.service(home) as service:
        version = activation.activate(service, tenant=tenant, files=bundle.files, by=by)
        short = activation.left_short(service, tenant)

    def draw() -> None:
        out.print(plain(f"{folder} is current: {version}", "bold green"))
        draw_short(short)

    value = {"ok": True, "version": version, "by": by, "warnings": warnings(short)}
    emit(value, draw, as_json=as_json)


@_group.command(epilog=EPILOG)
def show(*, tenant: Tenant = "default", home: Home = None, as_json: AsJson = False) -> None:
    """Show the current bundle: its version and what is in it; with --json also its files."""
    with local.service(home) as service:
        bundle = activation.current(service, tenant)
    value = {"version": bundle.version, "files": dict(bundle.files)}

    def draw() -> None:
        out.print(plain(f"Current: {bundle.version}", "bold"))
        _draw_contents(bundle)

    emit(value, draw, as_json=as_json)


def warnings(short: Sequence[Shortfall]) -> list[dict[str, object]]:
    """For programs: what is left with too few people, because some of them activated it."""
    return [asdict(each) | {"message": each.message} for each in short]


def draw_short(short: Sequence[Shortfall]) -> None:
    """For people: the same, and how to undo it."""
    for each in short:
        typer.echo(each.message, err=True)
    if short:
        remedy = "To undo it, change the text (a comment is enough) and let another person activate"
        typer.echo(remedy, err=True)


def checked(folder: Path, *, as_json: bool) -> Bundle:
    """The bundle in a folder, or the end of the command with every problem told."""
    return _checked(folder, as_json=as_json)[0]


def _checked(
    folder: Path, *, as_json: bool, attestation: Path | None = None
) -> tuple[Bundle, FolderContents]:
    found = read_folder(folder)
    problems = sorted([*found.problems, *problems_of(found.texts)])
    if not problems:
        bundle = Bundle.load(found.texts)
        problems = _without_attestation(bundle, attestation)
        if not problems:
            return bundle, found
    _tell_problems(folder, problems, as_json=as_json)
    raise typer.Exit(ExitCode.BAD_INPUT)


def _without_attestation(bundle: Bundle, folder: Path | None) -> list[BundleProblem]:
    """The rules that ask for what no passkey could be, unless a folder of roots can be read."""
    problems = needs_attestation(bundle)
    if not problems:
        return []
    folder = folder or load().attestation_roots
    if folder is None:
        return [*problems]
    read_authenticators(folder, now=local.now())
    return []


def tested(folder: Path, *, as_json: bool) -> Bundle:
    """The bundle in a folder that passes its own cases, or the end of the command."""
    bundle = checked(folder, as_json=as_json)
    failed = [result for result in run_tests(bundle) if not result.ok]
    if failed:
        first = failed[0]
        complain(
            code="bundle_cases",
            message=f"{first.case.name}: {first.differences[0]} "
            f"({len(failed)} of {len(bundle.cases)} cases fail; assent bundle test shows all)",
            place=_place(folder, first),
            as_json=as_json,
        )
        finding()
    if not bundle.rules and not as_json:
        typer.echo(f"{folder}: there is no rule, so every call is refused", err=True)
    return bundle


def _place(folder: Path, result: CaseResult) -> str:
    return f"{folder / result.case.file}:{result.case.line}"


def _tell_problems(folder: Path, problems: list[BundleProblem], *, as_json: bool) -> None:
    if not as_json:
        for problem in problems:
            complain(
                code=problem.code,
                message=problem.message,
                place=f"{folder / problem.file}:{problem.line}",
                as_json=False,
            )
        return
    value = {
        "ok": False,
        "problems": [
            {
                "file": str(folder / problem.file),
                "line": problem.line,
                "code": problem.code,
                "message": problem.message,
            }
            for problem in problems
        ],
    }
    emit(value, lambda: None, as_json=True)


def _draw_results(folder: Path, results: list[CaseResult], unreached: Sequence[str]) -> None:
    for result in results:
        if result.ok:
            out.print(plain("✓ ", "green").append_text(plain(result.case.name)))
            continue
        out.print(plain("✗ ", "bold red").append_text(plain(result.case.name, "red")))
        out.print(plain(f"    {_place(folder, result)}", "dim"), soft_wrap=True)
        for difference in result.differences:
            out.print(plain(f"    {difference}", "red"))
    failed = sum(not result.ok for result in results)
    if failed:
        out.print(plain(f"{failed} of {len(results)} cases fail.", "bold red"))
    else:
        out.print(plain(f"{len(results)} cases pass.", "bold green"))
    if unreached:
        out.print(plain(f"Rules that gave no case its verdict: {', '.join(unreached)}", "yellow"))


def _draw_contents(bundle: Bundle) -> None:
    drawn = table("what", "how many", "which")
    for what, names in (
        ("people", bundle.people),
        ("agents", bundle.agents),
        ("tools", bundle.tools),
        ("enforcers", bundle.enforcers),
        ("rules", bundle.rules),
    ):
        drawn.add_row(what, str(len(names)), plain(", ".join(sorted(names))))
    drawn.add_row("cases", str(len(bundle.cases)), "")
    out.print(drawn)
    out.print(plain(f"version {bundle.version}", "dim"))
