"""The command tree, and the one place where a failure becomes a sentence and an exit code."""

from collections.abc import Sequence
from importlib import import_module
from typing import Final

import typer

from approvals.cli.output import EPILOG, ExitCode, complain
from approvals.client import ServiceAway, ServiceError
from approvals.core.errors import AssentError, OutcomeUnknown, Unavailable

# A command line loads the module of its own family only: `assent token` in a shell script must not
# wait for a web framework and a database to be imported.
FAMILIES: Final = {
    "init": "init",
    "serve": "serve",
    "demo": "demo",
    "bundle": "bundle",
    "people": "people",
    "keys": "keys",
    "token": "token",
    "verify": "verify",
    "evidence": "evidence",
    "log": "log",
}
SERVER_ERROR: Final = 500


def application(arguments: Sequence[str]) -> typer.Typer:
    """The command tree as far as this command line needs it; all of it for help and for errors."""
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
    families = [FAMILIES[named]] if named in FAMILIES else list(dict.fromkeys(FAMILIES.values()))
    for family in families:
        import_module(f"approvals.cli.{family}").register(app)
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
    except typer.TyperException as wrong:
        # Only with --json: a program gets its usage errors in the same shape as all others.
        complain(code="usage", message=wrong.format_message(), place=None, as_json=True)
        return ExitCode.BAD_INPUT
    except AssentError as wrong:
        complain(code=wrong.code, message=wrong.message, place=wrong.place, as_json=as_json)
        return _exit_code(wrong)
    except OSError as wrong:
        place = None if wrong.filename is None else str(wrong.filename)
        reason = wrong.strerror or str(wrong)
        complain(code="file", message=reason, place=place, as_json=as_json)
        return ExitCode.BAD_INPUT
    return result if isinstance(result, int) else ExitCode.OK


def _exit_code(wrong: AssentError) -> ExitCode:
    match wrong:
        case Unavailable() | OutcomeUnknown() | ServiceAway():
            return ExitCode.AWAY
        case ServiceError(status=status) if status >= SERVER_ERROR:
            return ExitCode.AWAY
        case _:
            return ExitCode.BAD_INPUT


def _assent() -> None:
    """Human approval and step-up for AI agents: signed, bound to the call, checkable offline."""
