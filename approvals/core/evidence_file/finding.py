"""What a step of checking an evidence file found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one step found; `place` says where in the file, if it does not hold.

    `unshown` are the places whose values nothing shows: they may hold anything.
    """

    step: str
    ok: bool
    detail: str
    place: str = ""
    unshown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """What a step found to hold, and the places whose values it does not show."""

    detail: str
    unshown: tuple[str, ...] = ()
