"""Slack's limits, as its documentation states them: what is refused, and where in the blocks.

Lengths are counted in the stricter of characters and UTF-16 units. Where Slack ignores a member
that it does not know, this refuses it, since such a member is a mistake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

MESSAGE_BLOCKS, VIEW_BLOCKS = 50, 100
ALL_TEXT = 12_000  # beyond it: msg_blocks_too_long
TOP_TEXT = 40_000


class Refused(Exception):  # noqa: N818 - what Slack did
    """Slack would refuse this: `error` as in its answers, and the place."""

    def __init__(self, error: str, why: str = "") -> None:
        super().__init__(f"{error}: {why}")
        self.error = error
        self.why = why


def length(text: str) -> int:
    return max(len(text), len(text.encode("utf-16-le")) // 2)


def check_blocks(blocks: Any, *, view: bool = False) -> None:
    """Raise `Refused` where Slack would not take these blocks."""
    if not isinstance(blocks, list) or not blocks:
        raise Refused("invalid_blocks_format" if not isinstance(blocks, list) else "no_text")
    if len(blocks) > (VIEW_BLOCKS if view else MESSAGE_BLOCKS):
        raise Refused("invalid_blocks", "too many blocks")
    names = [block.get("block_id") for block in blocks if isinstance(block, dict)]
    given = [name for name in names if name is not None]
    _need(len(given) == len(set(given)), "/blocks", "block_id is not unique")
    for index, block in enumerate(blocks):
        _block(block, f"/blocks/{index}", view=view)
    if not view and sum(length(text) for text in texts(blocks)) > ALL_TEXT:
        raise Refused("msg_blocks_too_long")


def check_view(view: Any) -> None:
    """Raise `Refused` where Slack would not open this modal."""
    _members(
        view,
        "/view",
        {"type", "title", "blocks"},
        {"submit", "close", "private_metadata", "callback_id"},
    )
    _need(view["type"] == "modal", "/view/type", "not modal")
    for name in ("title", "submit", "close"):
        if name in view:
            _text(view[name], f"/view/{name}", 24, kinds=("plain_text",))
    _string(view.get("private_metadata", "x"), "/view/private_metadata", 3000)
    _string(view.get("callback_id", "x"), "/view/callback_id", 255)
    check_blocks(view["blocks"], view=True)
    if any(block["type"] == "input" for block in view["blocks"]):
        _need("submit" in view, "/view", "an input needs submit")


def check_message(text: Any, blocks: Any) -> None:
    """Raise `Refused` where Slack would not take this message."""
    if not isinstance(text, str) or not text:
        # Slack takes blocks without text; screen readers and notifications then have nothing.
        raise Refused("no_text")
    if length(text) > TOP_TEXT:
        raise Refused("msg_too_long")
    if blocks is not None:
        check_blocks(blocks)


def texts(blocks: Any) -> Iterator[str]:
    """Every text that is shown."""
    for each in text_objects(blocks):
        yield each["text"]


def text_objects(found: Any) -> Iterator[dict[str, Any]]:
    """Every text object, however deep."""
    if isinstance(found, list):
        for each in found:
            yield from text_objects(each)
    elif isinstance(found, dict):
        if found.get("type") in {"plain_text", "mrkdwn"} and isinstance(found.get("text"), str):
            yield found
        else:
            for each in found.values():
                yield from text_objects(each)


def _block(block: Any, place: str, *, view: bool) -> None:  # noqa: C901, PLR0912 - a case a type
    _need(isinstance(block, dict), place, "not an object")
    match block.get("type"):
        case "header":
            _members(block, place, {"type", "text"}, {"block_id"})
            _text(block["text"], f"{place}/text", 150, kinds=("plain_text",))
        case "section":
            _members(block, place, {"type"}, {"text", "fields", "block_id"})
            _need("text" in block or "fields" in block, place, "neither text nor fields")
            if "text" in block:
                _text(block["text"], f"{place}/text", 3000)
            if "fields" in block:
                _items(block["fields"], f"{place}/fields", 10)
                for index, field in enumerate(block["fields"]):
                    _text(field, f"{place}/fields/{index}", 2000)
        case "context":
            _members(block, place, {"type", "elements"}, {"block_id"})
            _items(block["elements"], f"{place}/elements", 10)
            for index, element in enumerate(block["elements"]):
                _text(element, f"{place}/elements/{index}", 3000)
        case "divider":
            _members(block, place, {"type"}, {"block_id"})
        case "actions":
            _members(block, place, {"type", "elements"}, {"block_id"})
            _items(block["elements"], f"{place}/elements", 25)
            for index, element in enumerate(block["elements"]):
                _button(element, f"{place}/elements/{index}")
            ids = [element["action_id"] for element in block["elements"]]
            _need(len(ids) == len(set(ids)), place, "action_id is not unique")
        case "input":
            _need(view, place, "input is for modals")
            _input(block, place)
        case unknown:
            _need(ok=False, place=place, why=f"unsupported type: {unknown}")
    if "block_id" in block:
        _string(block["block_id"], f"{place}/block_id", 255)


def _button(element: Any, place: str) -> None:
    _members(element, place, {"type", "text", "action_id"}, {"url", "value", "style"})
    _need(element["type"] == "button", place, "unsupported element")
    _text(element["text"], f"{place}/text", 75, kinds=("plain_text",))
    _string(element["action_id"], f"{place}/action_id", 255)
    _string(element.get("value", "x"), f"{place}/value", 2000)
    _need(element.get("style", "primary") in {"primary", "danger"}, place, "style")
    if "url" in element:
        _string(element["url"], f"{place}/url", 3000)
        parts = urlsplit(element["url"])
        _need(parts.scheme in {"http", "https"} and bool(parts.hostname), place, "invalid url")


def _input(block: Any, place: str) -> None:
    _members(block, place, {"type", "label", "element"}, {"block_id", "optional", "hint"})
    _text(block["label"], f"{place}/label", 2000, kinds=("plain_text",))
    if "hint" in block:
        _text(block["hint"], f"{place}/hint", 2000, kinds=("plain_text",))
    _need(isinstance(block.get("optional", True), bool), place, "optional")
    element = block["element"]
    _members(element, place, {"type", "action_id"}, {"multiline", "max_length", "min_length"})
    _need(element["type"] == "plain_text_input", place, "unsupported element")
    _string(element["action_id"], f"{place}/element/action_id", 255)
    _need(1 <= element.get("max_length", 1) <= 3000, place, "max_length")


def _text(value: Any, place: str, limit: int, *, kinds: tuple[str, ...] = ()) -> None:
    _need(isinstance(value, dict), place, "not a text object")
    kind = value.get("type")
    _need(kind in (kinds or ("plain_text", "mrkdwn")), f"{place}/type", f"{kind} is not taken here")
    _members(value, place, {"type", "text"}, {"emoji"} if kind == "plain_text" else {"verbatim"})
    for name in ("emoji", "verbatim"):
        _need(isinstance(value.get(name, True), bool), f"{place}/{name}", "not a boolean")
    _string(value["text"], f"{place}/text", limit)


def _string(value: Any, place: str, limit: int) -> None:
    _need(isinstance(value, str) and value != "", place, "not a string of at least one character")
    _need(length(value) <= limit, place, f"must be less than {limit + 1} characters")


def _items(value: Any, place: str, limit: int) -> None:
    _need(isinstance(value, list) and 1 <= len(value) <= limit, place, f"1 to {limit} items")


def _members(value: Any, place: str, required: set[str], optional: set[str]) -> None:
    _need(isinstance(value, dict), place, "not an object")
    _need(required <= value.keys(), place, f"missing {sorted(required - value.keys())}")
    extra = value.keys() - required - optional
    _need(not extra, place, f"unsupported members {sorted(extra)}")


def _need(ok: bool, place: str, why: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not ok:
        raise Refused("invalid_blocks", f"{why} [json-pointer:{place}]")
