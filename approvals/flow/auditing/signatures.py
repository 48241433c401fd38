"""Whether every signing key was told to the log, and before it signed: part of `assent log check`.

Somebody with the folder of keys could add one, and somebody with the database approvals; what the
log does not tell of is found here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals import log
from approvals.core import b64, canonical
from approvals.core.errors import AssentError, Unavailable
from approvals.core.history.events import CallAllowed, KeyIntroduced, RequestApproved
from approvals.core.history.leaves import parse_leaf

if TYPE_CHECKING:
    from approvals.flow.service import Service

CHUNK = 1024


def unintroduced(service: Service) -> tuple[log.Finding, ...]:
    """Keys of which the log does not tell, and approvals that were signed before it did.

    Code `key_not_introduced`; the place is the key or the approval. Reads each leaf once.
    """
    found: list[log.Finding] = []
    with service.store.read() as tx:
        kids = {jti: _kid(token) for jti, token in tx.approvals.tokens()}
        try:
            waiting = [staged.leaf for staged in tx.log.staged(limit=tx.log.staged_count())]
        except Unavailable:
            return ()  # an event in line was altered, which `audit` finds
        introduced: set[str] = set()
        start = 0
        while leaves := [leaf.leaf for leaf in tx.log.leaves(start, start + CHUNK)] or waiting:
            if leaves is waiting:
                waiting = []
            start += CHUNK
            for leaf in leaves:
                match parse_leaf(leaf).event:
                    case KeyIntroduced(kid=kid):
                        introduced.add(kid)
                    case CallAllowed(approval=jti) | RequestApproved(approval=jti) if (
                        kids.get(jti, "") not in introduced
                    ):
                        told = "signed by a key of which the log does not tell before it"
                        found.append(_finding(jti, told))
                    case _:
                        pass
    found += [
        _finding(key.kid, "the log does not tell of this key; the service mends that when it runs")
        for key in service.keys.approval_keys
        if key.kid not in introduced
    ]
    return tuple(found[: log.MOST_FINDINGS])


def _finding(place: str, message: str) -> log.Finding:
    return log.Finding("key_not_introduced", place, message)


def _kid(token: str) -> str:
    """The key that a token names; not verified, since a wrong one is what is looked for."""
    try:
        header = canonical.parse_object(b64.decode(token.partition(".")[0]), max_bytes=4096)
    except (ValueError, AssentError):
        return ""
    return str(header.get("kid", ""))
