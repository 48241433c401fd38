"""Logs the beginning of each signing key, and its end once that is known.

A key signs only after the log has its beginning. The command that writes a key file can be killed
before it logs the key, so the service itself looks for keys that the log does not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals import log
from approvals.core.history.events import KEY, Event, EventType, parse_leaf
from approvals.flow.service import DEFAULT_TENANT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.core.canonical import Json
    from approvals.flow.service import Service
    from approvals.keys.keyring import ApprovalKey
    from approvals.store import Tx


def introduce(service: Service) -> int:
    """Log beginnings and ends of approval keys that the log does not have yet; gives how many.

    Idempotent. Every command that makes a key calls it, and so does the service at its start and
    when a key appears. So a key is logged even where the command that made it was killed.
    """
    keys = service.keys.approval_keys
    with service.store.begin() as tx:
        # One process at a time, or two that start together would both tell.
        if not tx.log.lead():
            return 0
        told = tell(tx, keys)
    service.introduced(key.kid for key in keys)
    return told


def tell(tx: Tx, keys: Sequence[ApprovalKey]) -> int:
    """As `introduce`, in a transaction that leads; the caller notes what was introduced."""
    told = 0
    for key in keys:
        subject = KEY + key.kid
        known = {
            parse_leaf(leaf).type for leaf in tx.log.told(tenant=DEFAULT_TENANT, subject=subject)
        }
        facts: list[tuple[EventType, dict[str, Json]]] = [
            (
                EventType.KEY_INTRODUCED,
                {"kid": key.kid, "alg": key.signing.alg, "activates": key.activates},
            )
        ]
        if key.retires is not None:
            facts.append((EventType.KEY_RETIRED, {"kid": key.kid, "retires": key.retires}))
        for kind, public in facts:
            if kind not in known:
                log.append(
                    tx, Event(kind, tx.now, DEFAULT_TENANT, subject, public=public, secret={})
                )
                told += 1
    return told


def keep_introduced(service: Service) -> int:
    """Take in keys that another process has made, and tell the log of them; gives how many events.

    Costs the listing of a folder while there are none.
    """
    changed = service.keys.reload_if_changed()
    if changed or any(not service.knows(key.kid) for key in service.keys.approval_keys):
        return introduce(service)
    return 0
