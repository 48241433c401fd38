"""A Slack message as a terminal can draw it, and its JSON in short."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

SHORT = 24  # characters of a long value in the short form
MOST = 3  # items of a list that are all in the short form
_SWITCHES = {"emoji", "verbatim"}
# A link or a time, as mrkdwn: what a reader sees stands behind the bar.
_REFERENCE = re.compile(r"<[^<>|]*\|([^<>]*)>")
_ESCAPES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))

Block = Mapping[str, Any]


def drawn(blocks: Sequence[Block]) -> RenderableType:
    """The message as its reader sees it, from its blocks alone."""
    return Group(*(_drawn(block) for block in blocks))


def abridged(blocks: Sequence[Block]) -> list[Any]:
    """The JSON in short: the first two blocks and the last, long texts cut."""
    return [*map(_short, blocks[:2]), f"… {len(blocks) - 3} more", _short(blocks[-1])]


def _short(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _short(inner) for name, inner in value.items() if name not in _SWITCHES}
    if isinstance(value, list):
        items = value[:1] if len(value) > MOST else value
        left = [f"… {len(value) - 1} more"] if len(value) > MOST else []
        return [*map(_short, items), *left]
    if isinstance(value, str) and len(value) > SHORT + 1:
        return f"{value[:SHORT]}…"
    return value


def _drawn(block: Block) -> RenderableType:
    match block["type"]:
        case "header":
            return Text(_shown(block["text"]), style="bold")
        case "section" if "fields" in block:
            return _columns([_labelled(_shown(field)) for field in block["fields"]])
        case "section":
            return _labelled(_shown(block["text"]))
        case "context":
            return Text(" ".join(map(_shown, block["elements"])), style="dim")
        case "actions":
            return Text("  ").join(
                Text(f"[ {_shown(button['text'])} ]", style="bold") for button in block["elements"]
            )
        case other:
            return Text(f"({other})", style="dim")


def _columns(fields: Sequence[RenderableType]) -> Table:
    grid = Table.grid(padding=(0, 2), expand=True)
    for _ in range(2):
        grid.add_column(overflow="fold", ratio=1)
    for index in range(0, len(fields), 2):
        grid.add_row(*fields[index : index + 2])
    return grid


def _labelled(text: str) -> Text:
    label, feed, value = text.partition("\n")
    return Text.assemble((label, "dim"), feed, value) if feed else Text(text)


def _shown(text: Block) -> str:
    said = str(text["text"])
    if text["type"] == "mrkdwn":
        said = _REFERENCE.sub(r"\1", said)
    for escaped, character in _ESCAPES:
        said = said.replace(escaped, character)
    return said
