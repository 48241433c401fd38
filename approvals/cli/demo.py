"""`assent demo`: the whole story on this machine, told by the example company.

The story lives in `examples/`, which belongs to a checkout and not to the installed package.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from approvals.cli.options import AsJson
from approvals.cli.output import EPILOG
from approvals.core.errors import AssentError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(demo)


def demo(
    *,
    pace: Annotated[
        float | None,
        typer.Option(min=0, help="Seconds of a short pause; unset: 0.7 at a terminal, else 0."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="The service's port; 0: a free one.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Tell the whole story on this machine: policy, people, passkeys, approval, log, evidence.

    At a terminal it waits for your own passkey; with CI=1 or without a terminal a software passkey
    takes the part, and the demo says so. Everything happens in a temporary folder.
    """
    checkout = Path(__file__).parents[2]
    if not (checkout / "examples" / "demo.py").is_file():
        raise AssentError(
            "the demo is in the project's source and not in the installed package; "
            "get a checkout and run `make demo` in it",
            code="no_examples",
            place=str(checkout / "examples"),
        )
    arguments = [sys.executable, "-m", "examples.demo"]
    if pace is not None:
        arguments += ["--pace", str(pace)]
    arguments += ["--port", str(port)]
    if as_json:
        arguments.append("--json")
    path = os.pathsep.join(filter(None, (str(checkout), os.environ.get("PYTHONPATH"))))
    sys.stdout.flush()
    # The story takes this process's place: one process for the terminal, Ctrl-C and exit code.
    os.execve(sys.executable, arguments, {**os.environ, "PYTHONPATH": path})  # noqa: S606 - our own program
