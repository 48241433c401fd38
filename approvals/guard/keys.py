"""A verifier that fetches the service's keys and stops using them when they are too old.

Keys older than `REFRESH_AFTER` seconds are fetched again at the next use, so a key that the service
withdraws is soon refused here. Where the service cannot be reached, keys are used until they are
`MAX_AGE` seconds old; after that nothing is verified. An unknown key is fetched at once, but only
once in `LEAST_BETWEEN` seconds: forged tokens cannot make the enforcer flood the service.
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

    Threads, event loops and forked children share one without a lock. The first plan that finds a
    fetch due does it; the others use the keys that there are meanwhile.
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
