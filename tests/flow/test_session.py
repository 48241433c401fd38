"""Whoever acts is signed in in the transaction that acts, and not only in the one before it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from typing import TYPE_CHECKING

import pytest

from approvals import flow
from approvals.core.decision.ceremony import Decision
from approvals.core.decision.occasion import Purpose
from approvals.core.errors import AssentError
from approvals.flow.acting import sight
from approvals.flow.acting.session import verify_present
from approvals.flow.auditing import figures
from approvals.flow.auditing.audit import audit
from approvals.flow.deciding import clicks, look, vote
from approvals.flow.operating.activate import activate
from approvals.flow.people import enrol, linking, passkeys, proof, retire, signin
from approvals.flow.people.accounts import log_linked, log_unlinked
from approvals.flow.telling import how_told
from approvals.store.accounts import Account
from tests.flow.lives import WITHOUT_ADA, session_of, sign_in
from tests.service import Running, bundle_files, start
from tests.softkey import SoftKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from approvals.flow.acting.session import Session
    from approvals.store import Tx

    Use = Callable[[Session], object]

ACCOUNT = ("slack", "T1", "U1")
"""Ada's account, where she has one."""


@pytest.fixture
def running(tmp_path: Path, database_url: str) -> Iterator[Running]:
    started = start(tmp_path, database_url, operators_group="finance")
    yield started
    started.service.store.close()


def refusal(use: Callable[[], object]) -> str | None:
    try:
        use()
    except AssentError as error:
        return error.code
    return None


class Uses:
    """Ada's part in each function that takes a session, prepared up to its last step."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.service = running.service
        self.key = running.passkeys["ada"]
        self._number = 0

    def number(self) -> int:
        self._number += 1
        return self._number

    def request(self) -> str:
        return self.running.opened(f"{600 + self.number()}.00")

    def look(self, session: Session) -> str:
        request = self.request()
        sight.seen(self.service, session, request)
        return request

    def proven(
        self, session: Session, purpose: Purpose, subject: str | None = None
    ) -> tuple[str, object]:
        asked = proof.ask(self.service, session, purpose=purpose, subject=subject)
        return asked.id, self.key.authenticate(asked.options)

    def further(self, session: Session) -> tuple[str, object]:
        """A challenge for one more passkey, and the one that a browser made for it."""
        begun = enrol.prove(self.service, session, *self.proven(session, Purpose.ADD))
        return begun.id, SoftKey(f"ada's key {self.number()}").register(begun.options)

    def reading(self, act: Callable[[Tx, Session], object]) -> Use:
        def use(session: Session) -> object:
            with self.service.store.read() as tx:
                return act(tx, session)

        return use

    def all(self, live: Callable[[], Session]) -> Iterator[tuple[str, Use]]:
        """Each function by its name, and what it does for ada, of whom `live` gives a session."""
        service = self.service

        def check(now: Session) -> object:
            with service.store.begin() as tx:
                return proof.check(
                    service,
                    tx,
                    now,
                    purpose=Purpose.LINK,
                    ceremony_id=proven[0],
                    assertion=passkeys.read_assertion(proven[1]),
                )

        yield (
            "session.verify_present",
            self.reading(lambda tx, now: verify_present(service, tx, now)),
        )
        yield "look.inbox", lambda now: look.inbox(service, now)
        yield "look.passkeys", lambda now: look.passkeys(service, now)
        yield "how_told.how_told", lambda now: how_told.how_told(service, now)
        yield "figures.figures", lambda now: figures.figures(service, now)
        yield "linking.linked", lambda now: linking.linked(service, now, "slack")
        request = self.request()
        yield "look.request", lambda now: look.request(service, now, request)
        yield (
            "sight.visible_to",
            self.reading(lambda tx, now: sight.visible_to(service, tx, now, request)),
        )
        yield (
            "sight.require_visible",
            lambda now: sight.require_visible(service, now, request),
        )
        yield "vote.require_decider", lambda now: vote.require_decider(service, now, request)
        yield "sight.seen", lambda now: sight.seen(service, now, request)
        yield "sight.opened_whole", lambda now: sight.opened_whole(service, now, request)
        yield "vote.begin", lambda now: vote.begin(service, now, request, Decision.DENY)
        begun = vote.begin(service, live(), self.look(live()), Decision.APPROVE)
        signed = self.key.authenticate(begun.options)
        yield "vote.finish", lambda now: vote.finish(service, now, begun.id, signed)
        clicked = self.request()
        yield (
            "clicks.click",
            lambda now: clicks.click(
                service, now, clicked, Decision.DENY, reason=None, channel="slack"
            ),
        )
        yield "proof.ask", lambda now: proof.ask(service, now, purpose=Purpose.LINK)
        proven = self.proven(live(), Purpose.LINK)
        yield "proof.check", check
        yield "enrol.begin_further", lambda now: enrol.begin_further(service, now)
        adding = self.proven(live(), Purpose.ADD)
        yield "enrol.prove", lambda now: enrol.prove(service, now, *adding)
        further = self.further(live())
        yield "enrol.finish_further", lambda now: enrol.finish_further(service, now, *further)
        yield "linking.begin_link", lambda now: linking.begin_link(service, now)
        link = self.proven(live(), Purpose.LINK)
        yield "linking.start_link", lambda now: linking.start_link(service, now, "slack", *link)
        yield "linking.begin_unlink", lambda now: linking.begin_unlink(service, now)
        unlinking = self.proven(live(), Purpose.UNLINK)
        yield "linking.unlink", lambda now: linking.unlink(service, now, "another chat", *unlinking)
        *_, newest = look.passkeys(service, live())
        ended = newest.credential_id
        yield "retire.begin_revoke", lambda now: retire.begin_revoke(service, now, ended)
        revoking = self.proven(live(), Purpose.REVOKE, ended)
        # The last: it ends every session of hers.
        yield (
            "retire.finish_revoke",
            lambda now: retire.finish_revoke(service, now, ended, *revoking),
        )


def taking_a_session() -> set[str]:
    """Every function and method of the use cases that has a parameter for a session."""
    found = set()
    for each in pkgutil.walk_packages(flow.__path__, f"{flow.__name__}."):
        module = importlib.import_module(each.name)
        short = each.name.rpartition(".")[2]
        own = [
            it for it in vars(module).values() if getattr(it, "__module__", "") == module.__name__
        ]
        functions = [it for it in own if inspect.isfunction(it)]
        for kind in (it for it in own if inspect.isclass(it)):
            functions += [it for it in vars(kind).values() if inspect.isfunction(it)]
        found |= {
            f"{short}.{function.__qualname__}"
            for function in functions
            for name, kind in function.__annotations__.items()
            if name != "return" and re.search(r"\bSession\b", str(kind))
        }
    return found


def link(running: Running) -> Session:
    """Link ada's account; gives her session by it."""
    with running.service.store.begin() as tx:
        account = Account(*ACCOUNT, "default", "ada", tx.now)
        assert tx.accounts.link(account)
        log_linked(tx, account, code_hash="0" * 64)
    channel, team, number = ACCOUNT
    found = linking.person_of(running.service, channel=channel, team=team, account=number)
    assert found is not None
    return found


