"""What a run injected, written down for docs/faults.md where FAULT_COUNTS names a file."""

from __future__ import annotations

import json
import os
from pathlib import Path


def note(name: str, **counts: object) -> None:
    """Add a line to the file that FAULT_COUNTS names, if it names one."""
    file = os.environ.get("FAULT_COUNTS")
    if file:
        with Path(file).open("a", encoding="utf-8") as counted:
            counted.write(json.dumps({"what": name, **counts}) + "\n")
