"""Writes tests/vectors/approval/: a file for each reason for a rejection, and for what passes.

    python -m tests.vectors.make_approval_vectors

Each file says what a verifier is given and what it must answer, so that a verifier in another
language can be held to docs/protocol.md. Keys are made fresh in memory and never written: running
this again gives other tokens with the same answers.

`directory_max_age` is how old the pinned directory may be, in seconds; where it is left out, the
age is not looked at.

`decided_by` is `verifier`, or `spending` for the two reasons that only the service can know: there
the verifier accepts, and consuming the approval is refused with that reason.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from approvals.core import b64, jws
from approvals.core.approval import TOKEN_TYPE
from approvals.core.directory import FormerKey
from tests.company import CALL, NOW, TWO_FROM_FINANCE, make_signing_key
from tests.vectors.approval_floors import floors
from tests.vectors.approval_vector import COMPANY, STOOD_IN, Vector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from approvals.core.directory import Directory

HERE = Path(__file__).parent / "approval"


def header(token: str, **changes: Any) -> str:
    """The token with another header and the signature it had."""
    first, payload, signature = token.split(".")
    members = {**json.loads(b64.decode(first)), **changes}
    raw = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    return ".".join((b64.encode(raw), payload, signature))


def of_another_time(**changes: Any) -> dict[str, Any]:
    """The directory's document as of another time."""
    return replace(COMPANY.directory, **changes).document()


def retired(person: str) -> dict[str, Any]:
    """The directory's document after this person's passkey ended, a second after the vote."""
    ended = tuple(
        FormerKey(person=person, key=key, until=NOW)
        for known in COMPANY.directory.people
        for key in known.keys
        if known.id == person
    )
    people = tuple(
        replace(known, keys=()) if known.id == person else known
        for known in COMPANY.directory.people
    )
    return replace(COMPANY.directory, people=people, former_keys=ended).document()


def enrolled_at(person: str, time: int) -> dict[str, Any]:
    """The directory's document with this person's passkeys enrolled at that time."""
    people = tuple(
        replace(known, keys=tuple(replace(key, since=time) for key in known.keys))
        if known.id == person
        else known
        for known in COMPANY.directory.people
    )
    return replace(COMPANY.directory, people=people).document()


def timed(**times: int) -> dict[str, Any]:
    """The service's keys with `nbf` or `exp`."""
    return {"keys": [{**COMPANY.key.public_jwk(), **times}]}


def replace_step_up(directory: Directory, person: str) -> dict[str, Any]:
    """The directory's document with this person's passkeys as passkeys like any other."""
    document: dict[str, Any] = directory.document()
    for each in document["people"]:
        if each["id"] == person:
            for key in each["keys"]:
                key["step_up"] = "passkey"
    return document


