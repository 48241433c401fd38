"""JSON pointers (RFC 6901): written and read in one place."""

from __future__ import annotations


def token(step: str | int) -> str:
    """One step of a pointer, with its slash."""
    return "/" + str(step).replace("~", "~0").replace("/", "~1")


def write(*steps: str | int) -> str:
    """The pointer through these members and items; empty for the whole document."""
    return "".join(map(token, steps))


def read(pointer: str) -> tuple[str, ...] | None:
    """The steps of a pointer; None if it is not one, or not as `write` writes it."""
    if pointer and not pointer.startswith("/"):
        return None
    steps = tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])
    return steps if write(*steps) == pointer else None
