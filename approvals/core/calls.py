"""A tool call and the name that it gets from its content.

The call hash is SHA-256 over the RFC 8785 form of four members, base64url without padding. It is
the object of the CAID draft's action type `tool.call.1`, so that other systems can name the same
call alike. `args` is the complete object that the tool will receive, defaults included; nothing of
the transport is in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from approvals.core import b64, canonical, names
from approvals.core.errors import CallError

if TYPE_CHECKING:
    from approvals.core.canonical import Json

ACTION_TYPE: Final = "tool.call.1"
MAX_TARGET: Final = 2_048

# RFC 3986: a scheme, then only what a URI may be written with, each "%" with its two digits, and no
# "#".
TARGET_PATTERN: Final = (
    r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+"
)
_URI: Final = re.compile(TARGET_PATTERN, re.ASCII)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool, on one target system, with the complete arguments that it will receive.

    `target` is an absolute URI without a fragment (RFC 8707) and is compared as it is written: two
    spellings of one address are two targets. Making one raises `CallError` with `code` target or
    tool.
    """

    target: str
    tool: str
    args: dict[str, Json]

    def __post_init__(self) -> None:
        if type(self.target) is not str or not _is_target(self.target):
            raise CallError(
                "a target is an absolute URI without a fragment, like https://payments.example",
                code="target",
                place="/target",
            )
        if type(self.tool) is not str or not names.is_tool(self.tool):
            raise CallError(
                f"a tool's name has 1 to {names.MAX_TOOL} {names.TOOL_LETTERS}",
                code="tool",
                place="/tool",
            )
        if type(self.args) is not dict:
            raise CallError("the arguments are one JSON object", code="args", place="/args")

    def document(self) -> dict[str, Json]:
        """The object whose canonical form is hashed."""
        return {
            "action_type": ACTION_TYPE,
            "target": self.target,
            "tool": self.tool,
            "args": self.args,
        }

    def canonical(self) -> bytes:
        """Write the bytes that are hashed.

        Raises:
            AdmissionError: the arguments are not JSON.
        """
        return canonical.encode(self.document())


def call_hash(call: ToolCall) -> str:
    """Name a call by its content: equal exactly when target, tool and every argument are equal."""
    return b64.encode(sha256(call.canonical()).digest())


def caid(call: ToolCall) -> str | None:
    """Write the call hash as a CAID, which is defined for calls without fractional numbers only."""
    if _has_fraction(call.args):
        return None
    return f"caid:1:{ACTION_TYPE}:jcs-sha256:{call_hash(call)}"


@lru_cache(maxsize=1024)
def _is_target(text: str) -> bool:
    return len(text) <= MAX_TARGET and _URI.fullmatch(text) is not None


def has_more_values(args: Json, limit: int) -> bool:
    """Whether arguments hold more than `limit` values; what each costs to check and show adds up.

    Every object, array, string, number, boolean and null below the arguments counts as one.
    """
    todo: list[Json] = [args]
    counted = 0
    while todo and counted <= limit:
        below = todo.pop()
        if isinstance(below, dict):
            counted += len(below)
            todo.extend(below.values())
        elif isinstance(below, list):
            counted += len(below)
            todo.extend(below)
    return counted > limit


def _has_fraction(value: Json) -> bool:
    todo: list[Json] = [value]
    while todo:
        match todo.pop():
            case float() as number if not number.is_integer():
                return True
            case dict() as members:
                todo.extend(members.values())
            case list() as items:
                todo.extend(items)
            case _:
                pass
    return False
