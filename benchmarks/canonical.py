"""How much faster canonical forms are written than by the reference, at 1 KB and at 1 MB.

Both write the same value in turns in one process, and the least of many repeats counts: what else
the machine does can only make a repeat slower.
"""

from __future__ import annotations

import timeit
from typing import Any, Final

import rfc8785

from approvals.core import canonical

AIM: Final = 20.0
_REPEATS: Final = 25


def _call(lines: int, name: str = "Acme Tools Ltd, London") -> dict[str, Any]:
    """Make a call as a payment agent would: mostly text and small numbers."""
    return {
        "action_type": "tool.call.1",
        "target": "https://payments.example",
        "tool": "pay_invoices",
        "args": {
            "account": "DE89370400440532013000",
            "beneficiary": name,
            "memo": 'quarterly "settlement"\nsee attached',
            "dry_run": False,
            "lines": [
                {
                    "invoice": f"INV-2026-{line:06}",
                    "amount": f"{line * 37 % 9000}.50",
                    "currency": "EUR",
                    "quantity": line % 12,
                    "tags": ["net30", "eu"],
                    "note": None,
                }
                for line in range(lines)
            ],
        },
    }


def _measure(name: str, value: dict[str, Any], number: int) -> dict[str, Any]:
    size = len(canonical.encode(value))
    assert canonical.encode(value) == rfc8785.dumps(value)
    ours, reference = [], []
    fewer = max(1, number // 10)
    for _ in range(_REPEATS):
        ours.append(timeit.timeit(lambda: canonical.encode(value), number=number) / number)
        reference.append(timeit.timeit(lambda: rfc8785.dumps(value), number=fewer) / fewer)
    ratio = min(reference) / min(ours)
    return {
        "name": name,
        "ratio": round(ratio, 1),
        "aim": AIM,
        "meets": ratio >= AIM,
        "bytes": size,
        "microseconds": round(min(ours) * 1e6, 2),
        "reference_microseconds": round(min(reference) * 1e6, 2),
    }


def run() -> list[dict[str, Any]]:
    """Return one result a size; `ratio` is the reference's time over ours: larger is better."""
    return [
        _measure("canonical form, 1 KB", _call(7), 1_000),
        _measure("canonical form, 1 KB, not all ASCII", _call(7, "Bäckerei Weiß, Łódź"), 1_000),
        _measure("canonical form, 1 MB", _call(9_000), 1),
    ]


if __name__ == "__main__":
    for result in run():
        verdict = "meets" if result["meets"] else "misses"
        print(
            f"{result['name']} ({result['bytes']} bytes): {result['microseconds']} µs, "
            f"rfc8785 {result['reference_microseconds']} µs: {result['ratio']}x, "
            f"{verdict} {result['aim']:g}x"
        )
