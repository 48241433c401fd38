"""A verdict's record, and making the verdict again from it.

A record holds the bundle's version, the engine's versions, the complete facts and the verdict with
its rules. An auditor who has the record and the bundle's files needs nobody's word for what policy
said.
"""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

from approvals.core import canonical, documents
from approvals.core.calls import ToolCall
from approvals.core.policy.evaluation import evaluate
from approvals.core.verdict import Facts, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.bundle import Bundle
    from approvals.core.canonical import Json

RECORD_TYPE = "assent/verdict/1"

_RECORD: Mapping[str, tuple[type, ...]] = {
    "typ": (str,),
    "bundle": (str,),
    "engine": (dict,),
    "facts": (dict,),
    "verdict": (dict,),
}
_FACTS: Mapping[str, tuple[type, ...]] = {
    "call": (dict,),
    "agent": (str,),
    "user": (str,),
    "now": (int,),
    "task": (str, documents.NULL),
    "usage": (dict,),
    "excluded": (list,),
}
_CALL: Mapping[str, tuple[type, ...]] = {
    "action_type": (str,),
    "target": (str,),
    "tool": (str,),
    "args": (dict,),
}


@cache
def _engine() -> dict[str, str]:
    return {name: metadata.version(name) for name in ("cedarpy", "jsonschema-rs")}


def record(bundle: Bundle, facts: Facts, verdict: Verdict) -> dict[str, Json]:
    """All that a verdict was made of, and the verdict: enough to make it again elsewhere.

    It holds the call's arguments, so it is personal: the log seals it.
    """
    return {
        "typ": RECORD_TYPE,
        "bundle": bundle.version,
        "engine": dict(_engine()),
        "facts": {
            "call": facts.call.document(),
            "agent": facts.agent,
            "user": facts.user,
            "now": facts.now,
            "task": facts.task,
            "usage": dict(sorted(facts.usage.items())),
            "excluded": [*sorted(facts.excluded)],
        },
        "verdict": verdict.document(),
    }


def recorded_facts(kept: Json) -> Facts:
    """The facts of a record, read strictly.

    Raises:
        Invalid: this is not a record, and where it is not.
    """
    it = documents.read(kept, _RECORD, "record")
    if it["typ"] != RECORD_TYPE:
        documents.refuse("record.typ", f"not {RECORD_TYPE}")
    facts = documents.read(it["facts"], _FACTS, "record.facts")
    call = documents.read(facts["call"], _CALL, "record.facts.call")
    for counter, used in facts["usage"].items():
        if type(used) is not int:
            documents.refuse(f"record.facts.usage.{counter}", "not a number")
    return Facts(
        call=ToolCall(target=call["target"], tool=call["tool"], args=call["args"]),
        agent=facts["agent"],
        user=facts["user"],
        now=facts["now"],
        task=facts["task"],
        usage=facts["usage"],
        excluded=frozenset(documents.strings(facts["excluded"], "record.facts.excluded")),
    )


def replay(bundle: Bundle, kept: Json) -> bool:
    """Whether this bundle is the recorded one and gives the recorded verdict again.

    Raises:
        Invalid: this is not a record.
    """
    facts = recorded_facts(kept)
    again = record(bundle, facts, evaluate(bundle, facts))
    # Not the engine: a newer one that gives the same verdict agrees.
    return isinstance(kept, dict) and all(
        canonical.encode(kept[part]) == canonical.encode(again[part])
        for part in ("bundle", "facts", "verdict")
    )
