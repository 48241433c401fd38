"""The high-water mark: the newest checkpoint that these keys signed, and the database it is of.

A database that is an older state, a fork or another one altogether still agrees with itself. It
does not agree with the mark, which is kept beside the keys and outside the database.

What holds:
1. It is on disk before the transaction with a new checkpoint commits (`signing`). A checkpoint that
   cannot be marked is not signed. Since that transaction may still fail, the file holds both: the
   checkpoint that is stored for certain and the one that may be.
2. It never goes back, whichever process of the folder writes it, unless `accept` says so. By how
   much it went back then is kept for good (`lost`). So `lost` and the size of the log together
   never go back: directories are numbered by their sum.
3. Where the service was closed, the file also holds how many events of its own the log told then
   (`told`). So nobody takes the event of the closing out of the database while it waits for its
   place, not even before a restart.
4. The file is written whole under the folder's lock: beside it, flushed, and renamed.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from approvals.core import b64
from approvals.core.errors import ProofError
from approvals.core.merkle import EMPTY_ROOT
from approvals.keys import files, private

if TYPE_CHECKING:
    from pathlib import Path

    from approvals.core.tlog.leaves import StoredCheckpoint

FILE: Final = files.MARK
_MEMBERS: Final = frozenset({"identity", "signed", "signing", "lost", "told"})


@dataclass(frozen=True, slots=True)
class Marked:
    """A checkpoint: of the log in which database, how many leaves, their root, the signed note.

    `size` 0 with no note is a log in which nothing has its place yet.
    """

    identity: str
    size: int
    root: bytes
    note: str

    @classmethod
    def at(cls, identity: str, checkpoint: StoredCheckpoint | None) -> Marked:
        """The newest stored checkpoint of a database; None: its log has none yet."""
        if checkpoint is None:
            return cls(identity, 0, EMPTY_ROOT, "")
        return cls(identity, checkpoint.size, checkpoint.root, checkpoint.note)

    def document(self) -> dict[str, object]:
        """The form in the file."""
        return {"size": self.size, "root": b64.encode(self.root), "note": self.note}


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the file holds: `most` is the size of the largest checkpoint that it knows of."""

    marked: Marked | None
    lost: int
    most: int
    told: int


_NOTHING: Final = _Kept(None, 0, 0, 0)


