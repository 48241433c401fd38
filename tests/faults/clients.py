"""Enforcers and people who use two service processes at once, and write down what they are told."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpx2

from approvals.client.service import mint_token
from approvals.core.calls import ToolCall, call_hash
from tests.faults.linear import UNKNOWN, Operation
from tests.progress import Tally
from tests.service import ENFORCER, TARGET

if TYPE_CHECKING:
    import random

    from tests.service import Running

RECENT: Final = 5
"""Requests that are worked on at one time: few, so that clients meet."""

TTL: Final = 8
"""Seconds after which a small transfer's request ends by itself."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: for two people, or for one and soon over."""

    id: str
    call: ToolCall
    places: int
    begun: float


@dataclass
class Seen:
    """What all clients saw."""

    requests: dict[str, Asked] = field(default_factory=dict)
    history: dict[str, list[Operation]] = field(default_factory=dict)
    receipts: dict[str, set[str]] = field(default_factory=dict)
    answers: dict[str, set[str]] = field(default_factory=dict)
    undeclared: list[str] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    recent: deque[Asked] = field(default_factory=lambda: deque(maxlen=RECENT))
    keys: deque[tuple[str, ToolCall, int]] = field(default_factory=lambda: deque(maxlen=RECENT))
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def operations(self) -> int:
        return sum(map(len, self.history.values()))


def transfer(amount: str) -> ToolCall:
    return ToolCall(TARGET, "transfer", {"amount": amount, "to": "vendor@example.com"})


