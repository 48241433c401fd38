"""Logs the beginning of each signing key, and its end once that is known.

A key signs only after the log has its beginning. The command that writes a key file can be killed
before it logs the key, so the service itself looks for keys that the log does not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals import log
from approvals.core.history.events import KEY, Event, KeyIntroduced, KeyRetired
from approvals.core.history.leaves import parse_leaf
from approvals.flow.service import DEFAULT_TENANT

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        leaves = tx.log.told(tenant=DEFAULT_TENANT, subject=subject)
        known = {type(parse_leaf(leaf).event) for leaf in leaves}
        for event in _history(key, now=tx.now):
            if type(event) not in known:
                log.append(tx, event)
                told += 1
    return told


def _history(key: ApprovalKey, *, now: int) -> list[Event]:
    """What the log has to tell of a key by now."""
    subject, kid = KEY + key.kid, key.kid
    made: list[Event] = [
        KeyIntroduced(
            time=now,
            tenant=DEFAULT_TENANT,
            subject=subject,
            kid=kid,
            alg=key.signing.alg,
            activates=key.activates,
        )
    ]
    if key.retires is not None:
        retired = KeyRetired(
            time=now, tenant=DEFAULT_TENANT, subject=subject, kid=kid, retires=key.retires
        )
        made.append(retired)
    return made


def keep_introduced(service: Service) -> int:
    """Take in keys that another process has made, and tell the log of them; gives how many events.

    Costs the listing of a folder while there are none.
    """
    changed = service.keys.reload_if_changed()
    if changed or any(not service.knows(key.kid) for key in service.keys.approval_keys):
        return introduce(service)
    return 0
