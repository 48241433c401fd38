"""The folder of a bundle: what is read from it, and what lies in it unread.

A rule that is not loaded is a rule that is not in force, and nobody would notice. So everything
under `policies/` and `tests/` is a file of the bundle or a problem with its name, and so is a file
elsewhere that looks like one (`.yaml`, `.yml`, `.cedar`). What else is in the folder is named; only
hidden files and folders at the top are passed over (`.git`, `.github`).

A link that leads out of the folder is a problem: the text behind it was never under review.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from approvals.cli import files
from approvals.core.errors import AssentError
from approvals.policy.bundle import CASE_FOLDER, POLICY_FOLDER, BundleProblem, is_bundle_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOADED_WHOLE: Final = (f"{POLICY_FOLDER}/", f"{CASE_FOLDER}/")
_LOOKS_LOADED: Final = frozenset({".cedar", ".yaml", ".yml"})
_HOW: Final = (
    f"rules are {POLICY_FOLDER}/NAME.cedar and cases {CASE_FOLDER}/NAME.yaml, directly in these "
    "folders, with a NAME of ASCII letters, digits and . _ -"
)


@dataclass(frozen=True, slots=True)
class FolderContents:
    """Name to text of the bundle's files, what is wrong with the others, and those beside it."""

    texts: dict[str, str]
    problems: tuple[BundleProblem, ...]
    beside: tuple[str, ...]


def read_folder(folder: Path) -> FolderContents:
    """Read a bundle's folder, its files exactly as they stand there.

    Raises:
        AssentError: there is no such folder or nothing of a bundle in it (`no_bundle`), or a file
            is not text (`not_utf8`) or too large to be meant (`too_large`).
    """
    if not folder.is_dir():
        what = "this is not a folder" if folder.exists() else "there is no such folder"
        raise AssentError(what, code="no_bundle", place=str(folder))
    root = folder.resolve()
    names: list[str] = []
    beside: list[str] = []
    problems: list[BundleProblem] = []
    for name, path in sorted(_entries(folder, "")):
        problem = _problem(root, name, path)
        if problem is not None:
            problems.append(problem)
        elif is_bundle_file(name):
            names.append(name)
        else:
            beside.append(name)
    if not names and not problems:
        raise AssentError("no file of a bundle is in it", code="no_bundle", place=str(folder))
    texts = {name: files.read_text(folder / name) for name in names}
    return FolderContents(texts, tuple(problems), tuple(beside))


def _entries(folder: Path, above: str) -> Iterator[tuple[str, Path]]:
    """Everything below that is not a real folder, by its name from the top; links as they are."""
    for path in folder.iterdir():
        name = f"{above}{path.name}"
        if not above and path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _entries(path, f"{name}/")
        else:
            yield name, path


def _problem(root: Path, name: str, path: Path) -> BundleProblem | None:
    """Why an entry may not be where it is; None for a bundle's file and for what may lie beside."""
    matters = (
        is_bundle_file(name)
        or name.startswith(_LOADED_WHOLE)
        or f"{name}/" in _LOADED_WHOLE
        or path.suffix.lower() in _LOOKS_LOADED
    )
    if not matters:
        return None
    if path.is_symlink() and not path.resolve().is_relative_to(root):
        why = "this link leads out of the folder; put the file itself here"
        return BundleProblem(name, 1, "link", why)
    if not is_bundle_file(name):
        return BundleProblem(name, 1, "unknown_file", f"this would not be read: {_HOW}")
    if not path.is_file():
        return BundleProblem(name, 1, "unknown_file", "this is not a file that can be read")
    return None
