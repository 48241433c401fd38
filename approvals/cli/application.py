"""The command tree, and the one place where a failure becomes a sentence and an exit code."""

from collections.abc import Sequence

import typer

from approvals.cli import bundle, demo, init_serve, keys, log, people, token, verify
from approvals.cli.output import EPILOG, ExitCode, complain
from approvals.client import ServiceAway
from approvals.core.errors import AssentError, Unavailable

app = typer.Typer(
    name="assent",
    help="Human approval and step-up for AI agents: signed, bound to the exact call, "
    "checkable offline.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for family in (init_serve, demo, token, verify):
    family.register(app)
for name, group in (
    ("bundle", bundle.app),
    ("people", people.app),
    ("keys", keys.app),
    ("log", log.app),
):
    app.add_typer(group, name=name)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; bad input never becomes a traceback."""
    as_json = "--json" in arguments
    try:
        result = app(args=list(arguments), prog_name="assent", standalone_mode=not as_json)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else ExitCode.BAD_INPUT
    except typer.TyperException as wrong:
        # Only with --json: a program gets its usage errors in the same shape as all others.
        complain(code="usage", message=wrong.format_message(), place=None, as_json=True)
        return ExitCode.BAD_INPUT
    except AssentError as wrong:
        complain(code=wrong.code, message=wrong.message, place=wrong.place, as_json=as_json)
        return ExitCode.AWAY if isinstance(wrong, Unavailable | ServiceAway) else ExitCode.BAD_INPUT
    except OSError as wrong:
        place = None if wrong.filename is None else str(wrong.filename)
        reason = wrong.strerror or str(wrong)
        complain(code="file", message=reason, place=place, as_json=as_json)
        return ExitCode.BAD_INPUT
    return result if isinstance(result, int) else ExitCode.OK