class Client:
    """One of those who use the service: in turn an enforcer, and the browser of each person."""

    def __init__(
        self, running: Running, url: str, ports: list[int], seen: Seen, chance: random.Random
    ) -> None:
        self.running, self.url, self.ports, self.seen, self.chance = (
            *(running, url, ports),
            *(seen, chance),
        )
        self.http = httpx2.Client(timeout=90)
        self._token, self._until = "", 0.0

    def go(self, stop: threading.Event) -> None:
        try:
            with self.http:
                while not stop.is_set():
                    self.turn()
        except BaseException as failure:
            self.seen.tally.fail(failure)
            raise

    def turn(self) -> None:
        """Do one thing, chosen by chance."""
        drawn = self.chance.random()
        with self.seen.lock:
            recent = list(self.seen.recent)
        if drawn < 0.15 or not recent:
            self.ask()
            return
        asked = self.chance.choice(recent)
        if drawn < 0.6:
            person = self.chance.choice(["ada", "ben"])
            self.vote(asked, person, "deny" if self.chance.random() < 0.1 else "approve")
        elif drawn < 0.66:
            self.enforce(asked, "cancel", f"/v1/requests/{asked.id}/cancel")
        elif drawn < 0.76:
            self.enforce(asked, "look", f"/v1/requests/{asked.id}", method="GET")
        else:
            use = self.chance.choice(["first", "second"])
            body = {"call_hash": call_hash(asked.call), "use_id": use}
            path = f"/v1/approvals/apr_{asked.id[4:]}/consume"
            self.enforce(asked, "spend", path, by=use, body=body)

    def ask(self) -> None:
        """Submit a call, now and then one that was submitted already, under its key."""
        with self.seen.lock:
            known = list(self.seen.keys)
        if known and self.chance.random() < 0.3:
            key, call, places = self.chance.choice(known)
        else:
            number = self.chance.randrange(1, 49_999)
            places = self.chance.choice([1, 2])
            amount = f"{500 + number if places == 2 else number % 499}.{number % 100:02}"
            key, call = f"key-{self.chance.getrandbits(60)}", transfer(amount)
        begun = time.monotonic()
        body = {
            "call": {"target": call.target, "tool": call.tool, "args": call.args},
            "agent": "billing-agent",
            "user": "uma",
        }
        status, said = self.send(
            "POST", "/v1/calls", headers={**self.bearer(), "Idempotency-Key": key}, body=body
        )
        if status != 202:
            return
        request = said["request"]["id"]
        with self.seen.lock:
            self.seen.keys.append((key, call, places))
            self.seen.answers.setdefault(key, set()).add(request)
            if request not in self.seen.requests:
                asked = Asked(request, call, places, begun)
                self.seen.requests[request] = asked
                self.seen.history[request] = []
                self.seen.recent.append(asked)

    def vote(self, asked: Asked, person: str, decision: str) -> None:
        """Look at the page, sign, and send: what counts is what the last of them says."""
        page = f"/r/{asked.id}"
        web = {"origin": self.url, "cookie": f"assent={self.running.tokens[person]}"}
        self.send("POST", f"{page}/seen", headers=web, body={})
        status, begun = self.send(
            "POST", f"{page}/decide/begin", headers=web, body={"decision": decision}
        )
        if status != 200:
            return
        credential = self.running.passkeys[person].authenticate(begun["options"])
        finished = {"ceremony": begun["ceremony"], "credential": credential, "reason": ""}
        before = time.monotonic()
        status, said = self.send("POST", f"{page}/decide/finish", headers=web, body=finished)
        told = said.get("state", "") if status == 200 else self.refusal(status, said)
        self.record(asked, Operation("vote", before, 0, person, decision, told))

    def enforce(
        self,
        asked: Asked,
        does: str,
        path: str,
        *,
        by: str = "",
        method: str = "POST",
        body: dict[str, Any] | None = None,
    ) -> None:
        """Cancel, look or spend."""
        before = time.monotonic()
        status, said = self.send(method, path, headers=self.bearer(), body=body)
        if status == 200 and does == "spend":
            told = by
            with self.seen.lock:
                self.seen.receipts.setdefault(asked.id, set()).add(said["receipt"])
        else:
            told = said.get("state", "") if status == 200 else self.refusal(status, said)
        self.record(asked, Operation(does, before, 0, by, told=told))

    def record(self, asked: Asked, it: Operation) -> None:
        """Write down what was told; what was told not to be done is no operation."""
        if it.told == "":
            return
        end = math.inf if it.told == UNKNOWN else time.monotonic()
        done = Operation(it.does, it.begin, end, it.by, it.decision, it.told)
        with self.seen.lock:
            self.seen.history[asked.id].append(done)
        if it.told != UNKNOWN:
            self.seen.tally.add("answered")

    def refusal(self, status: int, said: dict[str, Any]) -> str:
        """The code of a refusal; UNKNOWN, or nothing where it is certain that nothing was done."""
        if status == 0 or said.get("code") == "outcome_unknown":
            return UNKNOWN
        return "" if status in {-1, 503} else str(said.get("code"))

    def send(
        self, method: str, path: str, *, headers: dict[str, str], body: dict[str, Any] | None
    ) -> tuple[int, dict[str, Any]]:
        """Send to one of the processes. Status 0: no answer came; -1: it was never sent."""
        port = self.chance.choice(self.ports)
        sent = {**headers, "Host": self.url.removeprefix("http://")}
        try:
            answer = self.http.request(
                method, f"http://127.0.0.1:{port}{path}", headers=sent, json=body
            )
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            time.sleep(0.05)
            return -1, {}
        except httpx2.HTTPError:
            return 0, {}
        said: dict[str, Any] = answer.json() if answer.content else {}
        if answer.status_code >= 400:
            self.count(answer.status_code, str(said.get("code")), answer.text)
        return answer.status_code, said

    def count(self, status: int, code: str, text: str) -> None:
        """Count refusals, and keep what is no declared one."""
        with self.seen.lock:
            self.seen.codes[code] = self.seen.codes.get(code, 0) + 1
            if status not in {404, 409, 422, 503} or code == "None":
                self.seen.undeclared.append(f"{status} {text[:300]}")

    def bearer(self) -> dict[str, str]:
        if time.time() > self._until:
            now = int(time.time())
            self._token = mint_token(
                enforcer=ENFORCER, key=self.running.enforcer_jwk, audience=self.url, now=now
            )
            self._until = now + 200
        return {"Authorization": f"Bearer {self._token}"}
