"""How a page writes times before the script puts them into the reader's own time zone.

Pure: the present is an argument. Seconds since the epoch go in; the written form says its zone,
because without a script nobody corrects it.
"""

from datetime import UTC, datetime
from typing import Literal

Form = Literal["time", "both"]

_MINUTE = 60
_HOUR = 3600


def iso(seconds: int) -> str:
    """RFC 3339, for `datetime` attributes."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def clock(seconds: int, form: Form) -> str:
    """`14:32 UTC`, or `20 Nov, 14:32 UTC` for `both`."""
    at = datetime.fromtimestamp(seconds, UTC)
    if form == "time":
        return f"{at:%H:%M} UTC"
    return f"{at.day} {at:%b}, {at:%H:%M} UTC"


def lasted(seconds: int) -> str:
    """A length of time in its two largest units: ``8 s``, ``4 min 05 s``, ``2 h 10 min``."""
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min {seconds % _MINUTE:02d} s"
    return f"{seconds // _HOUR:,} h {seconds // _MINUTE % _MINUTE:02d} min"


def span(seconds: int) -> str:
    """A remaining time as the script's countdown writes it, so that nothing jumps."""
    left = max(seconds, 0)
    if left >= _HOUR:
        return f"{left // _HOUR} h {left // _MINUTE % _MINUTE:02d} min"
    return f"{left // _MINUTE}:{left % _MINUTE:02d}"
