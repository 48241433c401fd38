"""Compact JSON Web Signatures (RFC 7515), read strictly and written in one form.

General JWS libraries let a token say how it wants to be checked and forgive how it is written. This
reader knows one shape: three parts in canonical base64url, a header of exactly `alg`, `kid` and
`typ`, a key found by `kid` alone, the algorithm of that key, a signature of exactly 64 bytes, and a
payload that is one JSON object as `canonical` admits it. What is accepted has only one spelling,
but for the signature itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from approvals.core import b64, canonical, sizes
from approvals.core.errors import AdmissionError, JwsError
from approvals.core.jwk import ExportableKey, KeySet, SigningKey, VerifyingKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.canonical import Json

__all__ = ["MAX_TOKEN", "KeySet", "SigningKey", "VerifyingKey", "sign", "verify"]

MAX_TOKEN: Final = sizes.TOKEN
_REQUIRED: Final = frozenset({"alg", "kid"})
_ALLOWED: Final = frozenset({"alg", "kid", "typ"})


@dataclass(frozen=True, slots=True)
class _Header:
    alg: str
    kid: str
    typ: str | None

    def document(self) -> dict[str, Json]:
        members: dict[str, Json] = {"alg": self.alg, "kid": self.kid}
        return members if self.typ is None else {**members, "typ": self.typ}


def sign(
    payload: Mapping[str, Json],
    *,
    key: SigningKey | ExportableKey | Mapping[str, object],
    typ: str,
) -> str:
    """Sign a JSON object as a compact JWS, header and payload in canonical form.

    Raises:
        AdmissionError: the payload has no canonical form.
        KeySetError: the key cannot sign.
    """
    signer = key if isinstance(key, SigningKey) else SigningKey.from_jwk(key)
    header = _Header(signer.alg, signer.kid, typ).document()
    signed = f"{_segment(header)}.{_segment(dict(payload))}"
    return f"{signed}.{b64.encode(signer.sign(signed.encode('ascii')))}"


def verify(
    token: str,
    *,
    keys: KeySet | Mapping[str, object],
    typ: str | None,
    max_length: int = MAX_TOKEN,
    signed_at: str | None = None,
    now: int | None = None,
) -> tuple[dict[str, Json], dict[str, Json]]:
    """Header and payload of a token that one of these keys signed.

    1. The form: three parts, canonical base64url, header members exactly alg, kid and typ.
    2. The type is `typ`; `None` asks for none, and then the token need not name one.
    3. The key is the one that `kid` names.
    4. The algorithm is the one that this key is for.
    5. The signature verifies.
    6. The payload, which is not looked at before, is one JSON object.
    7. The key was in its time when it signed, if it has one: `signed_at` names the member that says
       when that was. With `now` it must also still be in its time: what lives is not taken from a
       key that was retired, whatever it says about when it was signed.

    Raises:
        JwsError: code malformed (1, 6), type (2), unknown_key (3, 7), algorithm (4) or signature
            (5).
        KeySetError: `keys` is a mapping and not a usable JWK Set.
    """
    # 1. Form. Size first, so that the work for a hostile token is bounded.
    if type(token) is not str or len(token) > max_length:
        raise JwsError(f"a token is text of at most {max_length} characters")
    first, _, rest = token.partition(".")
    second, _, third = rest.partition(".")
    header = _read_header(first)
    payload = _decode(second, "payload")
    signature = _decode(third, "signature")

    # 2. Type: a token made for one purpose is not taken for another (RFC 8725 section 3.11).
    if typ is not None and header.typ != typ:
        raise JwsError(f"the token is not of type {typ}", code="type", place="typ")

    # 3. Key. Trying every key instead would let a retired one answer for another.
    known = keys if isinstance(keys, KeySet) else KeySet.from_jwks(keys)
    key = known.get(header.kid)
    if key is None:
        raise JwsError("the token names a key that is not known", code="unknown_key", place="kid")

    # 4. Algorithm: the key's, so neither "none" nor a public key used as an HMAC secret gets here.
    if header.alg != key.alg:
        raise JwsError(f"the key that signed is for {key.alg} only", code="algorithm", place="alg")

    # 5. Signature, over the very characters that were sent.
    if not key.accepts(signature, f"{first}.{second}".encode("ascii")):
        raise JwsError("the signature does not verify", code="signature", place="signature")

    # 6. Payload.
    members = _read_object(payload, "payload", max_bytes=max_length)

    # 7. Time. Whoever got hold of a key that was retired can write any time into a token; what says
    #    when it really was is the log.
    if now is not None and key.retired_at(now):
        raise JwsError("the key that signed is retired", code="unknown_key", place="kid")
    signed = members.get(signed_at) if signed_at is not None else None
    if type(signed) is int and not key.held_at(signed):
        raise JwsError("the key that signed did not sign then", code="unknown_key", place="kid")
    return header.document(), members


# Every token of one key has the same header. Only accepted headers stay, each of bounded length.
@lru_cache(maxsize=128)
def _read_header(segment: str) -> _Header:
    if len(segment) > sizes.HEADER:
        raise JwsError(f"the header is longer than {sizes.HEADER} characters", place="header")
    members = _read_object(_decode(segment, "header"), "header", max_bytes=sizes.HEADER)
    # crit, jku, jwk, x5u, x5c, b64, zip: each lets a token change how it is checked.
    if not _REQUIRED <= members.keys() <= _ALLOWED:
        raise JwsError("the header's members are alg, kid and typ, and no other", place="header")
    alg, kid, typ = members["alg"], members["kid"], members.get("typ")
    if not isinstance(alg, str) or not isinstance(kid, str):
        raise JwsError("the header's members are text", place="header")
    if typ is None and "typ" not in members:
        return _Header(alg, kid, None)
    if not isinstance(typ, str):
        raise JwsError("the header's members are text", place="header")
    return _Header(alg, kid, typ)


def _decode(segment: str, part: str) -> bytes:
    if not segment:
        raise JwsError("a token has three parts, none of them empty", place=part)
    try:
        return b64.decode(segment)
    except ValueError as error:
        raise JwsError(str(error), place=part) from error


def _read_object(raw: bytes, part: str, *, max_bytes: int) -> dict[str, Json]:
    try:
        return canonical.parse_object(raw, max_bytes=max_bytes)
    except AdmissionError as error:
        raise JwsError(str(error), place=part) from error


def _segment(value: dict[str, Json]) -> str:
    return b64.encode(canonical.encode(value))
