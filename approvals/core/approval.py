"""The approval: what the service signs, and what an enforcer reads, claims and token both ways.

An approval lets one call run once, at one enforcer, for minutes. What holds of one that was read by
`from_claims`: every claim is there and nothing else is; it is for exactly one tool call; its id and
the id of the occasion it came from are one id with two prefixes. That last rule is what stops
whoever has stolen the signing key from minting a second, separately spendable approval out of one
human decision: the passkeys signed the request's id, and the request's id gives the only id that an
approval of it can have.

Whether its times, hashes, evidence and quorum are right is for `approvals.verifier`. Follows RFC
7519, RFC 8693 (act), RFC 8417 (txn), RFC 9396 (authorization_details) and docs/protocol.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from approvals.core import canonical, documents, jws, sizes
from approvals.core.decision.ceremony import Decision, Evidence, Statement, StepUp
from approvals.core.decision.vote import Vote
from approvals.core.requests import RequestDocument

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from approvals.core.canonical import Json
    from approvals.core.decision.requirement import Requirement

TOKEN_TYPE = "agent-approval+jwt"  # noqa: S105 - a media type, not a secret
DETAIL_TYPE = "urn:assent:tool-call"
MAX_LIFE = 900
"""Seconds between an approval's start and its end, at most."""
MAX_SKEW = 30
"""Seconds by which clocks may differ, at most."""
MAX_VOTES = sizes.PLACES

# What an approval holds beside requirements and votes: ids, digests, names and times, each bounded.
_REST_BYTES = 16_384
# A vote beside its evidence: the statement, names and times.
_VOTE_BYTES = 1_536
# Base64url of payload and signature, and the header, are within the token.
_PAYLOAD_BYTES = (sizes.TOKEN - sizes.HEADER - 128) * 3 // 4

REQUEST, VERDICT, APPROVAL = "req_", "vrd_", "apr_"
OCCASION_PATTERN = r"[a-z2-7]{26}"
_OCCASION = re.compile(OCCASION_PATTERN, re.ASCII)


class Basis(StrEnum):
    """On what authority a call may run."""

    HUMAN = "human"
    POLICY = "policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A vote that fills a place, as the approval carries it, with its evidence if there is any."""

    approver: str
    time: int
    acr: StepUp
    requirement: str
    statement: Statement | None
    evidence: Evidence | None

    @classmethod
    def of(cls, vote: Vote, rule: str) -> Counted:
        """The vote that `requests.assign` put in a place of `rule`."""
        return cls(
            approver=vote.approver,
            time=vote.time,
            acr=vote.step_up,
            requirement=rule,
            statement=vote.statement,
            evidence=vote.evidence,
        )

    def vote(self) -> Vote:
        """The vote that it says was cast."""
        return Vote(
            approver=self.approver,
            decision=Decision.APPROVE,
            step_up=self.acr,
            time=self.time,
            statement=self.statement,
            evidence=self.evidence,
        )

    def document(self) -> dict[str, Json]:
        """The JSON form."""
        return {
            "approver": self.approver,
            "time": self.time,
            "acr": self.acr.value,
            "amr": list(self.acr.amr),
            "requirement": self.requirement,
            "statement": None if self.statement is None else self.statement.document(),
            "evidence": None if self.evidence is None else self.evidence.document(),
        }


_COUNTED: Mapping[str, tuple[type, ...]] = {
    "approver": (str,),
    "time": (int,),
    "acr": (str,),
    "amr": (list,),
    "requirement": (str,),
    "statement": (dict, documents.NULL),
    "evidence": (dict, documents.NULL),
}
_STEP_UPS = {step_up.value: step_up for step_up in StepUp}


