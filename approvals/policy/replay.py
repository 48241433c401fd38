"""A verdict's record, and making the verdict again from it.

A record holds the bundle's version, the engine's versions, the complete facts and the verdict with
its rules. An auditor who has the record and the bundle's files needs nobody's word for what policy
said. Of a long call that was refused the record holds the call hash alone, since anybody could fill
a disk with those: there the auditor needs the call as well.
"""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

from approvals.core import canonical, documents
from approvals.core.calls import ToolCall, call_hash
from approvals.core.errors import Invalid
from approvals.policy.evaluation import evaluate
from approvals.policy.verdict import Facts, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.canonical import Json
    from approvals.policy.bundle import Bundle

RECORD_TYPE = "assent/verdict/2"
_NO_CALL = '"call":null'

_RECORD: Mapping[str, tuple[type, ...]] = {
    "typ": (str,),
    "bundle": (str,),
    "engine": (dict,),
    "facts": (dict,),
    "verdict": (dict,),
}
_FACTS: Mapping[str, tuple[type, ...]] = {
    "call": (dict, documents.NULL),
    "call_hash": (str,),
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
    kept = {**_facts(facts, call_hash(facts.call)), "call": facts.call.document()}
    return {**_around(bundle, verdict), "facts": kept}


def _around(bundle: Bundle, verdict: Verdict) -> dict[str, Json]:
    return {
        "typ": RECORD_TYPE,
        "bundle": bundle.version,
        "engine": dict(_engine()),
        "verdict": verdict.document(),
    }


def _facts(facts: Facts, hashed: str) -> dict[str, Json]:
    return {
        "call_hash": hashed,
        "agent": facts.agent,
        "user": facts.user,
        "now": facts.now,
        "task": facts.task,
        "usage": dict(sorted(facts.usage.items())),
        "excluded": [*sorted(facts.excluded)],
    }


def record_text(
    bundle: Bundle, facts: Facts, verdict: Verdict, *, call: str | None, hashed: str
) -> str:
    """The canonical form of a record, of which the call's part is there already or is left out.

    `call` is the canonical form of the call and `hashed` its hash. Neither is made again here, so
    the cost hardly depends on how long the call is.
    """
    less: dict[str, Json] = {**_facts(facts, hashed), "call": None}
    made = canonical.encode({**_around(bundle, verdict), "facts": less}).decode()
    if call is None:
        return made
    # Within a string the quotes are escaped, and no other member of a record has this name.
    before, _, after = made.partition(_NO_CALL)
    return f'{before}"call":{call}{after}'


def recorded_facts(kept: Json, *, call: ToolCall | None = None) -> Facts:
    """The facts of a record, read strictly; `call` is the call where the record has its hash alone.

    Raises:
        Invalid: this is not a record, and where it is not; or the record does not hold its call
            (`call_not_kept`) and what is given is not that call.
    """
    it = documents.read(kept, _RECORD, "record")
    if it["typ"] != RECORD_TYPE:
        documents.refuse("record.typ", f"not {RECORD_TYPE}")
    facts = documents.read(it["facts"], _FACTS, "record.facts")
    for counter, used in facts["usage"].items():
        if type(used) is not int:
            documents.refuse(f"record.facts.usage.{counter}", "not a number")
    if facts["call"] is not None:
        held = documents.read(facts["call"], _CALL, "record.facts.call")
        call = ToolCall(target=held["target"], tool=held["tool"], args=held["args"])
    elif call is not None and call_hash(call) != facts["call_hash"]:
        call = None
    if call is None:
        raise Invalid(
            "the record holds the hash of its call, and this is not that call",
            code="call_not_kept",
            place="record.facts.call",
        )
    return Facts(
        call=call,
        agent=facts["agent"],
        user=facts["user"],
        now=facts["now"],
        task=facts["task"],
        usage=facts["usage"],
        excluded=frozenset(documents.strings(facts["excluded"], "record.facts.excluded")),
    )


def replay(bundle: Bundle, kept: Json, *, call: ToolCall | None = None) -> bool:
    """Whether this bundle is the recorded one and gives the recorded verdict again.

    `call` is the call where the record has its hash alone.

    Raises:
        Invalid: this is not a record, or the record does not hold its call (`call_not_kept`).
    """
    facts = recorded_facts(kept, call=call)
    again = record(bundle, facts, evaluate(bundle, facts))
    if isinstance(kept, dict) and isinstance(kept["facts"], dict):
        kept = {**kept, "facts": {**kept["facts"], "call": facts.call.document()}}
    # Not the engine: a newer one that gives the same verdict agrees.
    return isinstance(kept, dict) and all(
        canonical.encode(kept[part]) == canonical.encode(again[part])
        for part in ("bundle", "facts", "verdict")
    )
