"""The story that the demo tells, a function a chapter.

Each chapter does something for real and says what it sees; `expect` holds it to what it says.
"""

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from approvals.client import Approved, Client, Denied, Pending, ServiceError
from approvals.core import b64, directory
from approvals.core.calls import ToolCall, call_hash
from approvals.core.display import fingerprint
from approvals.core.errors import ApprovalRejected
from approvals.guard import Guard, use
from approvals.verifier import Verifier
from examples.agent import database, tools
from examples.agent.work import Answer, Done, No, Waits, attempt
from examples.cast import Cast
from examples.narrator import Narrator, StoryBrokeError, StoryEndedError
from examples.stage import Stage

AGENT, USER = "office-assistant", "carla"
TOMAS, PRIYA = "Tomás", "Priya"
TRANSFER = {
    "amount": "4800.00",
    "currency": "EUR",
    "payee": "Nordkajak AB",
    "iban": "SE4550000000058398257466",
    "reference": "Invoice 7781",
}
SHORT = 20  # characters of a long value that a panel shows
HOLD = 30.0  # seconds for which the agent's second try may hold

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Company:
    """What the chapters share: the place, the voice, the people and the enforcer's side."""

    stage: Stage
    tell: Narrator
    cast: Cast
    client: Client
    enforcer: str

    def verifier(self) -> Verifier:
        """The enforcer's verifier: keys and the approvers' directory pinned from files."""
        jwks = json.loads((self.stage.pins / "jwks.json").read_text(encoding="utf-8"))
        people = (self.stage.pins / "people.jwt").read_text(encoding="utf-8").strip()
        return Verifier(
            issuer=self.stage.url,
            audience=self.enforcer,
            keys=jwks,
            people=directory.verify(people, keys=jwks),
            # Only what is named here may ever run on the word of policy alone.
            unattended={"customers.read"},
        )

    def guard(self, *, wait: float = 0.0, explanation: str | None = None) -> Guard:
        """The guard that stands before the tools."""
        return Guard(
            client=self.client,
            verifier=self.verifier(),
            agent=AGENT,
            user=USER,
            explanation=explanation,
            wait=wait,
        )

    def pin(self) -> None:
        """Fetch what the enforcer pins: signing keys, approvers' keys, the log's key."""
        self.stage.assent("keys", "directory", "--out", self.stage.pins.name)


def enrolment(it: Company) -> None:
    """People get passkeys, and the enforcer pins them."""
    it.tell.chapter("Two people get a passkey")
    it.cast.enrol("tomas", name=TOMAS)
    it.cast.enrol("priya", name=PRIYA)
    it.tell.command("assent keys directory --out pins")
    it.pin()
    it.tell.good("The enforcer pins the keys: it will check every person's signature by itself.")


def reading(it: Company) -> str:
    """Policy allows a call; gives what a stranger wrote into the record."""
    it.tell.chapter("A call that policy allows")
    it.tell.say("The agent works for Carla, in the office. It reads a customer's record.")
    it.tell.code("tools.read_customer(2)")
    with use(it.guard()):
        read = _done(attempt(lambda: tools.read_customer(2)))
    it.tell.good("Allowed by the rule `reading`; verified, spent, run. Nobody was asked.")
    it.tell.facts("customers, row 2", [(name, str(value)) for name, value in read.items()])
    return read["note"]


def forbidden(it: Company, note: str) -> None:
    """Policy forbids a call, whoever would approve it."""
    it.tell.chapter("A call that policy forbids")
    it.tell.expect("the note asks for a transfer of 60000.00", holds="60000.00" in note)
    it.tell.say("The note in that record talks to agents, and this agent falls for it.")
    it.tell.code('tools.transfer(amount="60000.00", payee="Bluewater Tours", …)')
    wanted = {**TRANSFER, "amount": "60000.00", "payee": "Bluewater Tours"}
    with use(it.guard()):
        answer = attempt(lambda: tools.transfer(**wanted))
    if not isinstance(answer, No):
        raise StoryBrokeError("the transfer of 60000.00 was not refused")
    it.tell.expect("the rule money-never forbids it", holds="money-never" in answer.rules)
    it.tell.expect("nothing was paid", holds=_count("payments") == 0)
    it.tell.refused(f"{answer.message}")
    it.tell.say("The function did not run, and there are 0 rows in payments.")


def waiting(it: Company) -> Waits:
    """Policy asks for two people; the call parks."""
    it.tell.chapter("A call that waits for two people")
    it.tell.say("Now something that is really due: an invoice for new paddles.")
    it.tell.code('tools.transfer(amount="4800.00", payee="Nordkajak AB", …)')
    with use(it.guard(explanation="Invoice 7781 is due today, I checked it against the order.")):
        answer = attempt(lambda: tools.transfer(**TRANSFER))
    if not isinstance(answer, Waits):
        raise StoryBrokeError(f"the transfer does not wait for people: {answer}")
    it.tell.waiting(
        f"Parked as {answer.request_id}. The agent goes on with other work. "
        "The people who may decide find it on this page:"
    )
    it.tell.link(answer.url)
    return answer