def fits(requirements: Sequence[Requirement]) -> bool:
    """Whether the approval of such a request is one that verifiers take, whoever decides it.

    An approval holds the whole request and the evidence of each vote that fills a place.
    """
    places = sum(requirement.quorum for requirement in requirements)
    listed: list[Json] = [requirement.document() for requirement in requirements]
    size = len(canonical.encode(listed)) + places * (sizes.VOTE_EVIDENCE + _VOTE_BYTES)
    return places <= MAX_VOTES and size + _REST_BYTES <= _PAYLOAD_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One approval. `txn` is its occasion: a request, or a verdict where nobody was asked."""

    issuer: str
    audience: str
    jti: str
    issued: int
    not_before: int
    expires: int
    user: str
    agent: str
    txn: str
    tenant: str
    target: str
    tool: str
    call_hash: str
    request_digest: str
    bundle: str
    rules: tuple[str, ...]
    basis: Basis
    precondition: str | None = None
    request: RequestDocument | None = None
    approvals: tuple[Counted, ...] = ()

    def claims(self) -> dict[str, Json]:
        """The claims of the token."""
        claims: dict[str, Json] = {
            "iss": self.issuer,
            "aud": self.audience,
            "jti": self.jti,
            "iat": self.issued,
            "nbf": self.not_before,
            "exp": self.expires,
            "sub": self.user,
            "act": {"sub": self.agent},
            "txn": self.txn,
            "tenant": self.tenant,
            "authorization_details": [
                {
                    "type": DETAIL_TYPE,
                    "locations": [self.target],
                    "actions": ["tools/call"],
                    "identifier": self.tool,
                    "call_hash": self.call_hash,
                }
            ],
            "request_digest": self.request_digest,
            "policy": {"bundle": self.bundle, "rules": list(self.rules)},
            "basis": self.basis.value,
            "approvals": [counted.document() for counted in self.approvals],
            "max_uses": 1,
        }
        if self.precondition is not None:
            claims["precondition"] = self.precondition
        if self.request is not None:
            claims["request"] = self.request.document()
        return claims

    @classmethod
    def from_claims(cls, claims: Mapping[str, Json]) -> Approval:
        """Read the claims strictly; `Invalid` names the claim that is wrong."""
        it = documents.read(claims, _shape(claims), "approval")
        basis = _BASES.get(it["basis"])
        if basis is None:
            documents.refuse("approval.basis", "not a basis that this version knows")
        if ("request" in it) is not (basis is Basis.HUMAN):
            documents.refuse("approval.request", "there exactly where people decided")
        if basis is Basis.POLICY and it["approvals"]:
            documents.refuse("approval.approvals", "nobody is asked on the basis of policy")
        if len(it["approvals"]) > MAX_VOTES:
            documents.refuse("approval.approvals", f"more than {MAX_VOTES}")
        verify_occasion(it["jti"], it["txn"], "approval")
        kind = VERDICT if basis is Basis.POLICY else REQUEST
        if not it["txn"].startswith(kind):
            documents.refuse("approval.txn", f"not an id of the form {kind}…")
        if it["max_uses"] != 1:
            documents.refuse("approval.max_uses", "not 1")
        for name in ("iat", "nbf", "exp"):
            documents.moment(it[name], f"approval.{name}")
        actor = documents.read(it["act"], _ACTOR, "approval.act")
        policy = documents.read(it["policy"], _POLICY, "approval.policy")
        target, tool, call_hash = _call(it["authorization_details"])
        return cls(
            issuer=it["iss"],
            audience=it["aud"],
            jti=it["jti"],
            issued=it["iat"],
            not_before=it["nbf"],
            expires=it["exp"],
            user=it["sub"],
            agent=actor["sub"],
            txn=it["txn"],
            tenant=it["tenant"],
            target=target,
            tool=tool,
            call_hash=call_hash,
            request_digest=documents.digest(it["request_digest"], "approval.request_digest"),
            bundle=policy["bundle"],
            rules=documents.strings(policy["rules"], "approval.policy.rules"),
            basis=basis,
            precondition=it.get("precondition"),
            request=RequestDocument.from_document(it["request"], "approval.request")
            if "request" in it
            else None,
            approvals=_all_counted(it["approvals"]) if it["approvals"] else (),
        )


_BASES = {basis.value: basis for basis in Basis}
_ALWAYS: dict[str, tuple[type, ...]] = {
    "iss": (str,),
    "aud": (
        str,
    ),  # RFC 7519 allows a list: an approval for two enforcers could be spent by the other
    "jti": (str,),
    "iat": (int,),
    "nbf": (int,),
    "exp": (int,),
    "sub": (str,),
    "act": (dict,),
    "txn": (str,),
    "tenant": (str,),
    "authorization_details": (list,),
    "request_digest": (str,),
    "policy": (dict,),
    "basis": (str,),
    "approvals": (list,),
    "max_uses": (int,),
}
_SHAPES: dict[tuple[bool, bool], Mapping[str, tuple[type, ...]]] = {
    (False, False): _ALWAYS,
    (True, False): {**_ALWAYS, "precondition": (str,)},
    (False, True): {**_ALWAYS, "request": (dict,)},
    (True, True): {**_ALWAYS, "precondition": (str,), "request": (dict,)},
}
_ACTOR: Mapping[str, tuple[type, ...]] = {"sub": (str,)}
_POLICY: Mapping[str, tuple[type, ...]] = {"bundle": (str,), "rules": (list,)}
_DETAIL: Mapping[str, tuple[type, ...]] = {
    "type": (str,),
    "locations": (list,),
    "actions": (list,),
    "identifier": (str,),
    "call_hash": (str,),
}


def _shape(claims: Mapping[str, Json]) -> Mapping[str, tuple[type, ...]]:
    return _SHAPES["precondition" in claims, "request" in claims]


def verify_occasion(jti: str, txn: str, place: str) -> None:
    """Check that `jti` is the approval of the occasion `txn`; `Invalid` otherwise.

    `txn` names a request or a verdict.
    """
    kind, occasion = txn[: len(REQUEST)], txn[len(REQUEST) :]
    if kind not in {REQUEST, VERDICT} or _OCCASION.fullmatch(occasion) is None:
        documents.refuse(f"{place}.txn", f"not an id of the form {REQUEST}… or {VERDICT}…")
    if jti != APPROVAL + occasion:
        documents.refuse(f"{place}.jti", "not the id that an approval of this occasion has")


def _call(details: list[Json]) -> tuple[str, str, str]:
    place = "approval.authorization_details"
    if len(details) != 1:
        documents.refuse(place, "not exactly one call")
    it = documents.read(details[0], _DETAIL, f"{place}[0]")
    if it["type"] != DETAIL_TYPE or it["actions"] != ["tools/call"]:
        documents.refuse(f"{place}[0]", "not a tool call")
    locations = documents.strings(it["locations"], f"{place}[0].locations")
    if len(locations) != 1:
        documents.refuse(f"{place}[0].locations", "not exactly one target")
    return (
        locations[0],
        it["identifier"],
        documents.digest(it["call_hash"], f"{place}[0].call_hash"),
    )


def _all_counted(listed: list[Json]) -> tuple[Counted, ...]:
    return tuple(
        _counted(item, f"approval.approvals[{index}]") for index, item in enumerate(listed)
    )


def _counted(document: Json, place: str) -> Counted:
    it = documents.read(document, _COUNTED, place)
    acr = _STEP_UPS.get(it["acr"])
    if acr is None:
        documents.refuse(f"{place}.acr", "not a step-up")
    if it["amr"] != list(acr.amr):
        documents.refuse(f"{place}.amr", "not the methods of this step-up")
    if (it["statement"] is None) is not (it["evidence"] is None):
        documents.refuse(f"{place}.evidence", "a statement and its evidence go together")
    if (it["statement"] is None) is not (acr is StepUp.SESSION):
        documents.refuse(f"{place}.evidence", "there exactly where a passkey decided")
    return Counted(
        approver=it["approver"],
        time=documents.moment(it["time"], f"{place}.time"),
        acr=acr,
        requirement=it["requirement"],
        statement=None
        if it["statement"] is None
        else Statement.from_document(it["statement"], f"{place}.statement"),
        evidence=None
        if it["evidence"] is None
        else Evidence.from_document(it["evidence"], f"{place}.evidence"),
    )


def issue(approval: Approval, *, key: jws.SigningKey) -> str:
    """The token of an approval."""
    return jws.sign(approval.claims(), key=key, typ=TOKEN_TYPE)


def counted(assigned: Iterable[tuple[Vote, str]]) -> tuple[Counted, ...]:
    """The votes that fill the places, as `requests.assign` gave them."""
    return tuple(Counted.of(vote, rule) for vote, rule in assigned)
