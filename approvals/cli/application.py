"""The command tree, and the one place where a failure becomes a sentence and an exit code."""

import traceback
from collections.abc import Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import Annotated, Final

import typer

from approvals.cli.output import EPILOG, ExitCode, complain
from approvals.core.errors import AssentError, OutcomeUnknown, Unavailable

# Each family of commands is a module of its name, and a command line loads its own family only:
# `assent token` in a shell script must not wait for a web framework and a database to be imported.
# So the first line of each family's help is written here as well; a test compares the two.
FAMILIES: Final = {
    "init": "Make the home: keys, database, and optionally the first bundle. May be run again.",
    "serve": "Run the service: one process, pages and API on one address. "
    "Ctrl-C stops it in order.",
    "demo": "Tell the whole story on this machine: policy, people, passkeys, approval, log, "
    "evidence.",
    "bundle": "Check, test and activate policy bundles.",
    "people": "Who can decide, and invitations.",
    "keys": "Signing keys, enforcers' key pairs, and what to pin.",
    "token": "Print a bearer token for curl; it lives five minutes and names one enforcer.",
    "verify": "Check an evidence file against pinned keys, offline unless --log is given.",
    "evidence": "Get the evidence of a call that an enforcer submitted, for `assent verify`.",
    "log": "The transparency log.",
}
OURS: Final = "approvals"
SERVER_ERROR: Final = 500
FRAMES: Final = 8


def application(arguments: Sequence[str]) -> typer.Typer:
    """The command tree as far as this command line needs it.

    For `assent --help`, and for an error about a command that does not exist, it holds each
    family's name and summary.
    """
    app = typer.Typer(
        name="assent",
        help="Human approval and step-up for AI agents: signed, bound to the exact call, "
        "checkable offline.",
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",  # a paragraph is one paragraph, and brackets are brackets
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_assent)
    named = arguments[0] if arguments else ""
    if named in FAMILIES:
        import_module(f"approvals.cli.{named}").register(app)
    else:
        for name, summary in FAMILIES.items():
            app.command(name, help=summary)(_summary)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; bad input never becomes a traceback."""
    as_json = "--json" in arguments
    try:
        result = application(arguments)(
            args=list(arguments), prog_name="assent", standalone_mode=not as_json
        )
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else ExitCode.BAD_INPUT
    except Exception as wrong:  # noqa: BLE001 - the last wall: a message may quote what it was about
        return _tell(wrong, as_json=as_json)
    return result if isinstance(result, int) else ExitCode.OK


def _tell(wrong: Exception, *, as_json: bool) -> ExitCode:
    """Say in a sentence what went wrong, and give the exit code."""
    code, place, ends = "unexpected", None, ExitCode.BAD_INPUT
    match wrong:
        case typer.TyperException():
            # Only with --json: a program gets its usage errors in the same shape as all others.
            code, message = "usage", wrong.format_message()
        case AssentError():
            code, message, place, ends = wrong.code, wrong.message, wrong.place, _exit_code(wrong)
        case ModuleNotFoundError() if (wrong.name or "").partition(".")[0] != OURS:
            code = "not_installed"
            message = (
                f"this needs {wrong.name!r}; install it with: "
                "pip install 'assent-approvals[server]'"
            )
        case OSError():
            code, message = "file", wrong.strerror or str(wrong)
            place = None if wrong.filename is None else str(wrong.filename)
        case _:
            where = " ".join(
                f"{Path(frame.filename).name}:{frame.lineno}"
                for frame in traceback.extract_tb(wrong.__traceback__)[-FRAMES:]
            )
            message = f"this is a fault of Assent itself: {type(wrong).__name__} at {where}"
    complain(code=code, message=message, place=place, as_json=as_json)
    return ends


def _exit_code(wrong: AssentError) -> ExitCode:
    from approvals.client import ServiceAway, ServiceError

    match wrong:
        case Unavailable() | OutcomeUnknown() | ServiceAway():
            return ExitCode.AWAY
        case ServiceError(status=status) if status >= SERVER_ERROR:
            return ExitCode.AWAY
        case _:
            return ExitCode.BAD_INPUT


def _version(asked: bool) -> None:  # noqa: FBT001 - typer's signature for an option's callback
    if asked:
        typer.echo(metadata.version("assent-approvals"))
        raise typer.Exit


def _assent(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_version, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Human approval and step-up for AI agents: signed, bound to the call, checkable offline."""


def _summary() -> None:
    """Stands for a family of commands where its help is one line."""
