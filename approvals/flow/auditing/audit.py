"""Whether the database holds what the log tells: each row that grants something, column by column.

1. Every sealed row is read, and its seal checked (`row_altered`).
2. Every subject's events are followed from the first to the last, as the log has them. What they
   tell of is looked for in the database: a row that is not there (`row_missing`), a column that
   holds something else, as after an older row was put back (`row_differs`), rows that no event
   tells of (`row_unlogged`). Events that cannot have happened so are findings too (`chain`,
   `impossible`).
3. What nothing but a row tells of is held against the events that end it: an open challenge that
   was answered, a code that was used or replaced, a browser that signed out (`row_differs`).
4. Counters are counted again (`row_differs`).

All of it is read from one snapshot, so what happens meanwhile is no difference. A few subjects are
in memory at a time, and of the whole: what the uses of each passkey add up to, and a number for
each table. It says nothing where the log itself was changed: that is for `log.check`, which comes
before.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from approvals import log
from approvals.core import b64
from approvals.core.decision.occasion import Purpose
from approvals.core.errors import ProofError, Unavailable
from approvals.core.history.events import SERVICE, Event, PasskeyUsed, SessionStarted
from approvals.core.history.leaves import with_values
from approvals.core.history.rebuild import follow
from approvals.flow.auditing.compare import differing, of_document, of_token, texts_of_document
from approvals.flow.auditing.contents import Expected, Uses, expect, used
from approvals.flow.auditing.tally import recount
from approvals.flow.knowing.closings import last_restore
from approvals.flow.knowing.logged import open_code, still_enrols
from approvals.flow.knowing.subjects import session_subject, subject_of
from approvals.flow.service import DEFAULT_TENANT
from approvals.store.records import place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from approvals.core.canonical import Json
    from approvals.core.history.leaves import LeafEvent
    from approvals.flow.service import Service
    from approvals.store import Tx
    from approvals.store.records import Key, Record

BATCH: Final = 200
MOST_FINDINGS: Final = 200
SHOWN: Final = 80
"""Characters of a value that a finding shows; of a longer one it says only that it differs."""
_BY_ROW: Final = frozenset({"ceremony", "handle", "link_code", "seat", "session", "staged"})
"""Tables whose rows are not told of one by one: they are looked at from the row's side."""


def audit(service: Service) -> tuple[log.Finding, ...]:
    """Where the database and the log differ; at most `MOST_FINDINGS` findings are listed."""
    with service.store.read() as tx:
        it = _Audit(tx)
        it.seals()
        it.contents()
        it.row_by_row()
        it.counters()
    return tuple(it.findings)


