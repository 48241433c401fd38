"""What goes over the wire, as types: they check what comes in and write what goes out.

Requests are strict: no member that is not listed, no value of a neighbouring type. They are read
from JSON that was admitted strictly before (see `bodies`), never by a lenient parser.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

from approvals.core.approval import APPROVAL, OCCASION_PATTERN, REQUEST, VERDICT
from approvals.core.calls import MAX_TARGET, TARGET_PATTERN
from approvals.core.canonical import MAX_INTEGER
from approvals.core.documents import DIGEST_PATTERN
from approvals.core.names import MAX_TOOL, TOOL_PATTERN

# Control characters have no place in names; NUL not even in a database's text.
Name = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Line = Annotated[
    str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Prose = Annotated[str, StringConstraints(max_length=4_000, pattern=r"^[^\x00]*$")]
Digest = Annotated[str, StringConstraints(pattern=f"^{DIGEST_PATTERN}$")]

REQUEST_ID = f"^{REQUEST}{OCCASION_PATTERN}$"
OCCASION_ID = f"^({REQUEST}|{VERDICT}){OCCASION_PATTERN}$"
APPROVAL_ID = f"^{APPROVAL}{OCCASION_PATTERN}$"
TILE = r"^(entries|[0-9]{1,2})/(x[0-9]{3}/)*[0-9]{3}(\.p/[0-9]{1,3})?$"
TARGET = f"^{TARGET_PATTERN}$"
TOOL = f"^{TOOL_PATTERN}$"
IDEMPOTENCY_KEY = r"^[\x21-\x7e]{1,200}$"


JSON_SCHEMA: dict[str, Any] = {
    "description": "I-JSON (RFC 7493), at most 32 levels deep in the body, without -0.",
    "oneOf": [
        {"type": ["null", "boolean", "string"]},
        {"type": "number", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
        {"type": "array", "items": {"$ref": "#/components/schemas/Json"}},
        {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Json"}},
    ],
}
"""As far as JSON Schema can say it; what it cannot is refused by `approvals.core.canonical`."""
ARGUMENTS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"$ref": "#/components/schemas/Json"},
}


class _Sent(BaseModel):
    """A body that callers send."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class Call(_Sent):
    """The tool call, complete: what is hashed, shown, approved and then run."""

    target: Annotated[str, StringConstraints(max_length=MAX_TARGET, pattern=TARGET)] = Field(
        description="Stable identity of the system called: an absolute URI without a fragment, "
        "compared as it is written.",
        examples=["https://payments.example"],
    )
    tool: Annotated[str, StringConstraints(max_length=MAX_TOOL, pattern=TOOL)] = Field(
        description="The tool's name.", examples=["payment.release"]
    )
    args: Annotated[dict[str, Any], WithJsonSchema(ARGUMENTS_SCHEMA)] = Field(
        description="The complete object that the tool will receive, defaults included.",
        examples=[{"amount_usd": 4000, "memo": "invoice 7781"}],
    )


class Provenance(_Sent):
    """Where the call came from, as the enforcer tells it. It is logged and decides nothing."""

    model: Name | None = Field(default=None, description="The model and its version.")
    prompt_hash: Line | None = Field(default=None, description="A hash that names the prompt.")
    context_refs: Annotated[list[Line], Field(max_length=64)] = Field(
        default=[], description="References to what was retrieved for the prompt."
    )


class Submission(_Sent):
    """A call that asks to be let through."""

    call: Call
    agent: Name = Field(description="The agent that makes the call, as in agents.yaml.")
    user: Name = Field(description="The person it is made for, as in people.yaml.")
    task: Line | None = Field(default=None, description="The task that the call belongs to.")
    precondition: Line | None = Field(
        default=None, description="An ETag or version the resource must still have."
    )
    explanation: Prose | None = Field(
        default=None, description="The agent's own words: shown as unverified, decides nothing."
    )
    provenance: Provenance | None = None


