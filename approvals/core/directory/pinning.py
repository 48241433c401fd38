"""Signing a directory, and reading one that an enforcer or auditor has pinned.

The service publishes a directory as a JWS. An enforcer decides itself how it comes to believe one:
by a signature that it knows, a review, or a file. An older directory never takes the place of a
newer one, because it would bring back keys that ended since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from approvals.core import canonical, jws, sizes
from approvals.core.directory.listing import Directory
from approvals.core.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.core.canonical import Json


TOKEN_TYPE: Final = "assent-directory+jwt"  # noqa: S105 - a media type, not a secret


def sign(directory: Directory, *, key: jws.SigningKey) -> str:
    """The directory as the service publishes it: a compact JWS."""
    return jws.sign(directory.document(), key=key, typ=TOKEN_TYPE)


def read_pinned(
    pinned: Directory | Mapping[str, Json] | str, *, keys: jws.KeySet | Mapping[str, Json]
) -> Directory:
    """A directory in any form in which it is pinned: read already, a document, its JSON, a token.

    Raises:
        AdmissionError: text that is neither strict JSON nor a token.
        Invalid: not a directory.
        JwsError: a token that none of `keys` signed.
    """
    if isinstance(pinned, Directory):
        return pinned
    if not isinstance(pinned, str):
        return Directory.from_document(pinned)
    text = pinned.strip()
    if text.startswith("{"):
        return Directory.from_document(canonical.parse(text.encode(), max_bytes=sizes.DIRECTORY))
    return verify(text, keys=keys)


def verify(token: str, *, keys: jws.KeySet | Mapping[str, Json]) -> Directory:
    """The directory in a token signed by one of `keys` (`JwsError`, `Invalid`)."""
    _, payload = jws.verify(
        token, keys=keys, typ=TOKEN_TYPE, max_length=sizes.DIRECTORY, signed_at="iat"
    )
    return Directory.from_document(payload)


def verify_successor(new: Directory, *, number: int, content: str | None = None) -> Directory:
    """The directory, once it may take the place of one that had `number` and said `content`.

    Raises:
        Invalid: `directory_older`: it is older, or another one of the same number.
    """
    if new.number < number:
        raise Invalid(
            f"this is directory number {new.number}, and number {number} was pinned before: "
            "an older one would bring back keys that ended since",
            code="directory_older",
        )
    if new.number == number and content is not None and new.content() != content:
        raise Invalid(
            f"this is another directory than the one that was pinned before, of the same number "
            f"{number}",
            code="directory_older",
        )
    return new
