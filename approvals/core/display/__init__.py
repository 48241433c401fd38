"""Exactly what will run: the document that people are shown, and text made safe to look at."""

from __future__ import annotations

from approvals.core.display.characters import mixed_scripts, name, visible
from approvals.core.display.drawn import fingerprint, shown
from approvals.core.display.marks import original
from approvals.core.display.shown import Shown

__all__ = [
    "Shown",
    "fingerprint",
    "mixed_scripts",
    "name",
    "original",
    "shown",
    "visible",
]
