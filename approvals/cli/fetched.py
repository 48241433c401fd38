"""All leaves of a log, from the service that publishes it or from a folder where they were kept.

The layout is that of C2SP tlog-tiles: `checkpoint`, and under `tile/entries/` the bundles of
leaves. What is read is checked by whoever uses it; here only its size is bounded.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from approvals.cli import files
from approvals.client import plans
from approvals.client.steps import drive
from approvals.client.transport import Transport
from approvals.core.errors import AssentError, ProofError
from approvals.core.tlog.checkpoint import Checkpoint, parse_checkpoint
from approvals.core.tlog.published import FetchedLog
from approvals.core.tlog.tiles import TILE_WIDTH, entries_path, read_entry_bundle

CHECKPOINT: Final = "checkpoint"

_END_OF_TEXT: Final = "\n\n"

Read = Callable[[str], bytes]
"""Gives what is behind a path of the log, as in `tile/entries/000`."""


@contextmanager
def reader(place: str) -> Iterator[Read]:
    """Reads the log of the service at an address, or one in a folder.

    Raises:
        AssentError: it is neither.
    """
    if "://" not in place:
        folder = Path(place)
        if not folder.is_dir():
            raise AssentError("neither an address nor a folder", code="usage", place=place)
        yield lambda path: files.read(folder / path)
        return
    try:
        transport = Transport(place, http=None, bearer=str)
    except ValueError as wrong:
        raise AssentError(str(wrong), code="usage", place=place) from wrong
    try:
        yield lambda path: drive(plans.log(path), transport.perform)
    finally:
        transport.close()


def note(read: Read) -> str:
    """The log's last checkpoint."""
    try:
        return read(CHECKPOINT).decode()
    except UnicodeDecodeError as wrong:
        raise ProofError("this is no checkpoint", code="checkpoint", place="log") from wrong


def unverified(signed: str) -> Checkpoint:
    """What a checkpoint claims, whoever signed it."""
    return parse_checkpoint(f"{signed.partition(_END_OF_TEXT)[0]}\n".encode())


def whole(read: Read, *, vkeys: Sequence[str]) -> FetchedLog:
    """The log under its last checkpoint, which one of `vkeys` signed; leaves are read on the way.

    Raises:
        ProofError: the checkpoint is not signed by the log.
    """
    signed = note(read)
    size = parse_checkpoint(signed, vkeys=vkeys).size
    return FetchedLog(
        checkpoint=signed,
        leaves=leaves(read, size),
    )


def leaves(read: Read, size: int) -> Iterator[bytes]:
    """The leaves of a log of this size, in order.

    Raises:
        ProofError: a bundle is cut off or too long (`bundle`); the place is its path.
    """
    for path in paths(size):
        try:
            yield from read_entry_bundle(read(path))
        except ProofError as wrong:
            raise ProofError(
                "cut off, or too long: delete it if it is a copy, and fetch again",
                code=wrong.code,
                place=path,
            ) from wrong


def paths(size: int) -> Iterator[str]:
    """Where the leaves of a log of this size are."""
    full, rest = divmod(size, TILE_WIDTH)
    for index in range(full):
        yield entries_path(index)
    if rest:
        yield entries_path(full, rest)
