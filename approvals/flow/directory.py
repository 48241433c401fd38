"""The signed directory of approvers' keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals.core import b64, jws
from approvals.core.directory import TOKEN_TYPE, Approver, Directory, EnrolledKey
from approvals.flow import access
from approvals.flow.told import passkeys_must_be_told

if TYPE_CHECKING:
    from approvals.flow.caller import Caller
    from approvals.flow.service import Service
    from approvals.store import Tx


def directory_for(service: Service, caller: Caller) -> str:
    """The directory, for an enforcer: it names people, so strangers do not get it.

    Raises:
        Unauthenticated: the caller is not a registered enforcer any more.
        Unavailable: no bundle has been activated.
    """
    with service.store.read() as tx:
        access.enforcer_of(service, tx, caller)
        return directory_of(service, tx, caller.tenant)


def directory(service: Service, tenant: str) -> str:
    """Everyone in people.yaml with their groups, passkeys and stand-ins, as a signed token.

    Raises:
        Unavailable: no bundle has been activated.
    """
    with service.store.read() as tx:
        return directory_of(service, tx, tenant)


def directory_of(service: Service, tx: Tx, tenant: str) -> str:
    """The directory as it is in this transaction.

    It says who has which keys and nothing else: a signed statement with a person left out would be
    as wrong as one with a key too many, so one bad row is no directory at all.

    Raises:
        Unavailable: a passkey is not one that was enrolled and has not ended (`row_altered`).
    """
    bundle = service.current_bundle(tx, tenant).bundle
    keys: dict[str, list[EnrolledKey]] = {}
    held = tx.people.passkeys(tenant=tenant)
    passkeys_must_be_told(tx, held, tenant=tenant)
    for passkey in held:
        keys.setdefault(passkey.person, []).append(
            EnrolledKey(
                credential_id=b64.decode(passkey.credential_id),
                public_key=passkey.public_key,
                aaguid=passkey.aaguid,
                backup_eligible=passkey.backup_eligible,
                step_up=passkey.step_up,
            )
        )
    document = Directory(
        issuer=service.settings.issuer,
        tenant=tenant,
        time=tx.now,
        rp_id=service.settings.rp_id,
        origins=(service.settings.origin,),
        people=tuple(
            Approver(
                id=person.id,
                groups=tuple(sorted(person.groups)),
                keys=tuple(keys.get(person.id, ())),
                stand_ins=person.stand_ins,
            )
            for person in sorted(bundle.people.values(), key=lambda person: person.id)
        ),
    )
    return jws.sign(document.document(), key=service.signer(tx), typ=TOKEN_TYPE)
