"""Every way in which this library says no.

One small tree, so that a caller can catch exactly as much as it means to, and a stable `code` on
every error, so that a program never has to read a sentence. A message is written for the person who
must act on it; a code never changes its meaning. An exception of another family that escapes from
the core is a bug.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class AssentError(Exception):
    """What was asked for is refused.

    `code` is stable and for programs, `message` is a sentence for people, and `place` says where in
    the input the fault is: a JSON pointer, a claim, a file and line, or nothing. The message never
    repeats the place; `str` gives both, the place first.
    """

    default_code: ClassVar[str] = "error"

    def __init__(self, message: str, *, code: str | None = None, place: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code if code is not None else self.default_code
        self.place = place

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class AdmissionError(AssentError):
    """These bytes, or this value, are not JSON that can be read in one way only."""

    default_code = "not_json"


class CallError(AssentError):
    """This is not a tool call: its target or its tool's name cannot be used."""

    default_code = "call"


class BundleError(AssentError):
    """The bundle cannot be used; `problems` holds everything that was found wrong with it."""

    default_code = "bundle"

    def __init__(
        self,
        message: str,
        *,
        file: str,
        line: int | None = None,
        code: str | None = None,
        problems: Sequence[object] = (),
    ) -> None:
        super().__init__(message, code=code, place=file if line is None else f"{file}:{line}")
        self.file = file
        self.line = line
        self.problems = tuple(problems)


class JwsError(AssentError):
    """A token is refused: `malformed`, `type`, `unknown_key`, `algorithm` or `signature`."""

    default_code = "malformed"

    @property
    def reason(self) -> str:
        """The code, under the name that rejections of approvals use."""
        return self.code


class KeySetError(AssentError):
    """A key, or a set of keys, contradicts itself or holds what it must not."""

    default_code = "key"


class EvidenceError(AssentError):
    """A passkey's answer does not show that this person signed this statement."""

    default_code = "evidence"


class ProofError(AssentError):
    """A Merkle proof, a checkpoint or an opening does not show what it is said to show."""

    default_code = "proof"


class TransitionError(AssentError):
    """The request is not in a state in which this can happen to it."""

    default_code = "transition"


REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "malformed": "the approval is not written in the one form that is accepted",
        "type": "the token is of another type than an approval",
        "unknown_key": "the approval names a key that is not among the issuer's published keys",
        "algorithm": "the approval names another algorithm than its key is for",
        "signature": "the approval's signature does not verify",
        "issuer": "the approval was issued by another service",
        "audience": "the approval is made out to another enforcer",
        "tenant": "the approval belongs to another tenant",
        "not_yet_valid": "the approval is not valid yet",
        "expired": "the approval has expired",
        "directory": "the pinned directory of approvers' keys is too old, or from the future",
        "lifetime": "the approval claims a longer life than approvals may have",
        "call_mismatch": "the call about to run is not the call that was approved",
        "agent_mismatch": "the approval was given for another agent",
        "user_mismatch": "the approval was given for another user",
        "precondition": "the resource is no longer in the state that the approval was given for",
        "basis": "no person approved this, and this tool needs a person",
        "evidence": "a passkey signature in the approval does not hold",
        "quorum": "the approvals given do not fill what the rules require",
        "floor": "the approvals given do not fill what this enforcer itself requires",
        "consumed": "the approval has been spent",
        "revoked": "the approval has been revoked",
    }
)
"""Why an approval is rejected: the closed list of docs/protocol.md."""


class ApprovalRejected(AssentError):  # noqa: N818 - the name that enforcers catch; fixed by the protocol
    """The approval does not allow this call; `reason` is one of `REASONS`."""

    default_code = "malformed"

    def __init__(
        self, reason: str, message: str | None = None, *, place: str | None = None
    ) -> None:
        super().__init__(message or REASONS[reason], code=reason, place=place)

    @property
    def reason(self) -> str:
        """Which of the closed list of reasons it was."""
        return self.code


class ReceiptRejected(AssentError):  # noqa: N818 - beside ApprovalRejected, and named like it
    """What came back from spending is no receipt for this use: the call must not run.

    `reason` is the token's fault (`malformed`, `type`, `unknown_key`, `algorithm`, `signature`) or
    the claim that is another than expected.
    """

    default_code = "receipt"

    def __init__(self, message: str, *, reason: str, place: str | None = None) -> None:
        super().__init__(message, place=place)
        self.reason = reason


class NotFound(AssentError):  # noqa: N818 - an outcome in the words of HTTP
    """There is no such thing, or the caller may not know of it: the two are not told apart."""

    default_code = "not_found"


class Conflict(AssentError):  # noqa: N818 - an outcome in the words of HTTP
    """Something else happened first."""

    default_code = "conflict"


class Forbidden(AssentError):  # noqa: N818 - an outcome in the words of HTTP
    """The caller is known and may not do this."""

    default_code = "forbidden"


class Unauthenticated(AssentError):  # noqa: N818 - an outcome in the words of HTTP
    """The caller did not show who they are.

    `why` is for the operator's log; the caller is not told, or could find out who exists.
    """

    default_code = "unauthenticated"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        place: str | None = None,
        why: str | None = None,
    ) -> None:
        super().__init__(message, code=code, place=place)
        self.why = why


class Invalid(AssentError):  # noqa: N818 - an outcome in the words of HTTP
    """The input was read and makes no sense here."""

    default_code = "invalid"


class Unavailable(AssentError):  # noqa: N818 - an outcome in the words of HTTP
    """Something that is needed is away; nothing was done, and trying again later is right."""

    default_code = "unavailable"


class TooMany(AssentError):  # noqa: N818 - an outcome in the words of HTTP
    """Something was asked for too often; `retry_after` is in how many seconds it is worth it."""

    default_code = "rate_limited"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class OutcomeUnknown(AssentError):  # noqa: N818 - an outcome in the words of HTTP
    """A commit was ordered and its answer was lost: it may have been done, or not.

    Asking again under the same key tells which; docs/protocol.md, section 14, says how.
    """

    default_code = "outcome_unknown"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(
            message
            or "the database was lost while it committed: this may have been done or not; "
            "ask again with the same key to find out"
        )
