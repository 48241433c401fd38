"""A person gets a passkey: by a single-use invitation, or with a passkey they have.

What holds:
1. One caller uses an invitation, in the transaction that enrols. The invitation says whether it
   adds a passkey or replaces all earlier ones.
2. Without an invitation, one of the person's passkeys must sign first: a stolen session cannot
   enrol.
3. Only people of the bundle that is current at that moment are enrolled.
4. Each enrolment is logged, and the person is told of it and of each passkey that it replaces.
5. Nobody is invited or enrolled while an intact log cannot record it. In a database that was put
   back, a used invitation is open again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson
import structlog

from approvals import log
from approvals.core import b64, canonical
from approvals.core.decision.occasion import Purpose
from approvals.core.errors import AssentError, Conflict, NotFound
from approvals.core.history.events import PasskeyEnrolled, PersonInvited
from approvals.flow.acting.session import verify_present
from approvals.flow.integrity.gate import require_open, require_trusted
from approvals.flow.knowing.logged import verify_enrolment, verify_invitation
from approvals.flow.knowing.subjects import handle, person_subject
from approvals.flow.people import passkeys, proof
from approvals.flow.people.challenges import Ceremony, give, take
from approvals.flow.people.retire import Reason, retire
from approvals.flow.people.signin import open_session
from approvals.flow.service import new_token, token_hash
from approvals.flow.telling.outbox import NoticeKind, tell
from approvals.keys.authenticators import Authenticators, read_authenticators
from approvals.store.passkeys import Passkey

if TYPE_CHECKING:
    from approvals.config import Settings
    from approvals.core.registry import Person
    from approvals.flow.acting.session import Session
    from approvals.flow.people.passkeys import NewPasskey
    from approvals.flow.service import Service
    from approvals.store import Tx
    from approvals.store.people import Ceremony as StoredCeremony
    from approvals.store.people import Invitation as StoredInvitation

_NEVER_OVERDUE: Final = 0
"""A time before the next update of any list."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Invitation:
    """A new invitation. The token is told once and stored nowhere.

    `replaces` and how many passkeys and signed-in browsers ended when it was made.
    """

    person: str
    url: str
    expires: int
    replaces: bool
    ended_passkeys: int
    ended_sessions: int


@dataclass(frozen=True, slots=True)
class Invited:
    """Who an open invitation is for, how many passkeys they have, and whether it replaces them."""

    person: str
    name: str
    expires: int
    replaces: bool
    passkeys: int


def invite(
    service: Service, *, tenant: str, person: str, replaces: bool | None = None
) -> Invitation:
    """Invite a person of the current bundle; earlier open invitations of theirs end.

    With `replaces`, the passkeys that the person has and their signed-in browsers end now: a lost
    device decides nothing while the invitation waits. What is enrolled until it is used ends then.

    Raises:
        NotFound: the person is not in people.yaml (`unknown_person`).
        Conflict: they have passkeys, and nothing says whether to add or to replace (`passkeys`).
        Unavailable: no bundle has been activated (`no_bundle`), or the log cannot tell of an
            invitation (`closed`); nothing ended.
    """
    token = new_token()
    with service.store.begin() as tx:
        # Nobody enrols, and nobody else invites, until the person's earlier invitations have ended.
        tx.bundles.hold_alone(tenant)
        require_trusted(service, tx)
        _known(service, tx, tenant, person)
        held = len(tx.passkeys.active(tenant=tenant, person=person))
        if held and replaces is None:
            raise Conflict(
                f"{person} has {held} passkey{'s' * (held != 1)}: say whether this one is added "
                "(--add) or replaces them, as after a loss (--replace)",
                code="passkeys",
            )
        expires = tx.now + service.settings.invitation_life
        tx.people.invite(
            token_hash=token_hash(token),
            tenant=tenant,
            person=person,
            replaces=bool(replaces),
            now=tx.now,
            expires=expires,
        )
        log.append(
            tx,
            PersonInvited(
                time=tx.now,
                tenant=tenant,
                subject=person_subject(tx, tenant=tenant, person=person),
                person=person,
                replaces=bool(replaces),
                invitation=token_hash(token),
            ),
        )
        ended = None
        if replaces:
            bundle = service.current_bundle(tx, tenant).bundle
            ended = retire(tx, bundle, tenant=tenant, person=person, reason=Reason.REPLACED)
    return Invitation(
        person=person,
        url=service.url(f"/invite/{token}"),
        expires=expires,
        replaces=bool(replaces),
        ended_passkeys=0 if ended is None else ended.passkeys,
        ended_sessions=0 if ended is None else ended.sessions,
    )


