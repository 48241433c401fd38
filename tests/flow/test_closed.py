"""While no log can tell of it, nothing changes who may grant what; what takes away goes on."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from sqlmodel import select

from approvals.core.calls import ToolCall, call_hash
from approvals.core.errors import Unavailable
from approvals.flow.acting import sight
from approvals.flow.asking import cancel
from approvals.flow.asking.expire import expire
from approvals.flow.deciding import look
from approvals.flow.granting import report
from approvals.flow.granting.consume import consume
from approvals.flow.integrity.introduce import introduce
from approvals.flow.integrity.rounds import sequence
from approvals.flow.operating import restore
from approvals.flow.people import linking, retire, signin
from approvals.store.accounts import Account
from approvals.store.rows.log import StagedRow
from approvals.store.seals import change
from tests.flow.everything import Everything, execute
from tests.service import TARGET

if TYPE_CHECKING:
    from tests.service import Running

ROOT = Path(__file__).parents[2]
PLACES = ("approvals", "web", "integrations")

REFUSED: Final = "refused"
TAKES_AWAY: Final = "it only takes away, and what it takes away is granted to nobody meanwhile"
MENDS: Final = "it mends what closed the service, after it has checked the log"
TELLS: Final = "it sends people what they are told of, and grants nothing"

WRITERS: Final = {
    "approvals/flow/operating/activate.py:activate": REFUSED,
    "approvals/flow/deciding/clicks.py:click": REFUSED,
    "approvals/flow/people/linking.py:finish_link": REFUSED,
    "approvals/flow/people/linking.py:start_link": REFUSED,
    "approvals/flow/granting/consume.py:consume": REFUSED,
    "approvals/flow/people/enrol.py:begin": REFUSED,
    "approvals/flow/people/enrol.py:finish": REFUSED,
    "approvals/flow/people/enrol.py:finish_further": REFUSED,
    "approvals/flow/people/enrol.py:invite": REFUSED,
    "approvals/flow/people/enrol.py:prove": REFUSED,
    "approvals/flow/people/signin.py:finish": REFUSED,
    "approvals/flow/asking/submit.py:submit": REFUSED,
    "approvals/flow/deciding/vote.py:begin": REFUSED,
    "approvals/flow/deciding/vote.py:finish": REFUSED,
    "approvals/flow/asking/cancel.py:cancel": TAKES_AWAY,
    "approvals/flow/people/linking.py:unlink": TAKES_AWAY,
    "approvals/flow/asking/expire.py:_while_full": TAKES_AWAY,
    "approvals/flow/asking/expire.py:expire": TAKES_AWAY,
    "approvals/flow/people/retire.py:finish_revoke": TAKES_AWAY,
    "approvals/flow/people/retire.py:revoke": TAKES_AWAY,
    "approvals/flow/people/signin.py:end": TAKES_AWAY,
    "approvals/flow/operating/repair.py:repair_clock": MENDS,
    "approvals/flow/operating/restore.py:accept": MENDS,
    "approvals/flow/operating/restore.py:reopen": MENDS,
    "approvals/flow/telling/deliver.py:_give_up": TELLS,
    "approvals/flow/telling/deliver.py:_put_off": TELLS,
    "approvals/flow/telling/deliver.py:deliver": TELLS,
    "approvals/flow/telling/follow.py:digest": TELLS,
    "approvals/flow/telling/follow.py:follow": TELLS,
    "approvals/api/readiness.py:_trial": "it tries whether the database can be written",
    "approvals/flow/deciding/clicks.py:once": "a callback that was taken counts at most once later",
    "approvals/flow/integrity/introduce.py:introduce": "a key that may be stolen is "
    "replaced at any time; the new one signs nothing before the log tells of it",
    "approvals/flow/operating/opening.py:_check_address": "it notes the address, "
    "once keys and database are found to belong together",
    "approvals/flow/people/proof.py:ask": "it gives a challenge; what answers it is in this table",
    "approvals/flow/granting/report.py:report": "nothing that ran goes untold",
    "approvals/flow/integrity/rounds.py:_record": "it is what closes the service",
    "approvals/flow/acting/sight.py:opened_whole": "it notes what a person looked at",
    "approvals/flow/acting/sight.py:seen": "it notes what a person looked at",
    "approvals/log/sequence.py:sequence": "its callers ask whether the service is closed",
}
"""Each function that begins a transaction which writes: refused while closed, or why not."""

ATTEMPTS: Final = {
    "approvals/flow/operating/activate.py:activate": ["a bundle"],
    "approvals/flow/deciding/clicks.py:click": ["a click"],
    "approvals/flow/people/linking.py:finish_link": ["a chat account"],
    "approvals/flow/people/linking.py:start_link": ["a code for a chat account"],
    "approvals/flow/granting/consume.py:consume": ["spending"],
    "approvals/flow/people/enrol.py:begin": ["a challenge for a passkey"],
    "approvals/flow/people/enrol.py:finish": ["a passkey"],
    "approvals/flow/people/enrol.py:finish_further": ["a further passkey"],
    "approvals/flow/people/enrol.py:invite": ["an invitation"],
    "approvals/flow/people/enrol.py:prove": ["a challenge for a further passkey"],
    "approvals/flow/people/signin.py:finish": ["a signed-in browser"],
    "approvals/flow/asking/submit.py:submit": [
        "a call that policy allows",
        "a call that asks people",
        "the same call again",
    ],
    "approvals/flow/deciding/vote.py:begin": [
        "the vote that decides",
        "a vote that does not",
        "a denial",
    ],
    "approvals/flow/deciding/vote.py:finish": ["the vote that was signed before"],
}
"""What `tests.flow.test_gate` tries of each that is refused."""


@pytest.fixture
def everything(running: Running) -> Everything:
    return Everything(running)


def writers() -> set[str]:
    found = set()
    for path in (each for place in PLACES for each in sorted((ROOT / place).rglob("*.py"))):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr == "begin"
                    and ast.unparse(node.func.value).endswith("store")
                ):
                    found.add(f"{path.relative_to(ROOT)}:{function.name}")
    return found


def close(running: Running) -> None:
    execute(
        running,
        "UPDATE standing SET closed = 'log_altered', reason = 'found in a test', since = 1",
    )


def test_every_writer_is_refused_while_closed_or_has_a_reason() -> None:
    assert set(WRITERS) == writers()
    assert {name for name, why in WRITERS.items() if why == REFUSED} == set(ATTEMPTS)


def test_each_refused_writer_is_tried_while_closed(everything: Everything) -> None:
    tried = {*everything.attempts(), *everything.administration()}
    assert tried == {name for names in ATTEMPTS.values() for name in names}
    close(everything.running)
    assert everything.all_refused()


def test_who_is_refused_in_a_shell_is_told_what_was_found_and_what_to_do(
    everything: Everything,
) -> None:
    close(everything.running)
    for name, attempt in everything.administration().items():
        with pytest.raises(Unavailable) as refused:
            attempt()
        for said in ("log_altered", "found in a test", "assent log check"):
            assert said in refused.value.message, name
    # The former bundle is in force, and the passkeys that would have been replaced are there.
    assert look.passkeys(everything.running.service, everything.ada)


def test_what_only_takes_away_goes_on_while_closed(everything: Everything) -> None:
    running, service = everything.running, everything.running.service
    with service.store.begin() as tx:
        assert tx.accounts.link(Account("slack", "T1", "U9", "default", "ada", tx.now))
    spent = running.submit("9", tool="balance")
    consume(
        service,
        running.caller,
        f"apr_{spent.id[4:]}",
        call_hash=call_hash(ToolCall(TARGET, "balance", {"account": "9"})),
        use_id="once",
    )
    (held,) = look.passkeys(service, everything.ada)
    (bens,) = look.passkeys(service, running.session("ben"))
    close(running)
    report.report(service, running.caller, f"apr_{spent.id[4:]}", status="ok")
    sight.seen(service, everything.ada, everything.other)
    cancel.cancel(service, running.caller, everything.other)
    expire(service)
    introduce(service)
    asked = linking.begin_unlink(service, everything.ada)
    answer = everything.key.authenticate(asked.options)
    linking.unlink(service, everything.ada, "slack", asked.id, answer)
    assert linking.linked(service, everything.ada, "slack") is None
    ids = held.credential_id, bens.credential_id
    begun = retire.begin_revoke(service, everything.ada, ids[0])
    answer = everything.key.authenticate(begun.options)
    retire.finish_revoke(service, everything.ada, ids[0], begun.id, answer)
    signin.end(service, running.tokens["ben"])
    retire.revoke(service, tenant="default", person="ben", credential_id=ids[1])
    with service.store.read() as tx:
        assert tx.passkeys.active(tenant="default") == []
    # And the log tells of all of it once it can.
    assert restore.reopen(service, reason="a test").ok
    assert sequence(service)
    assert restore.checked(service).ok


def test_where_no_service_runs_a_shell_invites_and_activates(everything: Everything) -> None:
    """Events that wait for their place are no sign that a log is wrong."""
    running = everything.running
    running.submit("3", tool="balance")
    settings = running.service.settings.model_copy(update={"log_patience": 0})
    running.service = type(running.service)(
        running.service.store, running.service.keys, settings, running.service.mark
    )
    with running.service.store.begin() as tx:
        for row in tx.session.exec(select(StagedRow)).all():
            change(tx.session, row, created=row.created - 60)
    assert everything.all_refused(shell=False)
    for attempt in everything.administration().values():
        attempt()
    with pytest.raises(Unavailable) as refused:
        running.submit("5", tool="balance")
    assert refused.value.code == "closed"
    sequence(running.service)
    running.submit("5", tool="balance")
