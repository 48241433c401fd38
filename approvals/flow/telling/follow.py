"""A request is followed up until it is decided or runs out: who is told first, who later.

1. When it is opened: those whom the rule names and does not keep for later; of a group with people
   on call, those on call, if they can fill the places.
2. At each `@escalate` step: the people whom it names.
3. When half of its time is over, once: those who were told and have not answered are reminded, and
   whoever was spared by 1 is told.
4. Each morning, once: a digest to everybody with requests that wait, or that others decided.

What holds: the database decides what is due (`follow_at`, moved on in the transaction that tells),
so a step is taken once, by whichever process, however late, and a scheduler only says when to look.
Telling changes nothing of who may approve.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from approvals import log
from approvals.core.history.events import RequestEscalated, RequestReminded
from approvals.core.requests import State, progress
from approvals.flow.status import effective_state
from approvals.flow.telling.outbox import Caps, NoticeKind, tell

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from approvals.core.decision.requirement import Requirement
    from approvals.core.requests import Request
    from approvals.flow.service import Service
    from approvals.policy.bundle import Bundle
    from approvals.store import Tx
    from approvals.store.requests import StoredRequest

BATCH = 100
DAY = 86_400
DIGEST_HOUR = 8
"""The hour (UTC) from which the day's digest is due."""


@dataclass(frozen=True, slots=True)
class _Step:
    """At `at` the people of `name` are told for a requirement; without one, people are reminded."""

    at: int
    rule: str | None = None
    name: str = ""


def first_told(bundle: Bundle, requirement: Requirement, now: int) -> frozenset[str]:
    """Who is told of a requirement when its request is opened: enough to fill its places."""
    kept = _kept(bundle, requirement)
    first: set[str] = set()
    for name in requirement.approvers:
        on_call = requirement.among(bundle.on_call(name, now))
        first |= on_call or _named(bundle, requirement, name)
    for told in (first - kept, _spared(bundle, requirement)):
        if len(told) >= requirement.quorum:
            return frozenset(told)
    # Without those kept for later nobody could approve in time: nothing is gained by waiting.
    return frozenset(requirement.eligible)


def told_first(bundle: Bundle, request: Request) -> list[str]:
    """Everybody who is told when a request is opened."""
    document = request.document
    told = (first_told(bundle, each, document.created) for each in document.requirements)
    return sorted(frozenset[str]().union(*told))


def begins(request: Request) -> int | None:
    """When a request that was just opened is to be followed up first."""
    return min((step.at for step in _steps(request)), default=None)


def follow(service: Service) -> int:
    """Take every step that is due on pending requests; gives on how many requests."""
    with service.store.read() as tx:
        due = tx.attention.to_follow(now=tx.now, limit=BATCH)
    followed = 0
    for tenant, request_id in due:
        with service.store.begin() as tx:
            stored = tx.requests.get(tenant=tenant, request_id=request_id, lock=True)
            followed += stored is not None and _follow(service, tx, stored)
    return followed


class Digests:
    """The digests of one process: once it has put those of a day, it looks no more that day."""

    def __init__(self) -> None:
        """None were put yet."""
        self._last = 0

    def put(self, service: Service) -> int:
        """Put the day's digest into the outbox, if it is due; gives how many notices."""
        with service.store.read() as tx:
            today = tx.now - tx.now % DAY
            if today == self._last or tx.now < today + DIGEST_HOUR * 3600:
                return 0
        told = digest(service)
        self._last = today  # only now: what failed is tried again
        return told


def digest(service: Service) -> int:
    """Tell everybody whom it concerns what waits for them, once a day; gives how many notices."""
    with service.store.read() as tx:
        today = tx.now - tx.now % DAY
        due = today + DIGEST_HOUR * 3600
        if tx.now < due:
            return 0
        concerned = tx.attention.missed_or_waiting(
            now=tx.now, opened_before=due, decided_from=today - DAY, decided_before=today
        )
    date = datetime.fromtimestamp(today, UTC).date().isoformat()
    told = 0
    for tenant in sorted({tenant for tenant, _ in concerned}):
        with service.store.begin() as tx:
            told += tell(
                tx,
                service.current_bundle(tx, tenant).bundle,
                NoticeKind.DIGEST,
                tenant=tenant,
                persons=[person for where, person in concerned if where == tenant],
                subject=date,
            )
    return told


