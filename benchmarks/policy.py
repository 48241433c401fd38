"""What a verdict costs beside the bare evaluations by cedarpy that it is made of.

Both sides run in one process, turn by turn, on the same prepared policies, entities and schema and
the same contexts, and the fastest turn of each counts. What is compared is therefore everything
that policy adds: looking up, the JSON Schema, typing the arguments, writing the context, reading
the answer.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any
from unittest import mock

import cedarpy

from approvals.core.calls import ToolCall
from approvals.policy import USAGE_COUNTERS, Facts, evaluate
from approvals.policy.bundle import Bundle, is_bundle_file

if TYPE_CHECKING:
    from collections.abc import Callable

AIM = 1.3
COMPANY = Path(__file__).parent.parent / "examples" / "company"
TURNS, CALLS = 30, 50
NOON = 1_767_614_400

_TRANSFER = {
    "currency": "EUR",
    "payee": "Kanuwerft Nord",
    "iban": "DE02120300000000202051",
    "reference": "invoice 7781",
}
_PAYMENTS = "https://payments.fernhill.example"
_CALLS = {
    "allow": ToolCall(_PAYMENTS, "payments.transfer", {**_TRANSFER, "amount": "12.50"}),
    "escalate": ToolCall(_PAYMENTS, "payments.transfer", {**_TRANSFER, "amount": "750.00"}),
}


def run() -> list[dict[str, Any]]:
    """One result for a call that passes and one for a call that people are asked about."""
    files = {
        path.relative_to(COMPANY).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(COMPANY.rglob("*"))
        if is_bundle_file(path.relative_to(COMPANY).as_posix())
    }
    bundle = Bundle.load(files)
    return [_measure(bundle, name, call) for name, call in _CALLS.items()]


def _measure(bundle: Bundle, name: str, call: ToolCall) -> dict[str, Any]:
    facts = Facts(
        call=call,
        agent="office-assistant",
        user="carla",
        now=NOON,
        task=None,
        usage=dict.fromkeys(USAGE_COUNTERS, 0),
    )
    batches = _evaluations(bundle, facts)
    engine = bundle.engine

    def bare() -> None:
        for batch in batches:
            cedarpy.is_authorized_batch(batch, engine.policies, engine.entities, engine.schema)

    best_bare, best_ours = _race(bare, lambda: evaluate(bundle, facts))
    ratio = best_ours / best_bare
    return {
        "name": f"policy evaluation against bare cedarpy ({name})",
        "ratio": round(ratio, 3),
        "aim": f"<= {AIM}",
        "meets": ratio <= AIM,
        "microseconds": round(best_ours * 1e6, 1),
        "bare_microseconds": round(best_bare * 1e6, 1),
    }


def _evaluations(bundle: Bundle, facts: Facts) -> list[list[dict[str, Any]]]:
    """The very requests that `evaluate` makes of cedarpy for these facts."""
    seen: list[list[dict[str, Any]]] = []
    real = cedarpy.is_authorized_batch

    def listen(requests: list[dict[str, Any]], *args: Any) -> list[cedarpy.AuthzResult]:
        seen.append(requests)
        return real(requests, *args)

    with mock.patch.object(cedarpy, "is_authorized_batch", listen):
        evaluate(bundle, facts)
    return seen


def _race(first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
    best = [float("inf"), float("inf")]
    for _ in range(TURNS):
        for index, call in enumerate((first, second)):
            start = perf_counter()
            for _ in range(CALLS):
                call()
            best[index] = min(best[index], (perf_counter() - start) / CALLS)
    return best[0], best[1]


if __name__ == "__main__":
    for result in run():
        print(result)
