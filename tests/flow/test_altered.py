"""Who can write to the database alone gets nothing from it: neither shown, granted nor published.

Each attack of these was once carried out on the running service.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import orjson
import pytest

from approvals.core import b64
from approvals.core.decision.ceremony import Decision
from approvals.core.errors import AssentError, Unavailable
from approvals.flow.acting import sight
from approvals.flow.asking import answers
from approvals.flow.auditing.evidence import evidence
from approvals.flow.deciding import look, vote
from approvals.flow.granting import consume
from approvals.flow.integrity.rounds import sequence
from approvals.flow.operating.activate import activate
from approvals.flow.operating.restore import checked
from approvals.flow.people import retire, signin
from approvals.flow.people.directory import directory
from approvals.flow.status import status
from approvals.store.rows.calls import (
    ActivationRow,
    ApprovalRow,
    RequestRow,
    RequestTextRow,
    SpendRow,
    VoteRow,
)
from approvals.store.rows.log import ChainRow, LeafRow
from approvals.store.rows.people import PasskeyRow
from tests.intruder import Intruder, Values, table_of
from tests.service import bundle_files, start
from tests.softkey import SoftKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.service import Running

REQUEST = table_of(RequestRow)
TEXTS = table_of(RequestTextRow)
VOTE = table_of(VoteRow)
APPROVAL = table_of(ApprovalRow)
SPEND = table_of(SpendRow)
PASSKEY = table_of(PasskeyRow)
ACTIVATION = table_of(ActivationRow)
CHAIN = table_of(ChainRow)
LEAF = table_of(LeafRow)


@pytest.fixture
def running(tmp_path: Path, database_url: str) -> Iterator[Running]:
    started = start(tmp_path, database_url, people=("ada", "ben"))
    yield started
    started.service.store.close()


def row_altered(do: Callable[[], object]) -> None:
    with pytest.raises(Unavailable) as caught:
        do()
    assert caught.value.code == "row_altered"


def the(intruder: Intruder, table: object, **values: object) -> Values:
    found = [
        row
        for row in intruder.rows(table)  # type: ignore[arg-type]
        if all(row[name] == value for name, value in values.items())
    ]
    assert len(found) == 1
    return found[0]


def use(running: Running, request_id: str, use_id: str = "once") -> str:
    told = status(running.service, running.caller, request_id)
    jti = "apr_" + request_id.removeprefix("req_")
    return consume.consume(
        running.service, running.caller, jti, call_hash=told.call_hash, use_id=use_id
    )


def test_a_quorum_that_was_lowered_lets_nobody_decide(running: Running, intruder: Intruder) -> None:
    request_id = running.opened("900.00")
    row = the(intruder, TEXTS, request=request_id)
    lowered = row["document"].replace('"quorum":2', '"quorum":1')
    assert lowered != row["document"]
    intruder.edit(TEXTS, row, document=lowered)
    row_altered(lambda: running.decide("ada", request_id))
    row_altered(lambda: look.request(running.service, running.session("ada"), request_id))
    row_altered(lambda: status(running.service, running.caller, request_id))
    intruder.edit(TEXTS, row, document=row["document"])
    assert running.decide("ada", request_id).value == "pending"


def test_another_display_is_not_shown(running: Running, intruder: Intruder) -> None:
    request_id = running.opened("20.00")
    row = the(intruder, TEXTS, request=request_id)
    intruder.edit(TEXTS, row, display=row["display"].replace("vendor@", "friend@"))
    row_altered(lambda: look.request(running.service, running.session("ada"), request_id))
    row = the(intruder, REQUEST, id=request_id)
    intruder.edit(REQUEST, row, gist=row["gist"].replace("20.00", "2.00"))
    assert look.inbox(running.service, running.session("ada")) == []


def test_a_passkey_that_nobody_enrolled_neither_signs_in_nor_is_published(
    running: Running, intruder: Intruder
) -> None:
    with running.service.store.read() as tx:
        handle = tx.passkeys.known_handle(tenant="default", person="ben")
    assert handle is not None
    rogue = SoftKey("rogue")
    rogue.user_handle = handle
    ours = the(intruder, PASSKEY, person="ben")
    credential_id = b64.encode(rogue.credential_id)
    intruder.insert(PASSKEY, {**ours, "credential_id": credential_id, "public_key": rogue.cose})
    begun = signin.begin(running.service)
    answer = rogue.authenticate(begun.options)
    row_altered(lambda: signin.finish(running.service, begun.id, answer))
    row_altered(lambda: directory(running.service, "default"))


def test_an_older_bundle_is_not_brought_back(running: Running, intruder: Intruder) -> None:
    jwk = running.enforcer_key.public_jwk()
    loose = bundle_files(
        jwk, policies_payments_cedar='@id("all") permit(principal, action, resource);'
    )
    activate(running.service, tenant="default", files=loose, by="ops")
    activate(running.service, tenant="default", files=bundle_files(jwk), by="ops")
    assert isinstance(running.submit("9.00"), answers.Opened)
    before = intruder.rows(ACTIVATION)
    newest = max(before, key=lambda row: row["number"])
    earlier = next(row for row in before if row["number"] == newest["number"] - 1)
    intruder.insert(ACTIVATION, {**earlier, "number": newest["number"] + 1})
    row_altered(lambda: running.submit("88888.00"))
    intruder.put_back(ACTIVATION, before)
    intruder.delete(ACTIVATION, newest)
    row_altered(lambda: running.submit("88888.00"))
    chain = the(intruder, CHAIN, subject="bundles")
    intruder.edit(CHAIN, chain, count=newest["number"])
    row_altered(lambda: running.submit("88888.00"))
    intruder.put_back(ACTIVATION, before)
    intruder.edit(CHAIN, chain, count=chain["count"])
    assert isinstance(running.submit("9.00"), answers.Opened)


def test_neither_is_it_with_the_chain_of_that_time(running: Running, intruder: Intruder) -> None:
    jwk = running.enforcer_key.public_jwk()
    older = intruder.rows(ACTIVATION), intruder.rows(CHAIN)
    activate(running.service, tenant="default", files=bundle_files(jwk), by="ops")
    intruder.put_back(ACTIVATION, older[0])
    intruder.put_back(CHAIN, older[1])
    running.service.store.ends.forget()  # as a process that starts now
    row_altered(lambda: running.submit("9.00"))


@pytest.mark.parametrize("chain_too", [False, True])
def test_a_request_put_back_to_pending_is_not_decided_again(
    running: Running, intruder: Intruder, *, chain_too: bool
) -> None:
    request_id = running.opened("20.00")
    sight.seen(running.service, running.session("ada"), request_id)
    pending, chain = the(intruder, REQUEST, id=request_id), intruder.rows(CHAIN)
    running.decide("ben", request_id, "deny")
    intruder.delete(VOTE, the(intruder, VOTE, request=request_id))
    intruder.edit(REQUEST, pending, **pending)
    if chain_too:
        intruder.put_back(CHAIN, chain)
        running.service.store.ends.forget()
    row_altered(lambda: look.request(running.service, running.session("ada"), request_id))
    row_altered(lambda: running.decide("ada", request_id))


def test_a_vote_that_was_taken_away_is_missed(running: Running, intruder: Intruder) -> None:
    request_id = running.opened("900.00")
    running.decide("ada", request_id)
    intruder.delete(VOTE, the(intruder, VOTE, request=request_id))
    row_altered(lambda: running.decide("ben", request_id))
    row_altered(lambda: evidence(running.service, running.caller, request_id))


def test_an_approval_whose_spend_was_deleted_is_not_spent_again(
    running: Running, intruder: Intruder
) -> None:
    request_id = running.opened("20.00")
    running.decide("ada", request_id)
    live = the(intruder, APPROVAL, txn=request_id)
    use(running, request_id)
    intruder.delete(SPEND, the(intruder, SPEND, jti=live["jti"]))
    intruder.edit(APPROVAL, live, **live)
    for use_id in ("once", "twice"):
        row_altered(lambda use_id=use_id: use(running, request_id, use_id))  # type: ignore[misc]
    row_altered(lambda: evidence(running.service, running.caller, request_id))


@pytest.mark.parametrize("emptied", [False, True])
def test_what_an_event_opens_is_held_against_what_it_committed_to(
    running: Running, intruder: Intruder, *, emptied: bool
) -> None:
    """No hash of the log covers an opening. Here one says that another passkey was revoked."""
    key, before = running.passkeys["ben"], the(intruder, PASSKEY, person="ben")
    retire.revoke(
        running.service,
        tenant="default",
        person="ben",
        credential_id=b64.encode(key.credential_id),
    )
    sequence(running.service)
    revoked = next(row for row in intruder.rows(LEAF) if b'"passkey.revoked"' in row["leaf"])
    opening = orjson.loads(revoked["opening"])
    opening["credential"]["value"] = "another"
    intruder.edit(LEAF, revoked, opening="{}" if emptied else orjson.dumps(opening).decode())
    intruder.edit(PASSKEY, before, **before)
    begun = signin.begin(running.service)
    answer = key.authenticate(begun.options)
    row_altered(lambda: signin.finish(running.service, begun.id, answer))


def test_an_altered_row_is_no_reason_to_refuse_another(
    running: Running, intruder: Intruder
) -> None:
    bad, good = running.opened("20.00"), running.opened("21.00")
    intruder.edit(REQUEST, the(intruder, REQUEST, id=bad), tool="balance")
    assert [card.id for card in look.inbox(running.service, running.session("ada"))] == [good]
    running.decide("ada", good)
    use(running, good)
    with suppress(AssentError):
        vote.begin(running.service, running.session("ada"), bad, Decision.APPROVE)
        pytest.fail("a statement was made about an altered request")


def test_ends_of_chains_that_were_edited_are_listed_by_the_check(
    running: Running, intruder: Intruder
) -> None:
    running.opened("20.00")
    sequence(running.service)
    chains = intruder.rows(CHAIN)
    for chain in chains:
        intruder.edit(CHAIN, chain, count=chain["count"] - 1)
    found = [it for it in checked(running.service).findings if it.code == "row_altered"]
    assert len(found) == len(chains)