def deciding(it: Company, parked: Waits) -> None:
    """Two people look at the page and sign."""
    it.tell.chapter("Two people decide")
    page = it.cast.read("tomas", parked.url)
    shown = [*page.facts[:12], ("Fingerprint", page.fingerprint)]
    it.tell.facts("What Tomás reads on the page", shown, style="yellow")
    expected = fingerprint(call_hash(_transfer()))
    it.tell.expect(
        f"the page shows the fingerprint {expected} of exactly this call, not {page.fingerprint}",
        holds=page.fingerprint == expected,
    )
    it.cast.decide("tomas", parked.url, parked.request_id, "approve", name=TOMAS)
    it.tell.good("Tomás approves: his passkey signs a statement about this very call.")
    it.tell.expect(
        "one of two people is not enough",
        holds=not isinstance(it.client.look(parked.request_id), Approved),
    )
    it.cast.decide("priya", parked.url, parked.request_id, "approve", name=PRIYA)
    if isinstance(it.client.look(parked.request_id), Denied):
        it.tell.refused("Priya denies: the request has ended, and the agent is told so.")
        it.tell.expect("nothing was paid", holds=_count("payments") == 0)
        raise StoryEndedError("You denied the call, so nothing ran and there is no approval.")
    it.tell.good("Priya approves: two of two.")


def approval(it: Company, parked: Waits) -> str:
    """The signed approval, and what an enforcer says to altered copies of it."""
    it.tell.chapter("The signed approval")
    outcome = it.client.wait(parked.request_id, timeout=HOLD)
    if not isinstance(outcome, Approved):
        raise StoryBrokeError(f"the request is not approved: {outcome}")
    header, claims = (json.loads(b64.decode(part)) for part in outcome.token.split(".")[:2])
    it.tell.document("header", header)
    it.tell.document("claims (long values cut, passkey evidence left out)", _abridged(claims))
    if it.cast.enrolled_again:
        it.pin()
    verifier, now = it.verifier(), int(time.time())
    verifier.verify(outcome.token, _transfer(), now=now, agent=AGENT, user=USER)
    it.tell.good("It holds: service's signature, this call, two pinned people's passkeys.")
    it.tell.say("Three altered copies, as an attacker who controls the agent might try them:")
    _expect_rejected(
        it, "the same approval for 48000.00", "call_mismatch", outcome.token, amount="48000.00"
    )
    _expect_rejected(
        it, "the same approval for another account", "call_mismatch", outcome.token, iban="GB00EVIL"
    )
    body, _, signature = outcome.token.rpartition(".")
    forged = f"{body}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
    _expect_rejected(it, "one character of the signature changed", "signature", forged)
    return outcome.token


def running(it: Company, token: str) -> None:
    """The agent makes the call again: verified, spent, run; and never a second time."""
    it.tell.chapter("Verified, spent, run: once")
    it.tell.say("The agent makes the same call again and finds its request decided.")
    with use(it.guard(wait=HOLD)):
        number = _done(attempt(lambda: tools.transfer(**TRANSFER)))
    with database.transaction() as books:
        row = books.execute("SELECT * FROM payments WHERE id = ?", (number,)).fetchone()
    it.tell.expect("exactly one payment was made", holds=_count("payments") == 1)
    it.tell.expect("it is the approved one", holds=row["amount"] == TRANSFER["amount"])
    it.tell.good("Verified against the pinned keys, spent, run. In the database:")
    it.tell.facts(f"payments, row {number}", [(name, str(row[name])) for name in row.keys()])  # noqa: SIM118 - a row iterates over its values
    it.tell.say("A replay: the same approval once more, word for word.")
    verified = it.verifier().verify(token, _transfer(), now=int(time.time()))
    try:
        it.client.consume(verified, verifier=it.verifier(), use_id="a-second-use")
    except ServiceError as refused:
        it.tell.expect(
            f"the replay is refused as consumed, not {refused.code}",
            holds=refused.code == "consumed",
        )
        it.tell.refused(f"Refused: {refused.detail} [{refused.code}]")
    else:
        raise StoryBrokeError("an approval could be spent twice")


