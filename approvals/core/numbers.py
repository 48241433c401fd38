"""Whether a decimal number survives being read as a binary64 and written again.

RFC 8785 writes the shortest decimal that reads back as the same binary64. A longer decimal between
two binary64 numbers is read as the nearer one: `0.99999999999999999999` becomes `1`. A program that
reads the same text with decimal arithmetic gets another number, so such a text has two readings.
"""

from __future__ import annotations

import re
from typing import Final

_DECIMAL: Final = re.compile(
    r"-?(?P<whole>[0-9]+)(?:\.(?P<fraction>[0-9]+))?(?:[eE](?P<exponent>[+-]?[0-9]+))?", re.ASCII
)
# More digits than any exponent has that leads to a binary64 other than zero, even for a number
# that is written with millions of zeros. Also keeps `int` from taking quadratic time.
_LONGEST_EXPONENT: Final = 12


def is_exact(text: str, number: float) -> bool:
    """Whether `text`, a JSON number, is the same number as the shortest decimal of `number`.

    `number` is what `float` reads from the text. Takes time linear in the length of the text.
    """
    shortest = repr(number)
    if text == shortest:
        return True
    written = _scientific(text)
    return written is not None and written == _scientific(shortest)


def _scientific(text: str) -> tuple[bool, str, int] | None:
    """Sign, digits without zeros at either end, and the power of ten of the last digit.

    None for an exponent that no binary64 has, and for what is not a number.
    """
    found = _DECIMAL.fullmatch(text)
    if found is None:
        return None
    fraction = found["fraction"] or ""
    digits = (found["whole"] + fraction).lstrip("0")
    significant = digits.rstrip("0")
    if not significant:
        return False, "", 0
    exponent = found["exponent"] or "0"
    magnitude = exponent.lstrip("+-").lstrip("0") or "0"
    if len(magnitude) > _LONGEST_EXPONENT:
        return None
    power = -int(magnitude) if exponent.startswith("-") else int(magnitude)
    return text.startswith("-"), significant, power - len(fraction) + len(digits) - len(significant)
