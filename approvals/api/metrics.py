"""`/metrics`: what there is to watch, as Prometheus reads it.

What holds:
1. Nothing of a call and no name is in it: labels are routes, codes, channels and types of events.
2. A scrape costs the same however long the history is: what is counted in the database is read
   from an index and only up to a bound, on the connections that probes have.
3. It answers while the database does not: with `assent_database_up 0`, and without what it would
   have told.
4. Each application has a registry of its own.
5. Who may read it is a setting, and unset nobody may. `loopback` means: from this machine, to a
   name of this machine, and through no proxy, which would lend everybody its address.
"""

import asyncio
import hmac
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Final

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from approvals.api.waiting import Waiting
from approvals.core.errors import AssentError, NotFound, Unavailable
from approvals.flow.auditing.figures_now import figures_now
from approvals.flow.service import Service

SECONDS: Final = 5.0
BUCKETS: Final = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST"})
_FORWARDED: Final = ("forwarded", "via", "x-forwarded-for", "x-real-ip")

router = APIRouter(include_in_schema=False)


class Metrics:
    """The metrics of one application."""

    def __init__(self, service: Service, waiting: Waiting) -> None:
        """Count from zero."""
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "assent_http_requests",
            "Requests that were answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "assent_http_request_seconds",
            "How long answers took, waiting for people included.",
            ("route",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._refusals = Counter(
            "assent_http_refusals",
            "Requests that were refused, by the code of the problem.",
            ("code",),
            registry=self.registry,
        )
        self.registry.register(_Watched(service, waiting))
        # Of its own: the threads that requests share may all be stuck.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="assent-metrics")

    def answered(
        self, *, method: str, route: str, status: int, seconds: float, code: str | None
    ) -> None:
        """Count a request."""
        known = method if method in _METHODS else "other"  # a caller can write any method
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if code is not None:
            self._refusals.labels(code).inc()

    async def text(self) -> bytes:
        """Everything, as text.

        Raises:
            Unavailable: the scrape before this one has not ended.
        """
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._thread, generate_latest, self.registry)
        try:
            return await asyncio.wait_for(work, SECONDS)
        except TimeoutError:
            raise Unavailable("the metrics could not be read in time") from None


class _Watched(Collector):
    """What is looked at when it is asked for, rather than counted as it happens."""

    def __init__(self, service: Service, waiting: Waiting) -> None:
        self._service = service
        self._waiting = waiting

    def describe(self) -> Iterator[Metric]:
        """Nothing: what there is may depend on whether the database answers."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Look."""
        yield GaugeMetricFamily(
            "assent_waiting_callers", "Callers that wait for a decision.", self._waiting.parked
        )
        yield from self._events()
        yield from self._loops()
        yield from self._store()
        yield from self._figures()

    def _events(self) -> Iterator[Metric]:
        events = CounterMetricFamily(
            "assent_events",
            "Events that this process gave their place in the log, by type; refusals by code.",
            labels=("type", "code"),
        )
        for (kind, code), count in sorted(self._service.counts.events().items()):
            events.add_metric((kind, code), count)
        yield events

    def _loops(self) -> Iterator[Metric]:
        age = GaugeMetricFamily(
            "assent_loop_age_seconds", "Since a loop's last good round.", labels=("loop",)
        )
        failures = CounterMetricFamily(
            "assent_loop_failures", "Rounds of a loop that failed.", labels=("loop",)
        )
        for state in self._service.loops.states():
            age.add_metric((state.name,), state.age)
            failures.add_metric((state.name,), state.failures)
        yield age
        yield failures

    def _store(self) -> Iterator[Metric]:
        time = SummaryMetricFamily(
            "assent_database_seconds", "Time in transactions, by kind.", labels=("kind",)
        )
        for kind, (count, seconds) in self._service.store.spent().items():
            time.add_metric((kind,), count_value=count, sum_value=seconds)
        yield time
        health = self._service.store.health
        yield GaugeMetricFamily(
            "assent_listening", "Whether other processes are heard.", int(health.listening)
        )

    def _figures(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("assent_database_up", "Whether the database answered.")
        try:
            now = figures_now(self._service)
        except AssentError:
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        yield GaugeMetricFamily(
            "assent_closed", "1 while nothing is granted, whatever the cause.", int(now.closed)
        )
        states = GaugeMetricFamily(
            "assent_open_requests", "Requests that can still lead to execution.", labels=("state",)
        )
        states.add_metric(("pending",), now.pending)
        states.add_metric(("approved",), now.unspent)
        yield states
        yield GaugeMetricFamily(
            "assent_oldest_pending_seconds",
            "Age of the oldest pending request.",
            now.oldest_pending,
        )
        depth = GaugeMetricFamily(
            "assent_outbox_notices", "Notices that wait to be delivered.", labels=("channel",)
        )
        oldest = GaugeMetricFamily(
            "assent_outbox_oldest_seconds", "Age of what waits longest.", labels=("channel",)
        )
        for channel, (count, age) in sorted(now.outbox.items()):
            depth.add_metric((channel,), count)
            oldest.add_metric((channel,), age)
        yield depth
        yield oldest
        yield GaugeMetricFamily("assent_log_size", "Leaves under the last checkpoint.", now.size)
        yield GaugeMetricFamily(
            "assent_log_waiting_events", "Events that wait for their place.", now.waiting
        )
        yield GaugeMetricFamily(
            "assent_log_lag_seconds", "Age of the event that waits longest.", now.lag
        )


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """The metrics, for whom the settings name; for everybody else there is no such page."""
    room = request.app.state.api
    if not _may_read(request, room.service):
        raise NotFound("there is no such thing")
    return Response(
        await room.metrics.text(),
        headers={"Cache-Control": "no-store"},
        media_type=CONTENT_TYPE_LATEST,
    )


def _may_read(request: Request, service: Service) -> bool:
    settings = service.settings
    if settings.metrics == "token" and settings.metrics_token is not None:
        expected = f"Bearer {settings.metrics_token.get_secret_value()}"
        sent = request.headers.getlist("authorization")
        return len(sent) == 1 and hmac.compare_digest(sent[0].encode(), expected.encode())
    return settings.metrics == "loopback" and _from_here(request)


def _from_here(request: Request) -> bool:
    """Whether the request comes from this machine, to a name of it, and through no proxy."""
    client = "" if request.client is None else request.client.host
    hosts = request.headers.getlist("host")
    try:
        local = ip_address(client).is_loopback
    except ValueError:
        return False
    named = len(hosts) == 1 and hosts[0].rsplit(":", 1)[0] in {"localhost", "127.0.0.1", "[::1]"}
    return local and named and not any(name in request.headers for name in _FORWARDED)