def unlink(running: Running) -> None:
    with running.service.store.begin() as tx:
        known = tx.accounts.of(tenant="default", channel="slack", person="ada")
        assert known is not None
        assert tx.accounts.unlink(tenant="default", channel="slack", person="ada")
        log_unlinked(tx, running.service.current_bundle(tx, "default").bundle, known)


def test_each_use_of_a_session_refuses_one_that_ended_after_it_was_read(running: Running) -> None:
    """What it was prepared for is there, and works for a session that is live."""
    key = running.passkeys["ada"]
    token = sign_in(running, key)
    names = set()
    for name, use in Uses(running).all(lambda: session_of(running, token)):  # noqa: B023 - the newest
        ended = session_of(running, token)
        signin.end(running.service, token)
        assert refusal(lambda: use(ended)) == "signed_out", name  # noqa: B023 - called at once
        token = sign_in(running, key)
        use(session_of(running, token))
        names.add(name)
    assert names == taking_a_session()


def test_each_use_refuses_a_chat_account_that_was_unlinked_after_it_was_read(
    running: Running,
) -> None:
    session = link(running)
    for name, use in Uses(running).all(lambda: session):
        unlink(running)
        assert refusal(lambda: use(session)) == "signed_out", name  # noqa: B023 - called at once
        assert link(running) == session
        use(session)


@pytest.mark.parametrize("by", ["browser", "chat account"])
@pytest.mark.parametrize("end", ["left", "lost every passkey", "was invited anew"])
def test_a_person_who_is_gone_is_signed_out_in_the_transaction_of_use(
    running: Running, by: str, end: str
) -> None:
    session = running.session("ada") if by == "browser" else link(running)
    request = running.opened()
    sight.seen(running.service, session, request)
    match end:
        case "left":
            activate(
                running.service,
                tenant="default",
                files=bundle_files(running.enforcer_key.public_jwk(), **WITHOUT_ADA),
                by="ops",
            )
        case "lost every passkey":
            (held,) = look.passkeys(running.service, session)
            retire.revoke(
                running.service, tenant="default", person="ada", credential_id=held.credential_id
            )
        case _:
            enrol.invite(running.service, tenant="default", person="ada", replaces=True)
    for use in (
        lambda: look.request(running.service, session, request),
        lambda: vote.begin(running.service, session, request, Decision.DENY),
        lambda: clicks.click(
            running.service, session, request, Decision.DENY, reason=None, channel="slack"
        ),
    ):
        assert refusal(use) == "signed_out"


def test_a_session_that_expires_meanwhile_is_over(
    running: Running, later: Callable[[int], None]
) -> None:
    session = running.session("ada")
    look.inbox(running.service, session)
    later(running.service.settings.session_life)
    assert refusal(lambda: look.inbox(running.service, session)) == "signed_out"


def test_a_use_that_is_counted_after_a_later_one_leaves_the_row_as_the_log_tells_it(
    running: Running, later: Callable[[int], None]
) -> None:
    """Two transactions have the times of their beginnings, and the lock in the other order."""
    later(5)
    running.sign_in("ada")
    later(-1)
    running.sign_in("ada")
    assert audit(running.service) == ()


def test_a_chat_account_that_became_another_persons_is_not_the_former_ones(
    running: Running,
) -> None:
    session = link(running)
    unlink(running)
    with running.service.store.begin() as tx:
        account = Account(*ACCOUNT, "default", "ben", tx.now)
        assert tx.accounts.link(account)
        log_linked(tx, account, code_hash="1" * 64)
    assert refusal(lambda: look.inbox(running.service, session)) == "signed_out"