def vectors() -> Iterator[Vector]:
    """All of them."""
    document = COMPANY.request()
    approval = COMPANY.approval(document)
    token = COMPANY.token(approval)
    ada, ben = approval.approvals
    yield Vector("accepted-human", None, "two people approved with their passkeys", token)
    allowed = COMPANY.token(COMPANY.allowed())
    yield Vector(
        "accepted-policy", None, "policy allowed it; no people pinned", allowed, pinned=False
    )
    conditional = COMPANY.token(COMPANY.approval(COMPANY.request(precondition='"7"')))
    yield Vector(
        "accepted-precondition",
        None,
        "given for one state of the resource, which still holds",
        conditional,
        given={"precondition": '"7"'},
    )
    away = COMPANY.request(STOOD_IN)
    yield Vector(
        "accepted-stand-in",
        None,
        "ben is away; dora, whom the directory lists as his stand-in, approves for him",
        COMPANY.token(COMPANY.approval(away, [COMPANY.vote(who, away) for who in ("ada", "dora")])),
    )
    yield from written(token)
    yield from floors()
    claims: list[tuple[str, str, dict[str, Any]]] = [
        ("issuer", "issued by another service", {"issuer": "https://other.example"}),
        ("audience", "made out to another enforcer", {"audience": "other-gateway"}),
        ("tenant", "of another tenant", {"tenant": "other"}),
        ("lifetime", "lives 901 seconds", {"expires": approval.not_before + 901}),
        ("not_yet_valid", "starts 31 seconds from now", shifted(NOW + 31)),
        ("expired", "ended 30 seconds ago", shifted(NOW - 330)),
        ("call_mismatch", "names another tool", {"tool": "refund"}),
    ]
    for reason, about, changes in claims:
        yield Vector(reason, reason, about, COMPANY.token(replace(approval, **changes)))
    given: list[tuple[str, str, str, dict[str, Any]]] = [
        ("call_mismatch-args", "call_mismatch", "another amount runs", {"call": another_call()}),
        ("agent_mismatch", "agent_mismatch", "another agent runs it", {"agent": "other"}),
        ("user_mismatch", "user_mismatch", "another user's account", {"user": "una"}),
        ("precondition-unasked", "precondition", "the enforcer has one", {"precondition": '"7"'}),
    ]
    for name, reason, about, more in given:
        yield Vector(name, reason, about, token, given=more)
    yield Vector("precondition", "precondition", "the enforcer gives none", conditional)
    yield Vector("basis", "basis", "policy alone, where people are pinned", allowed)
    exchanged = (replace(ada, evidence=ben.evidence), replace(ben, evidence=ada.evidence))
    yield Vector(
        "evidence",
        "evidence",
        "each person's statement with the other's signature",
        COMPANY.token(replace(approval, approvals=exchanged)),
    )
    yield Vector(
        "directory-old",
        "directory",
        "the pinned directory is older than this enforcer takes it",
        COMPANY.token(COMPANY.approval()),
        given={"directory_max_age": 999},
    )
    yield Vector(
        "directory-just-old-enough",
        None,
        "the pinned directory is as old as it may be",
        COMPANY.token(COMPANY.approval()),
        given={"directory_max_age": 1000},
    )
    yield Vector(
        "directory-future",
        "directory",
        "the pinned directory says that it is of the year 9999",
        COMPANY.token(COMPANY.approval()),
        given={"directory": of_another_time(issued=253_402_300_799)},
    )
    yield Vector(
        "evidence-retired",
        "evidence",
        "ada's passkey has ended since: it is among the former ones, at which nobody looks for "
        "what is about to run",
        COMPANY.token(COMPANY.approval()),
        given={"directory": retired("ada")},
    )
    yield Vector(
        "evidence-before-enrolment",
        "evidence",
        "ada's passkey was enrolled after she voted",
        COMPANY.token(COMPANY.approval()),
        given={"directory": enrolled_at("ada", NOW)},
    )
    yield Vector(
        "unknown_key-retired",
        "unknown_key",
        "the key that signed has its end behind it",
        COMPANY.token(COMPANY.approval()),
        given={"jwks": timed(exp=NOW)},
    )
    yield Vector(
        "unknown_key-later",
        "unknown_key",
        "the key that signed was to sign later only",
        COMPANY.token(COMPANY.approval()),
        given={"jwks": timed(nbf=NOW - 9)},
    )
    yield Vector(
        "accepted-timed-key",
        None,
        "the key that signed was in its time, and still is",
        COMPANY.token(COMPANY.approval()),
        given={"jwks": timed(nbf=NOW - 10, exp=NOW + 1)},
    )
    software = replace_step_up(COMPANY.directory, "ada")
    yield Vector(
        "evidence-hardware",
        "evidence",
        "claims a hardware passkey; the directory lists it as a passkey like any other",
        token,
        given={"directory": software},
    )
    yield Vector(
        "evidence-request",
        "evidence",
        "the claims name another user than the request that people saw",
        COMPANY.token(replace(approval, user="una")),
    )
    yield Vector(
        "quorum", "quorum", "one of two", COMPANY.token(replace(approval, approvals=(ada,)))
    )
    yield Vector(
        "quorum-twice",
        "quorum",
        "one person twice",
        COMPANY.token(replace(approval, approvals=(ada, ada))),
    )
    stood_in: list[tuple[str, str, str, tuple[str, str]]] = [
        ("quorum-stand-in", "uma", "cleo is not listed as a stand-in of ben's", ("cleo", "ben")),
        ("quorum-stand-in-group", "uma", "cleo, who is away, is not in finance", ("dora", "cleo")),
        ("quorum-stand-in-self", "ben", "for the person whom the call is for", ("dora", "ben")),
    ]
    for name, user, about, pair in stood_in:
        asked = replace(STOOD_IN, eligible=("ada", pair[0]), stand_ins=(pair,))
        document = COMPANY.request(asked, user=user)
        votes = [COMPANY.vote("ada", document), COMPANY.vote(pair[0], document)]
        yield Vector(name, "quorum", about, COMPANY.token(COMPANY.approval(document, votes)))
    helper = COMPANY.request(replace(TWO_FROM_FINANCE, eligible=("ada", "ben", "dora")))
    votes = [COMPANY.vote("ada", helper), COMPANY.vote("dora", helper)]
    yield Vector(
        "quorum-group",
        "quorum",
        "dora is listed as eligible and is not in the group that the rule names",
        COMPANY.token(COMPANY.approval(helper, votes)),
    )
    own = COMPANY.request(user="ada")
    yield Vector(
        "quorum-self",
        "quorum",
        "approved by the person it is for",
        COMPANY.token(COMPANY.approval(own)),
    )
    for reason in ("consumed", "revoked"):
        about = f"valid, and {reason}: only spending it can tell"
        yield Vector(reason, reason, about, token, decided_by="spending")