@dataclass(slots=True)
class _Audit:
    tx: Tx
    findings: list[log.Finding] = field(default_factory=list)
    held: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    nameless: Counter[str] = field(default_factory=Counter)
    uses: dict[object, Uses] = field(default_factory=dict)

    def found(self, code: str, where: str, message: str) -> None:
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(log.Finding(code, where, message))

    # -- 1 ----------------------------------------------------------------------------------

    def seals(self) -> None:
        for table in self.tx.records.tables():
            for record in self.tx.records.every(table):
                self.held[table] += 1
                if not record.sound:
                    self.found(
                        "row_altered",
                        record.place,
                        "is not as the service wrote it: its seal is broken",
                    )

    # -- 2 ----------------------------------------------------------------------------------

    def contents(self) -> None:
        expected, waiting = Expected(), 0
        for subject, leaves in self.tx.records.subjects():
            try:
                followed = follow(leaf for leaf, _ in leaves)
                events = tuple(
                    _opened(told, opening).event
                    for told, (_, opening) in zip(followed.told, leaves, strict=True)
                )
            except (ProofError, ValueError, KeyError, TypeError, AttributeError) as error:
                code = error.code if isinstance(error, ProofError) else "opening_altered"
                self.found(code, subject, str(error))
                continue
            self._uses(events)
            expect(expected, followed, events, uses=self.uses)
            waiting += 1
            if waiting >= BATCH:
                self._compare(expected)
                expected, waiting = Expected(), 0
        self._compare(expected)
        for table in self.tx.records.tables():
            beyond = self.held[table] - self.told[table] - self.nameless[table]
            if table not in _BY_ROW and beyond > 0:
                self.found(
                    "row_unlogged", table, f"{beyond} rows that no event in the log tells of"
                )

    def _uses(self, events: tuple[Event, ...]) -> None:
        # Uses have subjects of their own, whose names come before those of people.
        for event in events:
            if isinstance(event, PasskeyUsed):
                used(self.uses, event)

    def _compare(self, expected: Expected) -> None:
        self.nameless += expected.nameless
        requests: dict[Key, Record] = {}
        for table, rows in expected.rows.items():
            records = self.tx.records.some(table, rows.keys())
            self.told[table] += len(records)
            requests = records if table == "request" else requests
            for key, columns in rows.items():
                record = records.get(key)
                if record is None:
                    self.found("row_missing", place(table, key), "the log tells of it")
                    continue
                self._hold(record, columns)
                if table == "request_text":
                    self._within(record, "document", texts_of_document, record)
                    self._seats(record)
                    if key in requests:
                        self._within(record, "document", of_document, requests[key])
                elif table == "approval":
                    self._within(record, "token", of_token, record)

    def _hold(self, record: Record, columns: dict[str, object]) -> None:
        for name in differing(record.table, columns, record.values):
            self.found(
                "row_differs",
                record.place,
                f"{name} is {_shown(record.values[name])}, the log tells {_shown(columns[name])}",
            )

    def _within(self, record: Record, name: str, columns: Any, held: Record) -> None:
        """Hold a row against a document in one of its kind, which is the one that the log names."""
        try:
            text = record.values[name]
            document = orjson.loads(b64.decode(text.split(".")[1]) if name == "token" else text)
            said = columns(document)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            self.found("row_differs", record.place, f"{name} cannot be read")
            return
        self._hold(held, said)

    def _seats(self, texts: Record) -> None:
        """Whoever the document asks has a seat, and nobody else."""
        try:
            requirements = orjson.loads(texts.values["document"])["requirements"]
            asked = {person for each in requirements for person in each["eligible"]}
        except (KeyError, TypeError, ValueError):
            return  # found above
        keys: set[Key] = {(texts.values["request"], person) for person in asked}
        seats = self.tx.records.some("seat", keys)
        self.told["seat"] += len(seats)
        for key in sorted(keys - seats.keys(), key=str):
            self.found("row_missing", place("seat", key), "the request asks this person")

    # -- 3 ----------------------------------------------------------------------------------

    def row_by_row(self) -> None:
        beyond = self.held["seat"] - self.told["seat"]
        if beyond > 0:
            self.found("row_unlogged", "seat", f"{beyond} rows of people whom no request asks")
        for table, events_of in (
            ("session", lambda row: session_subject(row["token_hash"])),
            ("ceremony", lambda row: row["id"]),
            ("handle", lambda row: subject_of(row["handle"])),
        ):
            for batch in _batches(self.tx.records.every(table)):
                self._against_ends(batch, events_of)
        self._ended_by_people()
        self._ended_by_restores()

    def _against_ends(self, batch: list[Record], events_of: Any) -> None:
        tenants = {record.values["tenant"] for record in batch}
        for tenant in sorted(tenants, key=str):
            subjects = {
                events_of(record.values): record
                for record in batch
                if record.values["tenant"] == tenant and record.sound
            }
            histories = self.tx.chains.unheld(tenant=tenant, subjects=subjects)
            for subject, record in subjects.items():
                kinds = [_type(leaf) for leaf in histories[subject].leaves]
                if record.table == "session" and kinds != [SessionStarted.TYPE]:
                    ended = "it was signed out" if kinds else "nobody signed in"
                    self.found("row_differs", record.place, f"the log tells that {ended}")
                elif record.table == "handle" and not kinds:
                    self.found("row_unlogged", record.place, "no event tells of this person")
                elif record.table == "ceremony" and record.values["state"] == "open" and kinds:
                    self.found(
                        "row_differs",
                        record.place,
                        "state is 'open', the log tells that it was answered",
                    )

    def _ended_by_people(self) -> None:
        """No challenge is open that enrols nobody any more, no code that links no account."""
        for table in ("link_code", "ceremony"):
            for record in self.tx.records.every(table):
                values = record.values
                if not record.sound or values["state"] != "open" or values["person"] is None:
                    continue
                if table == "ceremony" and values["kind"] != Purpose.ENROL.value:
                    continue
                if not self._still_given(record):
                    self.found(
                        "row_differs",
                        record.place,
                        "state is 'open', the log tells that it was used or ended",
                    )

    def _ended_by_restores(self) -> None:
        """No browser is signed in, no challenge and no code is open from before a restore."""
        told = self.tx.chains.unheld(tenant=DEFAULT_TENANT, subjects=[SERVICE])[SERVICE]
        try:
            followed = follow(told.leaves)
        except ProofError:
            return  # found above
        epoch = last_restore(followed.told, head=followed.head)
        for table in ("session", "ceremony", "link_code"):
            for record in self.tx.records.every(table):
                ended = record.values.get("state", "open") != "open"
                if record.sound and not ended and record.values["epoch"] != epoch:
                    self.found("row_differs", record.place, "the log tells that a restore ended it")

    def _still_given(self, record: Record) -> bool:
        values = record.values
        tenant = values["tenant"]
        handle = self.tx.passkeys.known_handle(tenant=tenant, person=values["person"])
        if handle is None:
            return False  # its person left
        subject = subject_of(handle)
        told = self.tx.chains.unheld(tenant=tenant, subjects=[subject])[subject]
        try:
            followed = follow(told.leaves)
            events = [
                _opened(each, opening)
                for each, opening in zip(followed.told, told.openings, strict=True)
            ]
        except (ProofError, ValueError, KeyError, TypeError, AttributeError):
            return True  # found above
        if record.table == "link_code":
            return bool(open_code(events, channel=values["channel"]) == values["code_hash"])
        return still_enrols(events, values["id"], after=values["after"], head=followed.head)

    # -- 4 ----------------------------------------------------------------------------------

    def counters(self) -> None:
        try:
            recounted = recount(self.tx)
        except ProofError as error:
            self.found(error.code, error.place or "log", error.message)
            return
        except Unavailable:
            return  # an event in line was altered: found above
        counted = self.tx.counters.in_force(now=self.tx.now)
        for bucket in sorted(counted.keys() | recounted.keys(), key=str):
            held, told = counted.get(bucket, 0), recounted.get(bucket, 0)
            if held != told:
                self.found("row_differs", str(bucket), f"count is {held}, the log tells {told}")


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for record in records:
        batch.append(record)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _type(leaf: bytes) -> str:
    return str(orjson.loads(leaf)["type"])


def _shown(value: object) -> str:
    """A value in a sentence: short, and nothing of a payload that is longer than an id."""
    text = b64.encode(value) if isinstance(value, bytes) else repr(value)
    return text if len(text) <= SHOWN else "something else"


def _opened(told: LeafEvent, opening: str) -> LeafEvent:
    """An event with the sealed values that its opening has, which are not verified here.

    Raises:
        ProofError: its type does not have them so (`event`).
        ValueError, KeyError, TypeError, AttributeError: it is no opening.
    """
    members: dict[str, dict[str, Json]] = orjson.loads(opening)
    values = {name: member["value"] for name, member in members.items()}
    return replace(told, event=with_values(told.event, values))
