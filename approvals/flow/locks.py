"""In which order transactions lock what they share: written down once, kept by all of them.

Two transactions that lock the same rows in two orders wait for each other for ever, until
PostgreSQL ends one of them (SQLSTATE 40P01). So every transaction takes what it needs of this list
from the top down and never goes back up:

1. the bundle (`tx.bundles.hold`, `hold_alone`)
2. the agent (`tx.attention.hold`)
3. the `Idempotency-Key` (`tx.requests.claim_key`)
4. a challenge or an invitation that is taken (`take_ceremony`, `use_invitation`)
5. the request (`tx.requests.get(lock=True)`, `hold`, `open_with`)
6. its approval (`tx.approvals.get(lock=True)`): through `held`, below
7. passkeys, in the order of their ids (`tx.people.passkey`)
8. what belongs to a request that is held: its seats, votes and notices
9. counters, in the order of their keys (`tx.counters.add`)
10. the chains of events, in the order of their subjects (`tx.chains.settle`, when it commits)

Who takes many requests or approvals at once takes them with SKIP LOCKED, in the order of their ids:
it waits for nobody. On SQLite there is one writer, and nothing of this is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from approvals.store import Tx
    from approvals.store.approvals import IssuedApproval


def held(tx: Tx, *, tenant: str, jti: str) -> IssuedApproval | None:
    """The approval with this id, locked, after the request that it was given for.

    Until the transaction ends nobody else spends it, ends it, or changes its request.
    """
    found = tx.approvals.get(tenant=tenant, jti=jti)
    if found is None:
        return None
    tx.requests.hold(tenant=tenant, request_id=found.txn)
    return tx.approvals.get(tenant=tenant, jti=jti, lock=True)