def denied(it: Company) -> None:
    """A person says no, and the agent gets the reason as data."""
    it.tell.chapter("A person says no")
    recipients = [f"customer{number}@mail.example" for number in range(1, 9)]
    it.tell.code('tools.send_mailing(recipients=[8 addresses], subject="New prices", …)')

    def send() -> int:
        return tools.send_mailing(
            recipients=recipients,
            subject="New prices",
            body="Dear customers,\nfrom today our prices are 20 % lower.\nYours, Fernhill Outdoor",
        )

    with use(it.guard(explanation="Carla surely wants everybody to know.")):
        first = attempt(send)
    if not isinstance(first, Waits):
        raise StoryBrokeError(f"the mailing does not wait for people: {first}")
    it.tell.waiting(
        f"That is more than a few recipients: {first.request_id}. This time the agent holds on."
    )
    heard: SimpleQueue[Answer[int]] = SimpleQueue()

    def hold() -> None:
        # The same call finds the same request; this time it waits for as long as people may take.
        with (
            # The client is closed under it where the story ends earlier than this wait.
            contextlib.suppress(RuntimeError),
            use(it.guard(wait=first.expires - time.time() + HOLD)),
        ):
            heard.put(attempt(send))

    Thread(target=hold, daemon=True).start()
    reason = "Our prices did not change. Ask Carla first."
    it.cast.decide("priya", first.url, first.request_id, "deny", name=PRIYA, reason=reason)
    who = PRIYA
    if isinstance(it.client.look(first.request_id), Pending):
        # Priya approved, and it is night in UTC: another rule asks for somebody else as well.
        who = TOMAS
        it.tell.say("Priya approves. At night a second person reads such a mail: Tomás.")
        it.cast.decide("tomas", first.url, first.request_id, "deny", name=TOMAS, reason=reason)
    answer = _heard(heard)
    if isinstance(answer, Done):
        it.tell.good("Priya approves, so the agent, still holding, sends the mailing.")
        it.tell.expect("one mailing went out", holds=_count("mailings") == 1)
        return
    if not isinstance(answer, No) or answer.reason != "denied":
        raise StoryBrokeError(f"the mailing was neither sent nor denied: {answer}")
    it.tell.refused(f"{who} denies. What the agent, still holding, gets as data:")
    told = {"reason": answer.reason, "message": answer.message, "comment": answer.comment}
    it.tell.document("CallRefused", told, style="red")
    it.tell.expect("no mailing went out", holds=_count("mailings") == 0)


def afterwards(it: Company, parked: Waits) -> None:
    """Everything is checked by somebody who trusts nobody, with the service switched off."""
    it.tell.chapter("Afterwards, without trusting the service")
    fetch = ("--key", "enforcer.json", "--enforcer", it.enforcer, "--out", "evidence.json")
    it.tell.command(f"assent evidence {parked.request_id} {' '.join(fetch)}")
    it.stage.assent("evidence", parked.request_id, *fetch)
    it.stage.stop()
    it.tell.say("The service is switched off now. Whoever pinned its keys needs nothing of it.")
    pinned = (
        *("--jwks", "pins/jwks.json", "--log-key", "pins/log.vkey"),
        *("--people", "pins/people.jwt", "--issuer", it.stage.url),
    )
    it.tell.command(f"assent verify evidence.json {' '.join(pinned)}")
    it.tell.block(it.stage.assent("verify", "evidence.json", *pinned))
    it.tell.good("The whole story holds, offline, by a process that knows only the pinned keys.")
    raw = (it.stage.root / "evidence.json").read_bytes()
    altered = raw.replace(b"4800.00", b"9800.00", 1)
    it.tell.expect("the amount stands in the evidence", holds=raw != altered)
    (it.stage.root / "altered.json").write_bytes(altered)
    told = it.stage.assent_json("verify", "altered.json", *pinned, codes=(1,))
    wrong = next(step for step in told["steps"] if not step["ok"])
    it.tell.refused(
        f"One digit changed in that file: {wrong['step']}: {wrong['place']}: {wrong['detail']}"
    )
    it.tell.command("assent log check")
    it.tell.block(it.stage.assent("log", "check"))
    it.tell.good("The log holds all of it, in order, and nothing was changed since.")


def _transfer(**changed: str) -> ToolCall:
    return ToolCall(target=tools.PAYMENTS, tool="payments.transfer", args={**TRANSFER, **changed})


def _expect_rejected(it: Company, what: str, reason: str, token: str, **changed: str) -> None:
    try:
        it.verifier().verify(token, _transfer(**changed), now=int(time.time()))
    except ApprovalRejected as rejected:
        it.tell.expect(
            f"{what} is refused as {reason}, not {rejected.reason}",
            holds=rejected.reason == reason,
        )
        it.tell.refused(f"{what}: {rejected.message} [{reason}]")
    else:
        raise StoryBrokeError(f"{what} was accepted")


def _done(answer: Answer[T]) -> T:
    if not isinstance(answer, Done):
        raise StoryBrokeError(f"the call did not run: {answer}")
    return answer.result


def _heard(heard: SimpleQueue[Answer[int]]) -> Answer[int]:
    try:
        return heard.get(timeout=10 * HOLD)
    except Empty:
        raise StoryBrokeError("the agent, still holding, was told nothing") from None


def _count(table: str) -> int:
    with database.transaction() as books:
        counted: int = books.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - our own names
        return counted


def _named(value: Any) -> Any:
    """A further item of a list, as short as it can be told apart."""
    if not isinstance(value, Mapping):
        return value
    return {
        **{name: value[name] for name in ("approver", "requirement") if name in value},
        "…": "…",
    }


def _abridged(value: Any) -> Any:
    """A document with its long values cut, as a panel can show it."""
    if isinstance(value, Mapping):
        return {
            name: _abridged(inner)
            for name, inner in value.items()
            if name not in {"evidence", "request"}
        }
    if isinstance(value, str):
        return value if len(value) <= 2 * SHORT else f"{value[:SHORT]}…"
    if isinstance(value, Sequence):
        # Votes look alike: the first one shows their form.
        return [
            _abridged(inner) if index == 0 else _named(inner) for index, inner in enumerate(value)
        ]
    return value
