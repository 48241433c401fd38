"""Mail addresses: the ones that a mail can be sent to with every mail server.

One mailbox of plain ASCII (RFC 5321, `Dot-string "@" Domain`): no quoted local part, no display
name, no address literal, nothing that a header or a mail program would read as more than that.
"""

from __future__ import annotations

import re
from typing import Final

from approvals.core.addresses import urls

_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*", re.ASCII)
# RFC 5321, 4.5.3.1; 254 because a path has two angle brackets around it.
_LONGEST_LOCAL, _LONGEST_ADDRESS = 64, 254


def is_mailbox(text: str) -> bool:
    """Whether this is one plain mail address."""
    local, at, domain = text.partition("@")
    return (
        bool(at)
        and len(text) <= _LONGEST_ADDRESS
        and len(local) <= _LONGEST_LOCAL
        and _LOCAL.fullmatch(local) is not None
        and urls.is_name(domain.lower())
    )