def invitation(service: Service, token: str) -> Invited:
    """Who this invitation is for. Looking uses nothing up.

    Raises:
        NotFound: there is no such invitation (`unknown_invitation`).
        Conflict: it was used (`invitation_used`) or its time has passed (`invitation_expired`).
    """
    with service.store.read() as tx:
        found = _open_invitation(tx, token)
        known = _known(service, tx, found.tenant, found.person)
        held = tx.passkeys.active(tenant=found.tenant, person=found.person)
    return Invited(known.id, known.name, found.expires, found.replaces, len(held))


def begin(service: Service, token: str) -> Ceremony:
    """Start enrolling by invitation; raises as `invitation` does.

    Raises:
        Unavailable: the log cannot tell of an enrolment (`closed`).
    """
    with service.store.begin() as tx:
        found = _open_invitation(tx, token)
        return _begin(service, tx, found.tenant, found.person, subject=token_hash(token))


def finish(service: Service, ceremony_id: str, credential: object) -> str:
    """Enrol the new passkey, use the invitation up and sign the browser in; gives its token.

    Where the invitation replaces, no other passkey of the person is left.

    Raises:
        Conflict: the challenge or the invitation was used or is too old (`ceremony_used`,
            `invitation_used`), or the passkey is enrolled already (`passkey_known`).
        EvidenceError: the passkey does not hold.
        Unavailable: the log cannot tell of it (`closed`); nobody was enrolled.
    """
    authenticators = _authenticators(service)
    with service.store.begin() as tx:
        taken = take(service, tx, ceremony_id, Purpose.ENROL)
        if taken.subject is None:
            raise Conflict("this challenge is for a further passkey", code="ceremony_used")
        invited = tx.people.invitation(taken.subject)
        if invited is None or not tx.people.use_invitation(taken.subject, now=tx.now):
            raise Conflict("this invitation has been used", code="invitation_used")
        verify_invitation(tx, taken.subject, tenant=invited.tenant, person=invited.person)
        if invited.replaces:
            bundle = service.current_bundle(tx, taken.tenant).bundle
            retire(tx, bundle, tenant=taken.tenant, person=invited.person, reason=Reason.REPLACED)
        person = _enrol(service, tx, taken, credential, authenticators)
        return open_session(service, tx, tenant=taken.tenant, person=person)


def begin_further(service: Service, session: Session) -> Ceremony:
    """Start enrolling one more passkey: a challenge for one that the person has."""
    return proof.ask(service, session, purpose=Purpose.ADD)


def prove(service: Service, session: Session, ceremony_id: str, credential: object) -> Ceremony:
    """Go on enrolling one more passkey, now that one that the person has was used.

    Raises:
        Conflict: the challenge was used, is too old or was somebody else's (`ceremony_used`).
        EvidenceError: the assertion does not hold, or is not by a passkey of theirs.
    """
    assertion = passkeys.read_assertion(credential)
    with service.store.begin() as tx:
        who = proof.check(
            service, tx, session, purpose=Purpose.ADD, ceremony_id=ceremony_id, assertion=assertion
        )
        return _begin(service, tx, who.tenant, who.person, subject=None)


def finish_further(
    service: Service, session: Session, ceremony_id: str, credential: object
) -> None:
    """Enrol one more passkey of the signed-in person; raises as `finish` does.

    Raises:
        Unauthenticated: they are signed out (`signed_out`).
    """
    authenticators = _authenticators(service)
    with service.store.begin() as tx:
        taken = take(service, tx, ceremony_id, Purpose.ENROL)
        who = verify_present(service, tx, session)
        if taken.subject is not None or (taken.tenant, taken.person) != (who.tenant, who.person):
            raise Conflict("this challenge is for another enrolment", code="ceremony_used")
        _enrol(service, tx, taken, credential, authenticators)


def _authenticators(service: Service) -> Authenticators | None:
    """Whose hardware is trusted now. Read before the transaction: it is a large file.

    A folder that cannot be used makes nothing hardware; the operator's log says why.
    """
    if service.settings.attestation_roots is None:
        return None
    with service.store.read() as tx:
        now = tx.now
    return check_authenticators(service.settings, now=now) or Authenticators({}, {})


