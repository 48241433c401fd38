"""Who acts, by the bundle that is current in the transaction in which they act.

A caller was authenticated before the transaction, by a bundle of up to a second ago, and a waiting
caller long before. By the time that something is granted, spent, shown or taken back the enforcer
may have been removed, its key replaced, its targets or agents given to another. So every use case
asks here first, in its own transaction and after the locks that it waits for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from approvals.core.errors import Forbidden, Unauthenticated, Unavailable
from approvals.flow.service import DEFAULT_TENANT

if TYPE_CHECKING:
    from approvals.core.registry import Enforcer
    from approvals.flow.acting.caller import Caller
    from approvals.flow.service import Service
    from approvals.policy.bundle import Bundle
    from approvals.store import Tx

STRANGER: Final = "the bearer token is missing or not one of a registered enforcer's"


def stranger(why: str) -> Unauthenticated:
    """The one answer to whatever is wrong; `why` is for the operator's log alone."""
    return Unauthenticated(STRANGER, why=why)


def enforcer_of(service: Service, tx: Tx, caller: Caller) -> Enforcer:
    """The caller as the current bundle registers it.

    Raises:
        Unauthenticated: the bundle has no such enforcer any more, or not with the key that signed
            the caller's token.
        Unavailable: no bundle has been activated (`no_bundle`).
    """
    try:
        bundle = service.current_bundle(tx, caller.tenant).bundle
    except Unavailable as error:
        if error.code == "no_bundle" and caller.tenant != DEFAULT_TENANT:
            raise stranger("unknown_tenant") from None
        raise
    return registered(bundle, caller)


def registered(bundle: Bundle, caller: Caller) -> Enforcer:
    """The caller as this bundle registers it; raises `Unauthenticated` as `enforcer_of` does."""
    found = bundle.enforcers.get(caller.enforcer)
    if found is None:
        raise stranger("unknown_enforcer")
    if not any(key["kid"] == caller.key for key in found.keys):
        raise stranger("unknown_key")
    return found


def must_serve(enforcer: Enforcer, *, target: str, agent: str) -> None:
    """Refuse a call that is not this enforcer's to ask about.

    Raises:
        Forbidden: it does not guard the target (`target_not_guarded`) or may not speak for the
            agent (`agent_not_served`).
    """
    if target not in enforcer.targets:
        raise Forbidden(
            f"{enforcer.id} does not guard {target}",
            code="target_not_guarded",
            place="/call/target",
        )
    if not enforcer.speaks_for(agent):
        raise Forbidden(
            f"{enforcer.id} may not speak for the agent {agent}; its agents are in enforcers.yaml",
            code="agent_not_served",
            place="/agent",
        )
