"""The `assent` command: a thin shell over the rooms, for people and for programs.

What holds: every command takes `--json` and then prints exactly one JSON document on standard
output. Every failure names the place and a stable code and is never a traceback; the exit code is
one of `approvals.cli.output.ExitCode`, so that a script can tell a finding from a mistake.
"""

import sys

_EXTRA = ("typer", "rich")


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    try:
        from approvals.cli.application import run
    except ModuleNotFoundError as missing:
        if missing.name not in _EXTRA:
            raise
        sys.exit(
            f"assent: the command line needs {missing.name!r}, which is not installed; "
            "install it with: pip install 'assent-approvals[cli]', "
            "or 'assent-approvals[server]' for the service"
        )
    sys.exit(run(sys.argv[1:]))
