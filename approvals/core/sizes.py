"""How large things may be that one part makes and another reads: each limit is here once.

What a producer makes, its consumers take. So the service refuses a call, a request or a vote before
it makes something of which a verifier would say that it is too large.
"""

from __future__ import annotations

from typing import Final

CALL: Final = 262_144
"""Bytes of a submitted body, unless the operator says otherwise (`ASSENT_MAX_BYTES`)."""

CALL_MOST: Final = 1_048_576
"""Bytes of a submitted body, whatever the operator says; what a client or guard takes at most."""

DISPLAY: Final = 4 * 1024 * 1024
"""Bytes of a displayed document in canonical form: a call of which every character is drawn as a
mark is displayed in many times its size."""

PLACES: Final = 100
"""Places that people fill in one approval."""

VOTES: Final = 2 * PLACES + 1
"""Votes of one request: those that fill a place, as many that fill none, and one that denies."""

VOTE_EVIDENCE: Final = 6_144
"""Bytes of a vote's evidence in canonical form; a passkey's assertion has about 1,300."""

CREDENTIAL_ID: Final = 1_023
"""Bytes of a passkey's id (Web Authentication Level 3, section 7.1)."""

TOKEN: Final = 262_144
"""Characters of an approval, a receipt or any other token but a directory."""

HEADER: Final = 1_024
"""Characters of the header of a token."""

DIRECTORY: Final = 16 * 1024 * 1024
"""Characters of a directory of approvers, which has a key or two of everybody in the company."""

EVIDENCE: Final = 64 * 1024 * 1024
"""Bytes of an evidence file: the call, its display, the votes, and a whole directory."""
