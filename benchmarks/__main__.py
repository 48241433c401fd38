"""Every benchmark, one after the other: a table for people, benchmarks/results.json for programs.

``python -m benchmarks`` runs all, ``python -m benchmarks NAME…`` some. It exits with 1 when an aim
is missed.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

SHOWN = frozenset({"name", "value", "unit", "ratio", "aim", "meets"})
NAMES = ("canonical", "policy", "verifier", "http", "history", "waiters", "channels")
RESULTS = Path(__file__).with_name("results.json")


def main(names: list[str]) -> int:
    console = Console()
    if unknown := sorted(set(names) - set(NAMES)):
        console.print(f"there is no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}")
        return 2
    results: list[dict[str, Any]] = []
    for name in names or NAMES:
        with console.status(f"{name} …"):
            begun = time.perf_counter()
            results += importlib.import_module(f"benchmarks.{name}").run()
        console.print(f"{name}: {time.perf_counter() - begun:.0f} s", style="dim")
    console.print(_table(results))
    document = {
        "machine": {
            "python": platform.python_version(),
            "system": platform.platform(),
            "cores": os.cpu_count(),
        },
        "results": results,
    }
    RESULTS.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    console.print(f"written to {RESULTS}")
    return 0 if all(result["meets"] for result in results) else 1


def _table(results: list[dict[str, Any]]) -> Table:
    table = Table(title="Assent, measured", title_justify="left")
    table.add_column("what")
    table.add_column("result", justify="right")
    table.add_column("aim", justify="right")
    table.add_column("met")
    table.add_column("made of", style="dim")
    for result in results:
        value = f"{result['value']:g} {result['unit']}" if "value" in result else None
        # An aim that is a number is the least ratio that is good enough.
        aim = result["aim"] if isinstance(result["aim"], str) else f">= {result['aim']:g}"
        table.add_row(
            result["name"],
            value or f"{result['ratio']:g}",
            aim,
            "[green]yes[/]" if result["meets"] else "[red]no[/]",
            ", ".join(
                f"{name.replace('_', ' ')} {made}"
                for name, made in result.items()
                if name not in SHOWN
            ),
        )
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
