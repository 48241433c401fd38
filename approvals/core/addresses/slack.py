"""What ids of Slack look like: an account, and the workspace or organisation it is in.

An id is what a message is sent to; a handle (`@ada`) is a name that its owner can change.
"""

from __future__ import annotations

import re
from typing import Final

ACCOUNT: Final = re.compile(r"[UW][A-Z0-9]{2,31}", re.ASCII)
TEAM: Final = re.compile(r"[TE][A-Z0-9]{2,31}", re.ASCII)
ORGANIZATION: Final = re.compile(r"E[A-Z0-9]{2,31}", re.ASCII)