class Mark:
    """The mark of one process, and, with a folder, of all that share it. Safe between threads."""

    def __init__(self, folder: Path | None = None) -> None:
        """Read the mark in `folder`; without one it lives as long as the process.

        Raises:
            AssentError: the file cannot be read, or others may use it.
        """
        self._folder = folder
        self._lock = threading.Lock()
        self._stored: Marked | None = None  # as the file has it
        self._marked: Marked | None = None
        self._lost = 0
        self._told = 0
        self.reload()

    @property
    def marked(self) -> Marked | None:
        """The newest checkpoint that is stored for certain; None before there was a database."""
        return self._marked

    @property
    def lost(self) -> int:
        """How many leaves were signed that accepted databases did not have."""
        return self._lost

    @property
    def told(self) -> int:
        """How many events of its own the service of this database had when it was last closed."""
        return self._told

    @property
    def missing(self) -> bool:
        """Whether the folder has lost its mark: it is made together with the keys."""
        return self._folder is not None and not (self._folder / FILE).exists()

    def reload(self) -> bool:
        """Take in what another process of the folder has marked or accepted; whether it is news."""
        with self._lock:
            kept = self._read()
            return kept.marked is not None and self._take(kept.marked, kept)

    def _take(self, found: Marked, kept: _Kept) -> bool:
        self._stored = found
        self._lost = max(self._lost, kept.lost)
        ours = self._marked
        same = ours is not None and ours.identity == found.identity
        self._told = max(self._told, kept.told) if same else kept.told
        if ours is None or ours.identity != found.identity or ours.size < found.size:
            self._marked = found
            return True
        return False

    def signing(self, checkpoint: Marked, *, after: Marked) -> None:
        """Mark what is about to be stored, after `after`, which is; durable on return.

        Raises:
            ProofError: `log_rolled_back`: a process of this folder knows a newer checkpoint than
                the database that is to be continued.
            AssentError: the mark cannot be written.
        """
        with self._lock:
            self._write(after, signing=checkpoint)

    def stored(self, checkpoint: Marked) -> None:
        """It was committed: what does not have it from now on is an older database."""
        with self._lock:
            self._marked = checkpoint

    def keep(self) -> None:
        """Write the mark where the file does not have it yet; durable on return.

        Another process of the folder may have marked a newer checkpoint meanwhile, or an operator
        accepted another database. Then that is taken in, and nothing is written.

        Raises:
            AssentError: the mark cannot be written.
        """
        with self._lock:
            if self._marked is not None and self._marked != self._stored:
                self._write(self._marked, yielding=True)

    def closed(self, *, told: int) -> None:
        """The service was closed, and this many events of its own tell so; durable on return.

        Raises:
            AssentError: the mark cannot be written.
        """
        with self._lock:
            ours = self._marked
            if ours is None:
                return
            self._told = max(self._told, told)
            if self._folder is None:
                return
            with private.locked(self._folder):
                kept = self._read()
                if kept.marked is not None and kept.marked.identity == ours.identity:
                    whole = private.read_document(self._folder / FILE, _MEMBERS)
                    told = max(self._told, kept.told)
                    private.write(self._folder / FILE, {**whole, "told": told})

    def accept(self, checkpoint: Marked) -> None:
        """Take this as the mark although it is older: an operator has said so."""
        with self._lock:
            self._stored = None
            self._told = 0
            self._write(checkpoint, forward=False)
            self._marked = checkpoint

    def _write(
        self,
        checkpoint: Marked,
        *,
        signing: Marked | None = None,
        forward: bool = True,
        yielding: bool = False,
    ) -> None:
        if self._folder is None:
            return
        with private.locked(self._folder):
            kept = self._read()
            found, lost = kept.marked, max(self._lost, kept.lost)
            ahead = found is not None and (
                found.identity != checkpoint.identity or found.size > checkpoint.size
            )
            if found is not None and yielding and ahead:
                self._take(found, kept)
                return
            if found is not None and forward:
                if found.identity != checkpoint.identity:
                    raise ProofError(
                        "the keys' mark is of another database", code="database_changed"
                    )
                if found.size > checkpoint.size:
                    raise ProofError(
                        f"these keys signed a log of {found.size} leaves, and the database has "
                        f"{checkpoint.size}",
                        code="log_rolled_back",
                    )
            told = max(self._told, kept.told)
            if not forward:
                lost += max(0, kept.most - checkpoint.size)
                told = 0
            private.write(
                self._folder / FILE,
                {
                    "identity": checkpoint.identity,
                    "signed": checkpoint.document(),
                    "signing": None if signing is None else signing.document(),
                    "lost": lost,
                    "told": told,
                },
            )
            self._stored = checkpoint
            self._lost, self._told = lost, told

    def _read(self) -> _Kept:
        if self._folder is None:
            return _NOTHING
        path = self._folder / FILE
        if not path.exists():
            return _NOTHING
        match private.read_document(path, _MEMBERS):
            case {
                "identity": str(identity),
                "signed": {"size": int(size), "root": str(root), "note": str(note)},
                "signing": signing,
                "lost": int(lost),
                "told": int(told),
            }:
                if not identity:
                    return _Kept(None, lost, size, told)
                most = max(size, _size(signing))
                try:
                    return _Kept(Marked(identity, size, b64.decode(root), note), lost, most, told)
                except ValueError:
                    pass
            case _:
                pass
        raise private.key_error(
            "keys_unreadable",
            path,
            "is not a whole mark; restore it, or see what assent log accept-restore would lose",
        )


def _size(signing: object) -> int:
    """The size of the checkpoint that may have been stored, if one is named."""
    match signing:
        case {"size": int(size)}:
            return size
        case _:
            return 0
