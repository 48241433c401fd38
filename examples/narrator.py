"""How the demo speaks: rules, panels and short pauses, readable at 80 columns.

Every step of the story is also a check. `expect` ends the story when something is not as told, so
a demo that reaches its end has shown what it says.
"""

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

WIDTH = 80
INDENT = 2
MARGIN = 5  # a panel's border and padding, and a comma


class StoryBrokeError(Exception):
    """A step did not go as it is told."""


class StoryEndedError(Exception):
    """The person at the keyboard decided otherwise than the story: what follows cannot be told."""


class Narrator:
    """Tells the story in a terminal; `pace` is the length of a short pause in seconds.

    `aside` tells it on standard error. `steps` keeps what was shown to hold, for programs.
    """

    def __init__(self, *, pace: float, aside: bool = False) -> None:
        width = min(Console(stderr=aside).width, WIDTH)
        self._console = Console(highlight=False, width=width, stderr=aside)
        self._length = pace
        self.steps: list[dict[str, str | int]] = []
        self._chapter = 0

    def title(self, headline: str, line: str) -> None:
        """Open the story."""
        text = Text.assemble((headline, "bold"), "\n", (line, "dim"))
        self._console.print(Panel(text, border_style="cyan", padding=(1, 3)))
        self._pause()

    def chapter(self, title: str) -> None:
        """Begin a part of the story."""
        self._chapter += 1
        self._console.print()
        self._console.print(Rule(f"[bold cyan]{self._chapter}. {title}[/]", align="left"))
        self._pause()

    def say(self, text: str) -> None:
        """One paragraph."""
        self._console.print(Text(text))
        self._pause()

    def command(self, line: str) -> None:
        """A command as it could be typed."""
        self._console.print(Padding(Text(f"$ {line}", style="bright_black"), (0, 0, 0, 2)))
        self._pause(0.5)

    def code(self, line: str) -> None:
        """A line of the agent's program."""
        self._console.print(Padding(Syntax(line, "python", background_color="default"), (0, 4)))
        self._pause(0.5)

    def good(self, text: str) -> None:
        """Something went as it should."""
        self._mark("✓", "bold green", text)

    def refused(self, text: str) -> None:
        """Something was refused, as it should be."""
        self._mark("✗", "bold red", text)

    def waiting(self, text: str) -> None:
        """Something waits."""
        self._mark("…", "bold yellow", text)

    def link(self, url: str) -> None:
        """An address on a line of its own, whole at any width."""
        self._console.print(Text(f"  {url}", style="underline blue"), soft_wrap=True)

    def facts(self, title: str, rows: Iterable[tuple[str, str]], *, style: str = "cyan") -> None:
        """Labels and values in a panel."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=False, max_width=24)
        grid.add_column(overflow="fold")
        for label, value in rows:
            grid.add_row(Text(label), Text(value))
        self.panel(title, grid, style=style)

    def document(self, title: str, value: Mapping[str, Any], *, style: str = "magenta") -> None:
        """A JSON document in a panel."""
        text = _laid_out(value)
        body = Syntax(text, "json", background_color="default", word_wrap=True)
        self.panel(title, body, style=style)

    def panel(self, title: str, body: RenderableType, *, style: str) -> None:
        """Anything in a panel."""
        self._console.print(
            Panel(body, title=title, title_align="left", border_style=style, padding=(0, 1))
        )
        self._pause(2)

    def block(self, text: str) -> None:
        """Output of a program, as it came, indented."""
        self._console.print(Padding(Text(text.rstrip()), (0, 0, 0, 4)))
        self._pause()

    def broke(self, text: str) -> None:
        """The story did not go as told."""
        self._console.print()
        self._console.print(Panel(Text(text), title="The demo stopped", border_style="red"))

    def expect(self, told: str, *, holds: bool) -> None:
        """Go on only if this is so."""
        if not holds:
            raise StoryBrokeError(told)

    def _mark(self, mark: str, style: str, text: str) -> None:
        self.steps.append({"chapter": self._chapter, "mark": mark, "text": text})
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=3, justify="right")
        grid.add_column(overflow="fold")
        grid.add_row(Text(mark, style=style), Text(text))
        self._console.print(grid)
        self._pause()

    def _pause(self, times: float = 1.0) -> None:
        if self._length:
            time.sleep(self._length * times)


def _laid_out(value: Any, *, indent: int = 0, taken: int = 0) -> str:
    """JSON with everything on one line that fits there; `taken` is what stands before it."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or indent + taken + len(line) < WIDTH - MARGIN:
        return line
    inner = indent + INDENT
    if isinstance(value, dict):
        opening, closing = "{", "}"
        names = [f"{json.dumps(name)}: " for name in value]
        items = [
            name + _laid_out(item, indent=inner, taken=len(name))
            for name, item in zip(names, value.values(), strict=True)
        ]
    else:
        opening, closing = "[", "]"
        items = [_laid_out(item, indent=inner) for item in value]
    between = ",\n" + " " * inner
    return f"{opening}{between[1:]}{between.join(items)}\n{' ' * indent}{closing}"