def require_authenticators(settings: Settings, *, now: int) -> None:
    """Refuse a folder of roots that cannot be used, when the service starts.

    A list that became too old by itself is only logged: it must not keep a service from starting
    again, and until it is fetched no new passkey counts as hardware.

    Raises:
        AssentError: `attestation_roots`; the place is the folder or file that is wrong.
    """
    if settings.attestation_roots is None:
        return
    read_authenticators(settings.attestation_roots, now=_NEVER_OVERDUE)
    check_authenticators(settings, now=now)  # logs what only time has made wrong


def check_authenticators(settings: Settings, *, now: int) -> Authenticators | None:
    """The models that are trusted, if the folder of roots can be used; else the log says why."""
    if settings.attestation_roots is None:
        return None
    try:
        return read_authenticators(settings.attestation_roots, now=now)
    except AssentError as error:
        _log.warning("attestation_roots", place=error.place, message=error.message)
        return None


def _open_invitation(tx: Tx, token: str) -> StoredInvitation:
    found = tx.people.invitation(token_hash(token))
    if found is None:
        raise NotFound("there is no such invitation", code="unknown_invitation")
    if found.state != "open":
        raise Conflict("this invitation has been used or replaced", code="invitation_used")
    if found.expires <= tx.now:
        raise Conflict("this invitation has expired", code="invitation_expired")
    hashed = token_hash(token)
    verify_invitation(tx, hashed, tenant=found.tenant, person=found.person)
    return found


def _known(service: Service, tx: Tx, tenant: str, person: str) -> Person:
    known = service.current_bundle(tx, tenant).bundle.people.get(person)
    if known is None:
        raise NotFound(
            f"{person} is not in people.yaml of the bundle in force: add them and activate it",
            code="unknown_person",
        )
    return known


def _begin(service: Service, tx: Tx, tenant: str, person: str, *, subject: str | None) -> Ceremony:
    require_open(service, tx)  # nobody makes a passkey that would not be enrolled
    known = _known(service, tx, tenant, person)
    whose = person_subject(tx, tenant=tenant, person=person)
    given = give(
        service,
        tx,
        Purpose.ENROL,
        tenant=tenant,
        person=person,
        subject=subject,
        after=tx.chains.chain(tenant=tenant, subject=whose).head,
    )
    return given.to_browser(
        passkeys.creation_options(
            service.settings,
            challenge=given.challenge,
            handle=handle(tx, tenant=tenant, person=person),
            name=known.id,
            display_name=known.name,
            known=tx.passkeys.active(tenant=tenant, person=person),
        ),
    )


def _enrol(
    service: Service,
    tx: Tx,
    taken: StoredCeremony,
    credential: object,
    authenticators: Authenticators | None,
) -> str:
    require_open(service, tx)
    person = _known(service, tx, taken.tenant, taken.person or "").id
    # What this transaction itself ends is not among the events yet.
    verify_enrolment(tx, taken.id, after=taken.after, tenant=taken.tenant, person=person)
    made = passkeys.check_registration(
        service.settings,
        credential,
        challenge=taken.challenge,
        authenticators=authenticators,
        now=tx.now,
    )
    passkey = _passkey(made, tenant=taken.tenant, person=person, now=tx.now)
    tx.passkeys.enrol(passkey)
    log.append(
        tx,
        PasskeyEnrolled(
            time=tx.now,
            tenant=taken.tenant,
            subject=person_subject(tx, tenant=taken.tenant, person=person),
            person=person,
            credential=passkey.credential_id,
            public_key=b64.encode(made.public_key),
            backup_eligible=made.backup_eligible,
            aaguid=b64.encode(made.aaguid),
            step_up=made.step_up.value,
            attestation=None
            if made.attestation is None
            else canonical.digest(orjson.loads(made.attestation)),
            not_hardware=made.not_hardware,
            invitation=taken.subject,
            ceremony=taken.id,
        ),
    )
    tell(
        tx,
        service.current_bundle(tx, taken.tenant).bundle,
        NoticeKind.PASSKEY_ENROLLED,
        tenant=taken.tenant,
        persons=(person,),
        subject=passkey.credential_id,
    )
    return person


def _passkey(made: NewPasskey, *, tenant: str, person: str, now: int) -> Passkey:
    return Passkey(
        credential_id=b64.encode(made.credential_id),
        tenant=tenant,
        person=person,
        public_key=made.public_key,
        sign_count=made.sign_count,
        aaguid=made.aaguid,
        backup_eligible=made.backup_eligible,
        backup_state=made.backup_state,
        step_up=made.step_up,
        attestation=made.attestation,
        transports=made.transports,
        created=now,
    )
