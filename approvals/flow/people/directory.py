"""The signed directory of approvers' keys: who may approve, with what, and who could before.

What holds:
1. Its number only grows. It is the size of the log that tells of all that is in it, plus what was
   lost to databases that were put back (`keys.mark`). So no restored database lowers it, and two
   directories of one number say the same.
2. None is signed while the log cannot tell of what it says, or the service is closed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from approvals.core import b64
from approvals.core import directory as directories
from approvals.core.directory import Approver, Directory, EnrolledKey, FormerKey
from approvals.core.errors import Unavailable
from approvals.core.history.events import BUNDLES, PERSON, SERVICE
from approvals.flow.acting import access
from approvals.flow.integrity.gate import require_open
from approvals.flow.integrity.rounds import sequence
from approvals.flow.knowing.logged import verify_passkeys
from approvals.store.seals import altered

if TYPE_CHECKING:
    from approvals.flow.acting.caller import Caller
    from approvals.flow.service import Service
    from approvals.store import Tx
    from approvals.store.passkeys import Passkey

TOLD_BY: Final = (BUNDLES, PERSON, SERVICE)
"""The subjects of events that tell of what a directory says."""
_PAUSES: Final = (0.05, 0.1, 0.2, 0.4, 0.8)


def directory_for(service: Service, caller: Caller) -> str:
    """The directory, for an enforcer: it names people, so strangers do not get it.

    Raises:
        Unauthenticated: the caller is not a registered enforcer any more.
        Unavailable: as `directory`.
    """
    return _published(service, caller.tenant, caller=caller)


def directory(service: Service, tenant: str) -> str:
    """Everyone in people.yaml with groups, passkeys and stand-ins, and their past; as a token.

    Raises:
        Unavailable: no bundle has been activated; the service is closed (`closed`); or something
            has no place in the log yet (`not_logged`): ask again in a second.
    """
    return _published(service, tenant)


def _published(service: Service, tenant: str, *, caller: Caller | None = None) -> str:
    for pause in _PAUSES:
        sequence(service)
        try:
            with service.store.read() as tx:
                if caller is not None:
                    access.enforcer_of(service, tx, caller)
                return directory_of(service, tx, tenant)
        except Unavailable as error:
            if error.code != "not_logged":
                raise
            # Another process may be giving the events their places at this moment.
            time.sleep(pause)
    raise Unavailable(
        "what the directory says has no place in the log yet; ask again in a second",
        code="not_logged",
    )


def directory_of(service: Service, tx: Tx, tenant: str) -> str:
    """The directory as it is in this transaction.

    It says who has which keys and nothing else: a signed statement with a person left out would be
    as wrong as one with a key too many, so one bad row is no directory at all.

    Raises:
        Unavailable: as `directory`; or a row is not what the log tells of (`row_altered`).
    """
    require_open(service, tx)
    checkpoint = tx.log.latest_checkpoint()
    if checkpoint is None or tx.log.waits(tenant=tenant, about=TOLD_BY):
        raise Unavailable(
            "what the directory says has no place in the log yet; ask again in a second",
            code="not_logged",
        )
    service.current_bundle(tx, tenant)
    places = service.history.places(tx, tenant)
    if places is None:
        raise altered("activation", tenant)
    held = tx.passkeys.active(tenant=tenant)
    verify_passkeys(tx, held, tenant=tenant)
    keys: dict[str, list[EnrolledKey]] = {}
    for passkey in held:
        keys.setdefault(passkey.person, []).append(_enrolled(passkey))
    document = Directory(
        issuer=service.settings.url,
        tenant=tenant,
        number=service.mark.lost + checkpoint.size,
        issued=tx.now,
        rp_id=service.settings.rp_id,
        origins=(service.settings.url,),
        people=tuple(
            Approver(
                id=person,
                groups=held.groups,
                keys=tuple(keys.get(person, ())),
                stand_ins=held.stand_ins,
                since=held.since,
            )
            for person, held in sorted(places.now.items())
        ),
        former_people=places.former,
        former_keys=tuple(
            FormerKey(
                person=passkey.person,
                key=_enrolled(passkey),
                until=passkey.created if passkey.ended is None else passkey.ended,
            )
            for passkey in tx.passkeys.former(tenant=tenant)
        ),
    )
    return directories.sign(document, key=service.signer(tx))


def _enrolled(passkey: Passkey) -> EnrolledKey:
    return EnrolledKey(
        credential_id=b64.decode(passkey.credential_id),
        public_key=passkey.public_key,
        aaguid=passkey.aaguid,
        backup_eligible=passkey.backup_eligible,
        step_up=passkey.step_up,
        since=passkey.created,
    )
