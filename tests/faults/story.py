"""One whole story of a service, each step of it done again until it succeeds.

Each step is told apart: what was acknowledged, with which code it failed before, and what should
not have happened: an error that is none of the declared ones, or something that was called undone
and was done.
"""

from __future__ import annotations

import time
import traceback
from typing import TYPE_CHECKING, Any, Final

from approvals.config import load
from approvals.core.calls import ToolCall
from approvals.core.canonical import digest
from approvals.core.errors import AssentError
from approvals.core.requests import State
from approvals.flow.acting.caller import Submission
from approvals.flow.asking.answers import Allowed, Opened
from approvals.flow.asking.cancel import cancel
from approvals.flow.asking.expire import expire
from approvals.flow.asking.submit import submit
from approvals.flow.granting.consume import consume
from approvals.flow.granting.report import report
from approvals.flow.integrity import rounds
from approvals.flow.integrity.introduce import introduce
from approvals.flow.operating.activate import activate
from approvals.flow.operating.opening import open_service
from approvals.flow.status import status
from approvals.log import checkpoint
from tests.faults.hands import DAY
from tests.service import TARGET, UNLIMITED, Running, bundle_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from approvals.flow.service import Service
    from approvals.store import Tx
    from tests.faults.hands import Hands

ATTEMPTS = 16
RESTART_AFTER = 4
TENANT = "default"
READ = ToolCall(TARGET, "balance", {"account": "a"})
PAY = {"kept": "750.00", "withdrawn": "751.00", "forgotten": "752.00", "late": "753.00"}


def opened(home: Path) -> Service:
    """The service whose home this is, on the SQLite file in it."""
    return open_service(load(home=home, **UNLIMITED), now=int(time.time()))


def call_of(name: str) -> ToolCall:
    return ToolCall(TARGET, "transfer", {"amount": PAY[name], "to": "vendor@example.com"})


