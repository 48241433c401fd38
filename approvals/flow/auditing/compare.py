"""Compares the columns of a stored row with what was said of them.

What the log tells of a long value is its digest, so the stored value is digested before it is
compared. A request's document and an approval's token, which the log names by their digests, say
again what other columns hold.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson

from approvals.core import b64, canonical
from approvals.core.calls import ToolCall, call_hash
from approvals.core.errors import AssentError
from approvals.core.history.events import ERASED
from approvals.flow.knowing.subjects import subject_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


UNTOLD: Final = ERASED
"""The value of a column that nobody can tell any more, as of an event's member that was erased."""

Columns: TypeAlias = dict[str, object]


def _document(text: str) -> str:
    return canonical.digest(orjson.loads(text))


def _call(text: str) -> str:
    call = orjson.loads(text)
    return call_hash(ToolCall(call["target"], call["tool"], call["args"]))


def _octets(value: bytes) -> str:
    return b64.encode(value)


_COMPARED: Final[Mapping[tuple[str, str], Callable[[Any], object]]] = {
    ("request_text", "document"): _document,
    ("request_text", "call"): _call,
    ("request_text", "display"): _document,
    ("verdict", "record"): lambda text: b64.encode(sha256(text.encode()).digest()),
    ("verdict", "answer"): canonical.digest,
    ("vote", "statement"): _document,
    ("vote", "evidence"): _document,
    ("approval", "token"): canonical.digest,
    ("spend", "receipt"): canonical.digest,
    ("bundle", "files"): _document,
    ("handle", "handle"): subject_of,
    ("passkey", "public_key"): _octets,
    ("passkey", "aaguid"): _octets,
    ("passkey", "attestation"): _document,
    ("activation", "excluded"): orjson.loads,
}
"""How a column is made what the log tells of it, where that is not the value itself."""


def differing(table: str, columns: Columns, values: Mapping[str, Any]) -> list[str]:
    """The columns of a stored row that are not as the log tells."""
    return [
        name
        for name, said in columns.items()
        if said is not UNTOLD and _compared(table, name, values[name]) != said
    ]


def _compared(table: str, name: str, value: Any) -> object:
    made = _COMPARED.get((table, name))
    if made is None or value is None:
        return value
    try:
        return made(value)
    except (AssentError, ValueError, KeyError, TypeError, AttributeError):
        return UNTOLD  # it is not even of the form that such a value has


def of_document(document: Mapping[str, Any]) -> Columns:
    """What the columns of a request hold, by its document, which the log names by its digest."""
    return {
        "tenant": document["tenant"],
        "enforcer": document["audience"],
        "agent": document["agent"],
        "person": document["user"],
        "call_hash": document["call_hash"],
        "created": document["created"],
        "expires": document["expires"],
    }


def texts_of_document(document: Mapping[str, Any]) -> Columns:
    """What the other texts of a request hold, by its document."""
    return {
        "tenant": document["tenant"],
        "call": document["call_hash"],
        "display": document["display_digest"],
    }


def of_token(claims: Mapping[str, Any]) -> Columns:
    """What the columns of an approval hold, by its token, which the log names by its digest."""
    return {
        "jti": claims["jti"],
        "txn": claims["txn"],
        "enforcer": claims["aud"],
        "call_hash": claims["authorization_details"][0]["call_hash"],
        "bundle": claims["policy"]["bundle"],
        "basis": claims["basis"],
        "created": claims["iat"],
        "expires": claims["exp"],
    }
