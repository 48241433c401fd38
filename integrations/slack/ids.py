"""What ids look like, Slack's and ours, where they come from outside."""

from __future__ import annotations

import re
from typing import Final

from approvals.core import approval
from approvals.core.addresses.slack import ACCOUNT, ORGANIZATION, TEAM

__all__ = ["ACCOUNT", "ENVELOPE", "ORGANIZATION", "REQUEST", "TEAM", "TRIGGER"]

REQUEST: Final = re.compile(f"{approval.REQUEST}{approval.OCCASION_PATTERN}", re.ASCII)
ENVELOPE: Final = re.compile(r"[A-Za-z0-9-]{1,128}", re.ASCII)
TRIGGER: Final = re.compile(r"[A-Za-z0-9._-]{1,256}", re.ASCII)
KIND: Final = re.compile(r"[a-z][a-z_]{0,99}", re.ASCII)
"""What Slack calls a kind of interaction."""
