"""What will run, laid out for reading: complete, or cut where it says so.

What holds: nothing is cut unless `folded` is asked for, which is so only while approving still
waits for the whole to be opened; every cut says how much of how much is shown; a cut never goes
through a mark, so half a mark cannot stand at an edge. Against: padding that pushes what matters
out of sight.
"""

from dataclasses import dataclass

from approvals.core.display import Shown, marks
from approvals.core.display.shown import ShownField
from approvals.flow.acting.sight import FOLD

ITEMS = 8
"""Items of a list before the fold."""
VALUE = 400
"""Characters of one value before the fold."""
CHANGE = 200
"""Characters of a value in a comparison, which repeats what stands in full elsewhere."""


@dataclass(frozen=True, slots=True)
class FieldView:
    """One argument as the tool's owner described it."""

    label: str
    kind: str
    values: tuple[str, ...]
    is_list: bool
    counted: str
    cut: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RawView:
    """An argument that nobody described."""

    path: str
    value: str
    cut: str


@dataclass(frozen=True, slots=True)
class PayloadView:
    """The canonical payload: `count` says how much of it is shown."""

    text: str
    count: str
    marks: str
    whole: bool


def cut(text: str, most: int) -> str:
    """The first `most` characters, or a few less where a mark stands across the edge."""
    if len(text) <= most:
        return text
    kept = text[:most]
    opened = kept.rfind("⟦")
    return kept[:opened] if opened > kept.rfind("⟧") and most - opened < marks.LONGEST else kept


def shown(part: int, whole: int, what: str) -> str:
    """`Shown 8 of 240 items`."""
    return f"Shown {part:,} of {whole:,} {what}"


def fields(what: Shown, *, folded: bool) -> tuple[FieldView, ...]:
    """The described arguments, in the order that the tool's owner chose."""
    return tuple(_field(field, folded=folded) for field in what.fields)


def _field(field: ShownField, *, folded: bool) -> FieldView:
    is_list = not isinstance(field.value, str)
    everything = (field.value,) if isinstance(field.value, str) else field.value
    counted = ""
    if is_list:
        counted = "1 item" if len(everything) == 1 else f"{len(everything):,} items"
    said = ""
    kept = everything
    if folded:
        kept = tuple(cut(item, VALUE) for item in everything[:ITEMS])
        if len(kept) < len(everything):
            said = shown(len(kept), len(everything), "items")
        elif kept != everything:
            said = shown(sum(map(len, kept)), sum(map(len, everything)), "characters")
    return FieldView(
        label=field.label,
        kind=field.kind.value,
        values=kept,
        is_list=is_list,
        counted=counted,
        cut=said,
        # How many there are stands beside the label already.
        flags=tuple(flag for flag in field.flags if flag != counted),
    )


def unchecked(what: Shown, *, folded: bool) -> tuple[RawView, ...]:
    """The arguments that no display describes."""
    made = []
    for item in what.unchecked:
        value = cut(item.value, VALUE) if folded else item.value
        made.append(
            RawView(
                path=item.path,
                value=value,
                cut=shown(len(value), len(item.value), "characters")
                if len(value) < len(item.value)
                else "",
            )
        )
    return tuple(made)


def payload(what: Shown, *, folded: bool) -> PayloadView:
    """The canonical payload, complete or up to the fold."""
    everything = what.payload
    text = cut(everything, FOLD) if folded else everything
    found = marks.count(everything)
    whole = len(text) == len(everything)
    return PayloadView(
        text=text,
        count=f"{len(everything):,} characters, all shown"
        if whole
        else shown(len(text), len(everything), "characters"),
        marks=""
        if found == 0
        else f"{found:,} invisible or reordering "
        + ("character is" if found == 1 else "characters are")
        + " drawn as marks.",
        whole=whole,
    )


def brief(text: str | None) -> str:
    """A value in a comparison."""
    if text is None:
        return "absent"
    kept = cut(text, CHANGE)
    return kept if len(kept) == len(text) else f"{kept}… ({len(kept):,} of {len(text):,})"
