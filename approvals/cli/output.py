"""What a command says and how it ends.

A command builds one JSON value and a way to draw it. With `--json` the value alone goes to standard
output; otherwise the drawing does. Text that came from outside (a file, the network, a bundle) is
drawn as `Text`, never as markup, with control characters made visible: otherwise a crafted
agent name could repaint the operator's terminal.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from typing import NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from approvals.core.display import visible

IDENTIFIERS = frozenset({"key", "version"})
out = Console(highlight=False, soft_wrap=False)
err = Console(stderr=True, highlight=False)


class ExitCode(IntEnum):
    """The exit codes of every command."""

    OK = 0
    FINDING = 1
    BAD_INPUT = 2
    AWAY = 3


EPILOG = (
    "Exit codes: 0 done and in order; 1 a finding (a verification or a test failed); "
    "2 a usage error or bad input; 3 the service or its database is away."
)


def emit(
    value: Mapping[str, object] | Sequence[object],
    draw: Callable[[], None],
    *,
    as_json: bool,
) -> None:
    """Print `value` as one JSON document, or draw it for a person."""
    if as_json:
        typer.echo(json.dumps(value, ensure_ascii=False, indent=2))
    else:
        draw()


def finding() -> NoReturn:
    """End with the exit code that says: the work was done and something is wrong."""
    raise typer.Exit(ExitCode.FINDING)


def plain(text: object, style: str = "") -> Text:
    """Text from outside, safe to draw: no markup, no control sequence, nothing invisible."""
    return Text(visible(str(text)), style=style)


def moment(time: int) -> str:
    """A time in seconds as people write it, in UTC."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def table(*columns: str, title: str | None = None) -> Table:
    """A table in the house style."""
    drawn = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        # Ids are copied from here: one that is folded cannot be.
        drawn.add_column(column, overflow="fold", no_wrap=column in IDENTIFIERS)
    return drawn


def complain(*, code: str, message: str, place: str | None, as_json: bool) -> None:
    """Say what is wrong: place, sentence, stable code."""
    if as_json:
        document = {"error": {"code": code, "message": message, "place": place}}
        typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
        return
    line = Text("assent: ", style="bold red")
    if place:
        line.append_text(plain(f"{place}: ", "bold"))
    line.append_text(plain(message))
    line.append(f" [{code}]", style="dim")
    err.print(line, soft_wrap=True)
