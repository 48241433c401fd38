"""A verifier whose keys are fetched from the service, and have an age.

A key that the service withdraws stops being accepted here within `REFRESH_AFTER` seconds of use,
and within `MAX_AGE` where the service cannot be asked: nothing is verified with keys older than
that. A key that is not known is asked for at once, but not more often than every `LEAST_BETWEEN`
seconds, so that forged tokens cannot make the enforcer hammer the service.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from approvals.client import ServiceAway, ServiceError, plans
from approvals.client.steps import Pause
from approvals.core.errors import KeySetError
from approvals.guard.refusals import CallRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from approvals.client.steps import Plan
    from approvals.core.canonical import Json
    from approvals.verifier import Verifier

REFRESH_AFTER: Final = 60.0
MAX_AGE: Final = 600.0
LEAST_BETWEEN: Final = 10.0
_LONGEST_FETCH: Final = 60.0
_LOOK_AGAIN: Final = 0.05


class FetchedKeys:
    """Makes verifiers of the keys that the service publishes now.

    There is no lock in it: plans of threads, of event loops and of a forked child all pass through
    here, and whoever finds that a fetch is due fetches while the others go on with what there is.
    """

    def __init__(
        self,
        build: Callable[[Mapping[str, Json]], Verifier],
        fetch: Callable[[], Plan[dict[str, Json]]] = plans.jwks,
        *,
        clock: Callable[[], float] = time.monotonic,
        refresh_after: float = REFRESH_AFTER,
        max_age: float = MAX_AGE,
    ) -> None:
        """Fetch nothing yet. `build` makes a verifier of a key set; `clock` is steady."""
        self._build = build
        self._fetch = fetch
        self._clock = clock
        self._refresh_after = refresh_after
        self._max_age = max_age
        self._verifier: Verifier | None = None
        self._fetched_at = -math.inf
        self._tried_at = -math.inf
        self._fetching_since: float | None = None
        self._failure: CallRefused | None = None

    def current(self) -> Plan[Verifier]:
        """A verifier with keys that are fresh enough, or `CallRefused`."""
        if self._verifier is None:
            yield from self._refresh(least_between=0.0)
        elif self._clock() - self._fetched_at >= self._refresh_after:
            yield from self._refresh(least_between=LEAST_BETWEEN)
        verifier, age = self._verifier, self._clock() - self._fetched_at
        if verifier is not None and age < self._max_age:
            return verifier
        if self._failure is not None:
            raise self._failure
        raise CallRefused(
            f"the service's keys are {age:.0f} seconds old and could not be fetched again",
            reason="service_away",
        )

    def newer(self, known: Verifier) -> Plan[Verifier | None]:
        """A verifier that may know a key which `known` does not; None where there is none."""
        if self._verifier is known:
            yield from self._refresh(least_between=LEAST_BETWEEN)
        return None if self._verifier is known else self._verifier

    def _refresh(self, *, least_between: float) -> Plan[None]:
        """Fetch the keys, unless that is being done or was tried just now."""
        before = self._fetched_at
        yield from self._while_fetching()
        now = self._clock()
        if self._fetched_at != before or now - self._tried_at < least_between:
            return
        self._tried_at = self._fetching_since = now
        try:
            keys = yield from self._fetch()
            self._verifier = self._build(keys)
            self._fetched_at = now
            self._failure = None
        except (ServiceAway, ServiceError, KeySetError) as error:
            self._failure = CallRefused(
                f"the service's keys could not be fetched: {error}", reason=error.code
            )
        finally:
            self._fetching_since = None

    def _while_fetching(self) -> Plan[None]:
        """Wait for a fetch that is under way, where the keys at hand do not do."""
        while (since := self._fetching_since) is not None:
            # One whose process forked or whose task was lost is not waited for.
            if self._clock() - since > _LONGEST_FETCH:
                return
            yield Pause(_LOOK_AGAIN)
