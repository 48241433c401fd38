"""A person signs in with a passkey, and a browser stays signed in for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

from approvals import log
from approvals.core import b64
from approvals.core.decision.occasion import Purpose
from approvals.core.errors import Unauthenticated
from approvals.core.history.events import SessionStarted
from approvals.flow.acting.session import Browser, Session, find
from approvals.flow.integrity.gate import require_open
from approvals.flow.knowing.subjects import session_subject
from approvals.flow.people import passkeys, unkept
from approvals.flow.people.proof import record_use
from approvals.flow.people.retire import session_ended
from approvals.flow.service import DEFAULT_TENANT, new_token, token_hash

if TYPE_CHECKING:
    from approvals.flow.people.challenges import Ceremony
    from approvals.flow.service import Service
    from approvals.store import Tx


def begin(service: Service) -> Ceremony:
    """Start a sign-in: any resident passkey of this service may answer. Nothing is written.

    Raises:
        Unavailable: no bundle has been activated (`no_bundle`).
    """
    _, now = service.recent(DEFAULT_TENANT)
    given = unkept.give(service, now=now)
    return given.to_browser(
        passkeys.request_options(service.settings, challenge=given.challenge, allowed=())
    )


def finish(service: Service, ceremony_id: str, credential: object) -> str:
    """Sign the browser in; gives its new token.

    Raises:
        Conflict: the challenge was used or is too old (`ceremony_used`).
        Unauthenticated: the passkey is not enrolled, or its person is gone (`unknown_passkey`).
        EvidenceError: the assertion does not hold.
        Unavailable: the log cannot tell of it (`closed`); nobody was signed in.
    """
    taken = unkept.read(service, ceremony_id)
    assertion = passkeys.read_assertion(credential)
    # Before the one writer is held up: a stranger has no passkey that is enrolled.
    with service.store.read() as tx:
        if not tx.passkeys.has(b64.encode(assertion.credential_id)):
            raise Unauthenticated("this passkey is not enrolled here", code="unknown_passkey")
    with service.store.begin() as tx:
        unkept.take(service, tx, taken)
        enrolled = tx.passkeys.get(b64.encode(assertion.credential_id))
        if enrolled is None or enrolled.tenant != taken.tenant:
            raise Unauthenticated("this passkey is not enrolled here", code="unknown_passkey")
        seen = passkeys.check_assertion(
            service.settings, assertion, challenge=taken.challenge, enrolled=enrolled
        )
        handle = tx.passkeys.known_handle(tenant=enrolled.tenant, person=enrolled.person)
        if assertion.user_handle != handle:
            # A resident passkey always tells whose it is; another's, or none, is not this person.
            raise Unauthenticated("this passkey is not enrolled here", code="unknown_passkey")
        if enrolled.person not in service.current_bundle(tx, enrolled.tenant).bundle.people:
            raise Unauthenticated("this person is not in people.yaml", code="unknown_passkey")
        record_use(
            tx,
            enrolled,
            ceremony_id=taken.id,
            purpose=Purpose.SIGN_IN,
            sign_count=seen.sign_count,
            backup_state=seen.backup_state,
        )
        return open_session(service, tx, tenant=enrolled.tenant, person=enrolled.person)


def open_session(service: Service, tx: Tx, *, tenant: str, person: str) -> str:
    """Sign a browser in, in the transaction that checked the passkey; gives its token.

    Raises:
        Unavailable: the log cannot tell of it (`closed`). In a database that was put back, a
            passkey that ended is there again.
    """
    require_open(service, tx)
    token = new_token()
    tx.people.sign_in(
        token_hash=token_hash(token),
        tenant=tenant,
        person=person,
        now=tx.now,
        expires=tx.now + service.settings.session_life,
        epoch=service.epoch(tx),
    )
    log.append(
        tx,
        SessionStarted(
            time=tx.now, tenant=tenant, subject=session_subject(token_hash(token)), person=person
        ),
    )
    return token


def session(service: Service, token: str) -> Session | None:
    """Who this browser is signed in as now, if anybody; what uses it looks again."""
    browser = Browser(token_hash(token))
    with service.store.read() as tx:
        present = find(service, tx, browser)
    return None if present is None else Session.of(present, browser)


def end(service: Service, token: str) -> None:
    """Sign the browser out."""
    with service.store.begin() as tx:
        ended = tx.people.sign_out(token_hash(token))
        if ended is not None:
            session_ended(tx, token_hash(token), tenant=ended.tenant, person=ended.person)
