"""A policy bundle becomes current.

What holds:
1. An activation names the person who did it. Nobody who ever activated a bundle is asked under its
   rules, even after somebody else activates the same bundle again.
2. A person who is not in the new people.yaml loses passkeys, signed-in browsers, invitations and
   chat accounts, for good and in the same transaction.
3. Nothing is activated while no intact log can tell of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals import log
from approvals.core.addresses import hooks as hook_address
from approvals.core.errors import BundleError, Invalid
from approvals.core.history.events import BundleActivated
from approvals.flow.integrity.gate import require_trusted
from approvals.flow.people.retire import offboard
from approvals.policy import shortfalls
from approvals.policy.bundle.bundle import HOOKS_FILE, Bundle, needs_attestation, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.flow.service import Service
    from approvals.policy import Shortfall


def activate(service: Service, *, tenant: str, files: Mapping[str, str], by: str) -> str:
    """Check a bundle, store it and make it current; gives its version.

    `by` is the person who activates it: they are not asked under its rules.

    Raises:
        BundleError: the bundle has an error, or asks for hardware passkeys where no attestation is
            trusted; file and line are named, nothing was changed.
        Invalid: `by` is not a person of the bundle (`unknown_person`).
        Unavailable: the log cannot tell of it (`closed`); the former bundle stays in force.
    """
    bundle = Bundle.load(files)
    _check_hooks(bundle, local=service.settings.is_local)
    if by not in bundle.people:
        raise Invalid(f"{by} is not in people.yaml", code="unknown_person", place="by")
    if service.settings.attestation_roots is None and (problems := needs_attestation(bundle)):
        raise refusal(problems)
    with service.store.begin() as tx:
        tx.bundles.hold_alone(tenant)
        require_trusted(service, tx)
        before = tx.bundles.current(tenant)
        tx.bundles.activate(
            tenant=tenant, version=bundle.version, files=dict(files), by=by, now=tx.now
        )
        log.append(
            tx,
            BundleActivated(
                time=tx.now,
                tenant=tenant,
                bundle=bundle.version,
                former=None if before is None else before.version,
                by=by,
            ),
        )
        offboard(tx, bundle, tenant=tenant)
    service.forget_recent(tenant)
    return bundle.version


def _check_hooks(bundle: Bundle, *, local: bool) -> None:
    """Refuse a hook on this machine where others reach the service: nothing is posted to it."""
    for name, hook in sorted(bundle.hooks.items()):
        if hook_address.read(hook.url).is_loopback and not local:
            raise BundleError(
                f"the hook {name!r} is on this machine, and this service is one that others reach",
                file=HOOKS_FILE,
                code="bad_url",
            )


def left_short(service: Service, tenant: str) -> tuple[Shortfall, ...]:
    """What the current bundle asks of too few people, because some of them activated it."""
    with service.store.read() as tx:
        current = service.current_bundle(tx, tenant)
    return shortfalls(current.bundle, current.excluded)


def current(service: Service, tenant: str) -> Bundle:
    """The tenant's current bundle.

    Raises:
        Unavailable: none has been activated (`no_bundle`).
    """
    with service.store.read() as tx:
        return service.current_bundle(tx, tenant).bundle
