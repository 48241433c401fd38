"""How somebody arrives at the pages in tests, and a request that is not there."""

from __future__ import annotations

from collections.abc import Callable

from tests.web.visits import Visit

Arrive = Callable[..., Visit]
NO_ONE = "req_" + "a" * 26
