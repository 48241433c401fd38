"""The settings of the service: where they come from, what they default to, what is refused."""

from __future__ import annotations

from approvals.config.environment import OTHERS, load
from approvals.config.settings import DEFAULT_PORT, PREFIX, Settings

__all__ = ["DEFAULT_PORT", "OTHERS", "PREFIX", "Settings", "load"]