class Story:
    """A service in a home, its people, and what happened to them."""

    def __init__(self, home: Path, running: Running, hands: Hands) -> None:
        self.home = home
        self.running = running
        self.hands = hands
        self.told: dict[str, Any] = {}
        self.failures: list[tuple[str, str]] = []
        self.broken: list[str] = []

    @property
    def service(self) -> Service:
        return self.running.service

    def begin(self) -> None:
        """An empty home becomes a service with a policy and people."""
        self.open()
        self.step("introduce", lambda: introduce(self.service))
        files = bundle_files(self.running.enforcer_key.public_jwk())
        self.step("activate", lambda: activate(self.service, tenant=TENANT, files=files, by="ops"))
        for person in ("ada", "ben"):
            self.step(f"enrol {person}", lambda person=person: self._enrol(person))  # type: ignore[misc]
        self.sequence()
        self.close()

    def go_on(self) -> None:
        """Calls are decided by policy and people, spent, withdrawn, forgotten; keys change."""
        self.open()
        self.read("read")
        request = self.ask("kept")
        for person in ("ada", "ben"):
            self.vote(person, request)
        self.told["approved"] = [request, self.step("status", lambda: self._approval(request))]
        self.spend(request)
        self.sequence()
        self.end("withdrawn", State.CANCELLED, self._cancel)
        rotated = self.step(
            "rotate", lambda: self.service.keys.rotate(int(time.time()), delay=0).introduced.kid
        )
        self.told["rotate"] = rotated
        self.step("introduce", lambda: introduce(self.service))
        self.read("read with the new key")
        self.a_clock_that_is_ahead()
        self.hands.passed += 1000  # longer than a request waits
        self.end("forgotten", State.EXPIRED, lambda _: expire(self.service))
        self.sequence()
        self.told["checkpoint"] = self.step("checkpoint", self._checkpoint)
        self.close()

    def open(self) -> None:
        def act() -> bool:
            self.running.service = opened(self.home)
            return True

        self.step("open", act, restarts=False)

    def close(self) -> None:
        self.step("close", self.service.store.close, restarts=False)

    def sequence(self) -> None:
        self.step("sequence", lambda: all_sequenced(self.service))

    def read(self, name: str) -> None:
        """Policy decides a call by itself, and issues the approval."""
        self.step(
            name,
            lambda: self._submit(READ, key=name),
            done=lambda tx: _known(tx, self.running, name),
        )

    def ask(self, name: str) -> str:
        """People are asked about a call; gives the request's id."""
        found = self.step(
            f"ask {name}",
            lambda: self._submit(call_of(name), key=name),
            done=lambda tx: _known(tx, self.running, name),
        )
        return str(found[0]) if found else ""

    def vote(self, person: str, request: str) -> None:
        self.step(
            f"vote {person}",
            lambda: self.running.decide(person, request).value,
            done=lambda tx: person in voted(tx, request),
        )

    def spend(self, request: str) -> None:
        jti = "apr_" + request[4:]
        hashed = status(self.service, self.running.caller, request).call_hash
        self.step(
            "spend",
            lambda: consume(
                self.service, self.running.caller, jti, call_hash=hashed, use_id="only"
            ),
            done=lambda tx: tx.approvals.spent(tenant=TENANT, jti=jti) is not None,
        )
        self.step(
            "report",
            lambda: report(self.service, self.running.caller, jti, status="ok"),
            done=lambda tx: tx.approvals.outcome(tenant=TENANT, jti=jti) is not None,
        )

    def end(self, name: str, state: State, act: Callable[[str], object]) -> None:
        """A request that is not decided ends in another way."""
        request = self.ask(name)
        if state is State.EXPIRED:
            self.hands.passed += 1000
        self.step(
            f"{state.value} {name}",
            lambda: [act(request), request][1],
            done=lambda tx: stored_state(tx, request) == state.value,
            at_once=state is not State.EXPIRED,  # a job of several transactions
        )

    def a_clock_that_is_ahead(self) -> None:
        """A day ahead nothing is granted; set right, everything goes on."""
        self.hands.wrong = DAY
        try:
            self._submit(call_of("late"), key="late")
        except AssentError as error:
            self.failures.append(("late", error.code))
        else:
            self.broken.append("a call was decided on a clock that is a day ahead")
        try:
            rounds.sequence(self.service)
        except AssentError as error:
            self.failures.append(("sequence ahead", error.code))
        self.hands.wrong = -20  # as far back as a clock may be set
        self.read("read with the clock set back")
        self.hands.wrong = 0

    def step(
        self,
        name: str,
        act: Callable[[], object],
        *,
        done: Callable[[Tx], bool] | None = None,
        restarts: bool = True,
        at_once: bool = True,
    ) -> Any:
        """Do a step, again where it fails, in a service opened anew after some attempts.

        What is not done `at_once`, in one transaction, may fail after what is looked for was done.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                if restarts and attempt % RESTART_AFTER == 0:
                    self.service.store.close()
                    self.running.service = opened(self.home)
                self.told[name] = act()
            except AssentError as error:
                self.failures.append((name, error.code))
                if at_once and error.code == "unavailable" and self._was_done(done):
                    self.broken.append(f"{name}: called undone, and was done")
            except Exception:  # noqa: BLE001 - whatever else there is, is what is looked for
                self.broken.append(f"{name}: {traceback.format_exc()}")
            else:
                return self.told[name]
            if self._was_done(done):
                self.told[name] = None  # found done, though nobody said so
                if name.startswith(("ask", "read", "spend")):
                    continue  # and asked again under the same key
                return None
        self.broken.append(f"{name}: never succeeded")
        return None

    def _was_done(self, done: Callable[[Tx], bool] | None) -> bool:
        if done is None:
            return False
        try:
            with self.service.store.read() as tx:
                return done(tx)
        except AssentError:
            return False

    def _enrol(self, person: str) -> str:
        seed = f"{person}-{len(self.failures)}"
        self.running.enrol(person, replaces=False, seed=seed)
        return person

    def _submit(self, call: ToolCall, *, key: str) -> list[str]:
        answer = submit(
            self.service,
            self.running.caller,
            Submission(
                call=call,
                agent="billing-agent",
                user="uma",
                body_digest=digest(call.args),
                idempotency_key=key,
            ),
        )
        if isinstance(answer, Allowed):
            return [answer.id, answer.approval]
        assert isinstance(answer, Opened), answer
        return [answer.id]

    def _cancel(self, request: str) -> None:
        cancel(self.service, self.running.caller, request)

    def _approval(self, request: str) -> str | None:
        return status(self.service, self.running.caller, request).approval

    def _checkpoint(self) -> str:
        with self.service.store.read() as tx:
            return checkpoint(tx)


def all_sequenced(service: Service) -> bool:
    while rounds.sequence(service):
        pass
    return True


def voted(tx: Tx, request: str) -> set[str]:
    stored = tx.requests.get(tenant=TENANT, request_id=request)
    return set() if stored is None else {vote.approver for vote in stored.request.votes}


def stored_state(tx: Tx, request: str) -> str | None:
    stored = tx.requests.get(tenant=TENANT, request_id=request)
    return None if stored is None else stored.request.state.value


def _known(tx: Tx, running: Running, key: str) -> bool:
    caller = running.caller
    return (
        tx.verdicts.known_key(tenant=caller.tenant, enforcer=caller.enforcer, key=key) is not None
    )


def lost(service: Service, told: Mapping[str, Any]) -> list[str]:
    """What was acknowledged and is not there."""
    kids = {key.kid for key in service.keys.approval_keys}
    missing = [name for name in ("rotate",) if told.get(name) not in {None, *kids}]
    with service.store.read() as tx:
        for name, answer in told.items():
            kept = _KEPT.get(name.split(" ")[0])
            # None: it was found done, and nobody was told so.
            if kept is not None and answer is not None and not kept(tx, told, name, answer):
                missing.append(name)
    return missing


def _read_kept(tx: Tx, _told: Mapping[str, Any], _name: str, answer: Any) -> bool:
    """Also of what people approved: an occasion and its approval."""
    issued = tx.approvals.of(tenant=TENANT, txn=answer[0])
    return answer[1] is None or (issued is not None and issued.token == answer[1])


def _ask_kept(tx: Tx, _told: Mapping[str, Any], _name: str, answer: Any) -> bool:
    return stored_state(tx, answer[0]) is not None


def _vote_kept(tx: Tx, told: Mapping[str, Any], name: str, _answer: Any) -> bool:
    return name.split(" ")[1] in voted(tx, told["ask kept"][0])


def _spend_kept(tx: Tx, told: Mapping[str, Any], _name: str, answer: Any) -> bool:
    spent = tx.approvals.spent(tenant=TENANT, jti="apr_" + told["ask kept"][0][4:])
    return spent is not None and spent.receipt == answer


def _report_kept(tx: Tx, told: Mapping[str, Any], _name: str, _answer: Any) -> bool:
    return tx.approvals.outcome(tenant=TENANT, jti="apr_" + told["ask kept"][0][4:]) is not None


def _end_kept(tx: Tx, _told: Mapping[str, Any], name: str, answer: Any) -> bool:
    return stored_state(tx, answer) == name.split(" ", maxsplit=1)[0]


def _activate_kept(tx: Tx, _told: Mapping[str, Any], _name: str, answer: Any) -> bool:
    current = tx.bundles.current(TENANT)
    return current is not None and current.version == answer


def _enrol_kept(tx: Tx, _told: Mapping[str, Any], _name: str, answer: Any) -> bool:
    return bool(tx.passkeys.active(tenant=TENANT, person=answer))


_KEPT: Final[Mapping[str, Callable[[Tx, Mapping[str, Any], str, Any], bool]]] = {
    "read": _read_kept,
    "approved": _read_kept,
    "ask": _ask_kept,
    "vote": _vote_kept,
    "spend": _spend_kept,
    "report": _report_kept,
    "cancelled": _end_kept,
    "expired": _end_kept,
    "activate": _activate_kept,
    "enrol": _enrol_kept,
}
