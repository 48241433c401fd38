"""Passkeys, and the check of what they sign."""

from __future__ import annotations

from typing import Any

import pytest

from approvals.core import b64
from approvals.core.decision.ceremony import (
    Decision,
    Evidence,
    Statement,
    VerifiedEvidence,
    verify_evidence,
)
from approvals.core.errors import EvidenceError
from tests.company import NOW, ORIGIN, RP_ID, digest_of
from tests.softkey import EDDSA, ES256, RS256, SoftKey

STATEMENT = Statement(
    decision=Decision.APPROVE,
    request="req_1",
    request_digest=digest_of("request"),
    call_hash=digest_of("call"),
    display_digest=digest_of("display"),
    approver="ada",
    nonce=b64.encode(bytes(range(32))),
    iat=NOW,
    exp=NOW + 300,
)
KEYS = {
    algorithm: SoftKey(f"key {algorithm}", rp_id=RP_ID, origin=ORIGIN, algorithm=algorithm)
    for algorithm in (ES256, EDDSA, RS256)
}
KEY = KEYS[ES256]
SYNCED = SoftKey("synced", rp_id=RP_ID, origin=ORIGIN, backup_eligible=True, backed_up=True)


def check(evidence: Evidence, *, key: SoftKey = KEY, **changes: Any) -> VerifiedEvidence:
    known: dict[str, Any] = {
        "public_key": key.cose,
        "rp_id": RP_ID,
        "origins": (ORIGIN,),
        "now": NOW + 1,
        "backup_eligible": key.backup_eligible,
        "user_handle": key.user_handle,
        "enrolled_as": key.step_up,
    }
    statement = changes.pop("statement", STATEMENT)
    return verify_evidence(statement, evidence, **{**known, **changes})


def refused(evidence: Evidence, **changes: Any) -> str:
    with pytest.raises(EvidenceError) as caught:
        check(evidence, **changes)
    return caught.value.code
