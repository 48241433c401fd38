"""Exactly what will run: the document that people are shown, and text made safe to look at."""

from __future__ import annotations

from approvals.core.display.characters import mixed_scripts, name, visible
from approvals.core.display.document import digest, document, fingerprint, gist
from approvals.core.display.marks import original

__all__ = [
    "digest",
    "document",
    "fingerprint",
    "gist",
    "mixed_scripts",
    "name",
    "original",
    "visible",
]
