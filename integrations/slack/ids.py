"""What ids look like, Slack's and ours, where they come from outside."""

from __future__ import annotations

import re
from typing import Final

from approvals.core.slack_ids import ACCOUNT, TEAM

__all__ = ["ACCOUNT", "ENVELOPE", "REQUEST", "TEAM", "TRIGGER"]

REQUEST: Final = re.compile(r"req_[a-z2-7]{26}", re.ASCII)
ENVELOPE: Final = re.compile(r"[A-Za-z0-9-]{1,128}", re.ASCII)
TRIGGER: Final = re.compile(r"[A-Za-z0-9._-]{1,256}", re.ASCII)
