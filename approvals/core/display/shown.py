"""What a person was shown about a call: the display document (`assent/display/1`) as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from approvals.core import canonical, documents
from approvals.core.display import marks
from approvals.core.registry import FieldKind

if TYPE_CHECKING:
    from approvals.core.canonical import Json

DOCUMENT_TYPE: Final = "assent/display/1"
GIST_FIELDS: Final = 2
GIST_LENGTH: Final = 60

_MEMBERS: Final = {
    "typ": (str,),
    "title": (str,),
    "target": (str,),
    "tool": (str,),
    "flags": (list,),
    "fields": (list,),
    "unchecked": (list,),
    "payload": (str,),
    "payload_length": (int,),
}
_FIELD: Final = {
    "label": (str,),
    "kind": (str,),
    "path": (str,),
    "value": (str, list),
    "flags": (list,),
}
_UNCHECKED: Final = {"path": (str,), "value": (str,)}


@dataclass(frozen=True, slots=True)
class ShownField:
    """An argument under a label of the tool's owner; a list of kind `list` has its items."""

    label: str
    kind: FieldKind
    path: str
    value: str | tuple[str, ...]
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unchecked:
    """An argument that no label describes, as canonical JSON."""

    path: str
    value: str


@dataclass(frozen=True, slots=True)
class Shown:
    """All that was shown of a call. Every text has passed through `visible`."""

    title: str
    target: str
    tool: str
    flags: tuple[str, ...]
    fields: tuple[ShownField, ...]
    unchecked: tuple[Unchecked, ...]
    payload: str

    def document(self) -> dict[str, Json]:
        """As JSON: what is stored, signed by its digest, and put into an evidence file."""
        return {
            "typ": DOCUMENT_TYPE,
            "title": self.title,
            "target": self.target,
            "tool": self.tool,
            "flags": [*self.flags],
            "fields": [
                {
                    "label": field.label,
                    "kind": field.kind.value,
                    "path": field.path,
                    "value": field.value if isinstance(field.value, str) else [*field.value],
                    "flags": [*field.flags],
                }
                for field in self.fields
            ],
            "unchecked": [{"path": each.path, "value": each.value} for each in self.unchecked],
            "payload": self.payload,
            "payload_length": len(self.payload),
        }

    @classmethod
    def from_document(cls, document: object) -> Shown:
        """Read the document strictly; `Invalid` names the member that is wrong."""
        it = documents.read(document, _MEMBERS, "display")
        if it["typ"] != DOCUMENT_TYPE:
            documents.refuse("display.typ", "another kind of document")
        if it["payload_length"] != len(it["payload"]):
            documents.refuse("display.payload_length", "not the length of the payload")
        return cls(
            title=it["title"],
            target=it["target"],
            tool=it["tool"],
            flags=documents.strings(it["flags"], "display.flags"),
            fields=tuple(
                _field(field, f"display.fields[{number}]")
                for number, field in enumerate(it["fields"])
            ),
            unchecked=tuple(
                Unchecked(**documents.read(each, _UNCHECKED, f"display.unchecked[{number}]"))
                for number, each in enumerate(it["unchecked"])
            ),
            payload=it["payload"],
        )

    def digest(self) -> str:
        """The display digest that is signed: SHA-256 of the canonical form, base64url."""
        return canonical.digest(self.document())

    def gist(self) -> tuple[str, ...]:
        """The values of the first fields, cut: to tell two calls of one tool apart."""
        return tuple(
            _cut(field.value if isinstance(field.value, str) else ", ".join(field.value))
            for field in self.fields[:GIST_FIELDS]
        )


def _field(document: object, place: str) -> ShownField:
    it = documents.read(document, _FIELD, place)
    try:
        kind = FieldKind(it["kind"])
    except ValueError:
        documents.refuse(f"{place}.kind", "not a kind of field")
    value = it["value"]
    return ShownField(
        label=it["label"],
        kind=kind,
        path=it["path"],
        value=value if isinstance(value, str) else documents.strings(value, f"{place}.value"),
        flags=documents.strings(it["flags"], f"{place}.flags"),
    )


def _cut(text: str) -> str:
    if len(text) <= GIST_LENGTH:
        return text
    kept = text[:GIST_LENGTH]
    half = kept.rfind(marks.OPEN)
    if half > kept.rfind(marks.CLOSE):  # a mark is kept whole or not at all
        kept = kept[:half]
    return f"{kept}… ({len(text):,} characters)"