class Consumption(_Sent):
    """Which call an approval is spent on, and by which use."""

    call_hash: Digest = Field(description="The hash of the call about to run, computed from it.")
    use_id: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,200}$")] = Field(
        description="Made by the enforcer for this use. The same again gets the same receipt."
    )


class OutcomeReport(_Sent):
    """What became of the call."""

    status: Literal["ok", "error"]
    output_hash: Digest | None = Field(
        default=None, description="SHA-256 of the RFC 8785 form of the output, base64url."
    )


class AllowAnswer(BaseModel):
    """Policy let the call through by itself."""

    decision: Literal["allow"] = "allow"
    id: str = Field(description="The verdict's id.")
    approval: str = Field(description="The signed approval, to be verified and spent.")


class Progress(BaseModel):
    """How far one requirement is filled."""

    rule: str
    reason: str | None
    approvers: list[str]
    step_up: str
    quorum: int
    filled: int


class Denial(BaseModel):
    """Who denied, and the reason they gave: text of a person, data for the agent."""

    by: str
    reason: str | None
    retry_after: int = Field(
        description="In how many seconds people may be asked about the same call again."
    )


class RequestStatus(BaseModel):
    """A request as its enforcer sees it."""

    id: str
    state: Literal["pending", "approved", "denied", "expired", "cancelled", "revoked"]
    request_digest: str
    call_hash: str
    created: int
    expires: int
    url: str = Field(description="The page where people decide.")
    progress: list[Progress]
    denied: Denial | None
    approval: str | None = Field(description="The signed approval, once there is one.")


class DenyAnswer(BaseModel):
    """Policy refused the call, or people are not asked about it now."""

    decision: Literal["deny"] = "deny"
    id: str
    code: str = Field(description="Why, stable.")
    rules: list[str] = Field(description="The rules that refused.")
    reasons: list[str] = Field(description="The rules' sentences.")
    retry_after: int | None = Field(
        description="In how many seconds asking again may lead to another answer; null where time "
        "changes nothing.",
    )
    request: RequestStatus | None = Field(
        description="With cooling_down: your request of this very call that a person denied; null "
        "where it is another enforcer's, and with every other code.",
    )


class EscalateAnswer(BaseModel):
    """People are asked; the same call submitted again finds the same request."""

    decision: Literal["escalate"] = "escalate"
    request: RequestStatus


class Receipt(BaseModel):
    """Proof that this use of this approval is the one that counts."""

    receipt: str = Field(
        description="A compact JWS of type assent-receipt+jwt: verify it before anything runs."
    )


class LogIdentity(BaseModel):
    """The transparency log: where it is and the key that signs its checkpoints."""

    url: str
    origin: str
    vkey: str


class Configuration(BaseModel):
    """Where things are."""

    issuer: str
    jwks_uri: str
    jwks_history_uri: str
    submission_endpoint: str
    requests_endpoint: str
    approvals_endpoint: str
    people_keys_endpoint: str
    log: LogIdentity
    webhook_public_key: str
    approval_types_supported: list[str]
    signing_alg_values_supported: list[str]
    max_body_bytes: int
    max_wait_seconds: int


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Checked(BaseModel):
    """One thing that granting needs."""

    ok: bool
    age: float | None = Field(
        default=None, description="Seconds since it was last seen to be fine, or was asked."
    )
    code: str | None = Field(default=None, description="What is wrong.")
    remedy: str | None = Field(default=None, description="What the operator can do.")


class Readiness(BaseModel):
    """Whether the process can grant now, and each thing that it needs for that."""

    status: Literal["ok"] = "ok"
    checks: dict[str, Checked]


class Problem(BaseModel):
    """RFC 9457, with a stable code."""

    type: str = Field(examples=["urn:assent:problem:not_found"])
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable: never changes its meaning.")
    place: str | None = Field(
        default=None, description="Where in the input: a JSON pointer, a header, a parameter."
    )
