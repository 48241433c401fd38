"""Exactly what will run: the document that people are shown, and text made safe to look at."""

from __future__ import annotations

from approvals.core.display.characters import mixed_scripts, name, original, visible
from approvals.core.display.document import digest, document, fingerprint

__all__ = ["digest", "document", "fingerprint", "mixed_scripts", "name", "original", "visible"]