def written(token: str) -> Iterator[Vector]:
    """What is wrong with a token before anybody reads what it claims."""
    stranger = make_signing_key()
    approval = COMPANY.approval()
    claims = approval.claims()
    yield Vector("malformed", "malformed", "padded base64url", token + "=")
    crit = header(token, crit=["exp"])
    yield Vector("malformed-crit", "malformed", "a header member that asks for more", crit)
    embedded = header(token, jwk=stranger.public_jwk())
    yield Vector("malformed-jwk", "malformed", "brings its own key", embedded)
    added = jws.sign({**claims, "scope": "all"}, key=COMPANY.key, typ=TOKEN_TYPE)
    yield Vector("malformed-claim", "malformed", "a claim that is not of an approval", added)
    second = COMPANY.token(replace(approval, jti="apr_" + "b" * 26))
    yield Vector("malformed-jti", "malformed", "a second id for one occasion", second)
    other = jws.sign(claims, key=COMPANY.key, typ="JWT")
    yield Vector("type", "type", "typed as any JWT", other)
    unknown = jws.sign(claims, key=stranger, typ=TOKEN_TYPE)
    yield Vector("unknown_key", "unknown_key", "signed by a key that is not published", unknown)
    none = header(token, alg="none")
    yield Vector("algorithm", "algorithm", "asks for no signature", none)
    hmac = header(token, alg="HS256")
    yield Vector("algorithm-hmac", "algorithm", "asks to use the public key as a secret", hmac)
    first, payload, _ = token.split(".")
    moved = ".".join((first, payload, unknown.rpartition(".")[2]))
    yield Vector("signature", "signature", "signed by another key than it names", moved)


def shifted(start: int) -> dict[str, Any]:
    """An ordinary life, at another time."""
    return {"issued": start, "not_before": start, "expires": start + 300}


def another_call() -> dict[str, Any]:
    """The call with more money in it."""
    return {"target": CALL.target, "tool": CALL.tool, "args": {**CALL.args, "amount": "7500.00"}}


def main() -> None:
    """Write every file anew."""
    HERE.mkdir(exist_ok=True)
    for old in HERE.glob("*.json"):
        old.unlink()
    for vector in vectors():
        text = json.dumps(vector.document(), indent=1, ensure_ascii=True)
        (HERE / f"{vector.name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
