"""Answers read as strictly as the service reads what it is sent: no surprise passes as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from approvals.client.errors import OutcomeUnknown, ServiceAway, ServiceError
from approvals.client.steps import MAX_ANSWER
from approvals.core import canonical
from approvals.core.errors import AssentError

if TYPE_CHECKING:
    from approvals.core.canonical import Json

_AWAY: Final = frozenset({502, 503, 504})
_LONGEST_SECONDS: Final = 9  # digits: more is no number of seconds that anybody waits


class Answer:
    """A JSON object from the service, read member by member and refused where it differs."""

    __slots__ = ("members", "place")

    def __init__(self, members: dict[str, Json], place: str) -> None:
        self.members = members
        self.place = place

    @classmethod
    def parse(cls, raw: bytes) -> Answer:
        """Read a JSON object, or raise `ServiceError`."""
        try:
            value = canonical.parse(raw, max_bytes=MAX_ANSWER)
        except AssentError as error:
            raise ServiceError(
                f"the answer is not strict JSON: {error}", code="answer", status=200
            ) from error
        if not isinstance(value, dict):
            raise ServiceError("the answer is not a JSON object", code="answer", status=200)
        return cls(value, "")

    def unlike(self, name: str) -> ServiceError:
        """Say that a member is missing or of another shape."""
        place = f"{self.place}/{name}"
        return ServiceError(
            "missing in the answer, or of another shape; is this client of the same version?",
            code="answer",
            status=200,
            place=place,
        )

    def text(self, name: str) -> str:
        """A string."""
        value = self.members.get(name)
        if not isinstance(value, str):
            raise self.unlike(name)
        return value

    def text_or_none(self, name: str) -> str | None:
        """A string, or `None` where it is null or absent."""
        return None if self.members.get(name) is None else self.text(name)

    def number(self, name: str) -> int:
        """An integer."""
        value = self.members.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.unlike(name)
        return value

    def number_or_none(self, name: str) -> int | None:
        """Return an integer, or ``None`` where it is null or absent."""
        return None if self.members.get(name) is None else self.number(name)

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        value = self.members.get(name)
        if not isinstance(value, list):
            raise self.unlike(name)
        texts = tuple(item for item in value if isinstance(item, str))
        if len(texts) != len(value):
            raise self.unlike(name)
        return texts

    def inner(self, name: str) -> Answer:
        """An object inside this one."""
        value = self.members.get(name)
        if not isinstance(value, dict):
            raise self.unlike(name)
        return Answer(value, f"{self.place}/{name}")


def problem(
    status: int, raw: bytes, *, retry_after: str | None = None
) -> ServiceError | ServiceAway:
    """Turn an RFC 9457 answer, or whatever stands there instead, into the error it is.

    `retry_after` is the header of that name; only whole seconds are read.
    """
    code, detail, place = "unexpected", f"the service answered with status {status}", None
    try:
        document = canonical.parse(raw, max_bytes=MAX_ANSWER)
    except AssentError:
        document = None  # A proxy's page, say: its text is nobody's stable code.
    if isinstance(document, dict):
        if isinstance(document.get("code"), str):
            code = str(document["code"])
        if isinstance(document.get("detail"), str):
            detail = str(document["detail"])
        if isinstance(document.get("place"), str):
            place = str(document["place"])
    if status in _AWAY:
        # A proxy that got no answer cannot know what became of it; the service itself does.
        said, wait = f"the service cannot answer now ({status}): {detail}", _seconds(retry_after)
        if code in {"outcome_unknown", "unexpected"}:
            return OutcomeUnknown(said, retry_after=wait)
        return ServiceAway(said, code=code, retry_after=wait)
    return ServiceError(detail, code=code, status=status, place=place)


def _seconds(text: str | None) -> float | None:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > _LONGEST_SECONDS:
        return None
    return float(text)
