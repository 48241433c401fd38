"""The tables. A row is for storing only: values go in and come out, rows never leave `store`.

Every table carries the tenant, and every query names it. Times are whole seconds since 1970 (UTC).
Documents whose bytes matter (payloads, statements, tokens, leaves) are stored as the text or bytes
that was hashed or signed, never as a database's own JSON type, which would rewrite them.
A row that grants something is a `SealedRow`: `store.seals` says what that means and how it is
written.

Whoever imports one of these modules has imported all of them. So the schema and the subclasses of
`SealedRow` are always complete, and no check of every sealed table leaves one out.
"""

from __future__ import annotations

from approvals.store.rows import calls, log, notices, people, sealed

__all__ = ["calls", "log", "notices", "people", "sealed"]