def _steps(request: Request) -> list[_Step]:
    document = request.document
    half = document.created + (document.expires - document.created) // 2
    return [
        _Step(half),
        *(
            _Step(document.created + after, each.rule, name)
            for each in document.requirements
            for after, name in each.escalate
        ),
    ]


@dataclass(frozen=True, slots=True)
class _Following:
    """A locked request in the transaction that follows it up."""

    tx: Tx
    bundle: Bundle
    caps: Caps
    request: Request

    def tell(self, kind: NoticeKind, people: Collection[str]) -> None:
        tell(
            self.tx,
            self.bundle,
            kind,
            tenant=self.request.document.tenant,
            persons=sorted(people),
            subject=self.request.id,
            agent=self.request.document.agent,
            enforcer=self.request.document.audience,
            caps=self.caps,
        )

    def log_escalated(self, people: Collection[str], *, rule: str, name: str) -> None:
        log.append(
            self.tx,
            RequestEscalated(
                time=self.tx.now,
                tenant=self.request.document.tenant,
                subject=self.request.id,
                request_digest=self.request.document.digest(),
                rule=rule,
                name=name,
                people=tuple(sorted(people)),
            ),
        )

    def log_reminded(self, people: Collection[str]) -> None:
        log.append(
            self.tx,
            RequestReminded(
                time=self.tx.now,
                tenant=self.request.document.tenant,
                subject=self.request.id,
                request_digest=self.request.document.digest(),
                people=tuple(sorted(people)),
            ),
        )


def _follow(service: Service, tx: Tx, stored: StoredRequest) -> bool:
    """Take the steps of a locked request that are due and were not taken yet."""
    request = stored.request
    since = tx.attention.follow_at(request.id)
    if since is None or since > tx.now or effective_state(request, now=tx.now) is not State.PENDING:
        return False  # another process took them, or it was decided, since we looked
    bundle = service.current_bundle(tx, request.document.tenant).bundle
    it = _Following(tx, bundle, Caps.of(service.settings), request)
    steps = _steps(request)
    wanting = {each.rule: each for each, filled, needed in progress(request) if filled < needed}
    for step in sorted(steps, key=lambda step: step.at):
        if not since <= step.at <= tx.now:
            continue
        if step.rule is None:
            _remind(it, wanting.values())
        elif step.rule in wanting:
            _escalate(it, step, wanting[step.rule])
    later = min((step.at for step in steps if step.at > tx.now), default=None)
    tx.attention.follow_next(request.id, at=later)
    return True


def _escalate(it: _Following, step: _Step, requirement: Requirement) -> None:
    people = _named(it.bundle, requirement, step.name)
    it.tell(NoticeKind.REQUEST, people)
    it.log_escalated(people, rule=requirement.rule, name=step.name)


def _remind(it: _Following, wanting: Iterable[Requirement]) -> None:
    notices = it.tx.notices.of(tenant=it.request.document.tenant, subject=it.request.id)
    asked = [each for each in notices if each.kind == NoticeKind.REQUEST]
    told = {each.person for each in asked}
    lately = {each.person for each in asked if each.created == it.tx.now}
    voted = {vote.approver for vote in it.request.votes}
    silent: set[str] = set()
    spared: set[str] = set()
    for requirement in wanting:
        silent |= (told & set(requirement.eligible)) - lately - voted
        spared |= _spared(it.bundle, requirement) - told - voted
    it.tell(NoticeKind.REMINDER, silent)
    it.tell(NoticeKind.REQUEST, spared)
    if silent or spared:
        it.log_reminded(silent | spared)


def _named(bundle: Bundle, requirement: Requirement, name: str) -> frozenset[str]:
    """Who of the eligible a name stands for, be it as the stand-in of somebody away."""
    members = bundle.members(name)
    if not members:
        # The name is gone from the bundle since the request was opened: rather all than nobody.
        return frozenset(requirement.eligible)
    return requirement.among(members)


def _kept(bundle: Bundle, requirement: Requirement) -> frozenset[str]:
    """Whom the rule keeps for later."""
    kept = (_named(bundle, requirement, name) for _, name in requirement.escalate)
    return frozenset[str]().union(*kept)


def _spared(bundle: Bundle, requirement: Requirement) -> frozenset[str]:
    """Everybody who is not kept for later, on call or not."""
    return frozenset(requirement.eligible) - _kept(bundle, requirement)
