"""The service is opened: its home, its keys, its database, and whether they belong together.

What holds, before anything is granted or written:
1. Nobody else can exchange the home, the keys or the database's file.
2. Keys are made only beside a database without a history. Where there is a history, the keys that
   signed it are lost, and other keys would be another service that calls itself the same.
3. Beside keys that were used, the database is the one that they signed for: not an older state of
   it, not a fork, not an empty one.
4. The address is the one that passkeys were enrolled under.
5. The clock of this machine agrees with what the keys and the database say.

`checked=False` leaves out 3 to 5, for the commands that look at such a state or mend it.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import structlog
from sqlalchemy import make_url

from approvals import log
from approvals.core.errors import AssentError, ProofError
from approvals.core.history.events import ServiceMoved
from approvals.core.tlog.checkpoint import parse_checkpoint
from approvals.flow.integrity.gate import ANOTHER_DATABASE, REMEDIES
from approvals.flow.service import DEFAULT_TENANT, Service
from approvals.keys import Keyring, files, private
from approvals.keys.mark import Mark, Marked
from approvals.store import open_store

if TYPE_CHECKING:
    from approvals.config import Settings
    from approvals.store import Store, Tx

CLOCK_SKEW: Final = 30

_log = structlog.get_logger(__name__)


def open_service(
    settings: Settings,
    *,
    now: int,
    create: bool = True,
    checked: bool = True,
    move: bool = False,
    serving: bool = False,
) -> Service:
    """Open what the settings name; with `create`, make keys where there is nothing yet.

    `now` is this machine's time. `move` takes an address under which no passkey can be used.
    `serving` is for the one process that serves an SQLite file.

    Raises:
        AssentError: what is wrong, with its place and what to do; nothing was changed.
    """
    files.check_home(settings.home)
    folder = settings.home / "keys"
    fresh = not files.is_initialised(folder)
    if fresh and not create:
        Keyring.open(settings.home, now=now, create=False)  # says that there are none
    if fresh:
        files.make_home(settings.home)
    _check_file(settings.database_url)

    # Keys are made only beside a new database, so it is opened first; no row with a seal is read
    # before they are there.
    def seal(text: bytes) -> bytes:
        return keys.seal(text)

    store = open_store(settings.database_url, mac=seal, serving=serving)
    try:
        if fresh:
            _must_be_new(store, folder)
        keys = Keyring.open(settings.home, now=now, create=create, origin=settings.log_origin)
        service = Service(store, keys, settings, Mark(keys.folder))
        if checked:
            _check(service, now=now, move=move)
    except BaseException:
        store.close()
        raise
    return service


def _check_file(url: str) -> None:
    """1. Refuse an SQLite file that others could write, or that they could open and read."""
    parts = make_url(url)
    if parts.get_backend_name() != "sqlite" or not parts.database:
        return
    for suffix in ("", "-wal", "-shm"):  # beside the file, with the same rows in them
        path = Path(f"{parts.database}{suffix}")
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            doors = _doors(path)
        except OSError:
            continue  # made in a moment, or SQLite says what is wrong with it
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            why = "others may write it"
        elif mode & doors:
            why = "others may read it, and its folders let them reach it"
        else:
            continue
        raise AssentError(
            f"{why} (mode {mode:04o}); run: chmod 600 {path}",
            code="database_permissions",
            place=str(path),
        )


def _doors(path: Path) -> int:
    """The bits to read a file that count for it: of those whom every folder above lets through."""
    doors = stat.S_IRGRP | stat.S_IROTH
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        # A group of one folder may be another's "others", so either way in is one.
        if not mode & (stat.S_IXGRP | stat.S_IXOTH):
            return 0
    return doors


def _must_be_new(store: Store, folder: Path) -> None:
    """2. Refuse to make keys for a log that others signed."""
    with store.read() as tx:
        standing = tx.standing.look()
        used = tx.log.latest_checkpoint() is not None or (
            standing is not None and standing.oldest is not None
        )
    if used:
        raise private.key_error(
            "keys_missing",
            folder,
            "are gone, and the database has a history that they signed; restore them from a "
            "backup: no keys are made in their place",
        )


def _check(service: Service, *, now: int, move: bool) -> None:
    with service.store.read() as tx:
        _check_clock(service, tx, now)
        _check_database(service, tx)
        passkeys = len(tx.passkeys.active(tenant=DEFAULT_TENANT))
        standing = tx.standing.look()
        former = None if standing is None else standing.url
    service.mark.keep()
    _check_address(service, former=former, passkeys=passkeys, move=move)


def _check_database(service: Service, tx: Tx) -> None:
    """3. Refuse a database that these keys did not sign for."""
    mark = service.mark
    if mark.missing:
        raise private.key_error(
            "mark_missing",
            service.keys.folder / files.MARK,
            "is gone, so an older database cannot be told from the right one; put it back, or see "
            "what assent log accept-restore loses",
        )
    standing = tx.standing.look()
    last = tx.log.latest_checkpoint()
    if last is not None:
        try:
            parse_checkpoint(last.note, vkeys=[service.keys.vkey])
        except ProofError:
            raise AssentError(
                "the log in the database is signed by another key than keys/log.json; restore the "
                "keys that belong to this database",
                code="keys_foreign",
                place=str(service.keys.folder),
            ) from None
    identity = "" if standing is None else standing.identity
    marked = mark.marked or Marked.at(identity, None)
    if marked.identity != identity:
        raise _refused("database_changed", ANOTHER_DATABASE)
    try:
        if marked.size or last is not None:
            last = log.verify_extends(tx.log, service.keys, size=marked.size, root=marked.root)
    except ProofError as error:
        raise _refused(error.code, error.message) from error
    if last is not None:
        marked = Marked.at(identity, last)
    mark.stored(marked)


def _refused(code: str, message: str) -> AssentError:
    return AssentError(f"{message}; {REMEDIES[code]}", code=code, place="the database")


def _check_address(service: Service, *, former: str | None, passkeys: int, move: bool) -> None:
    """4. Refuse an address under which nobody's passkey can be used."""
    url = service.settings.url
    if former == url:
        return
    if former is not None:
        lost = passkeys and urlsplit(former).hostname != service.settings.rp_id
        if lost and not move:
            raise AssentError(
                f"the service was at {former}, and {passkeys} enrolled passkeys can be used "
                "nowhere else; set it back, or let everybody enrol anew after assent init --move",
                code="address_changed",
                place="ASSENT_URL",
            )
        _log.warning("address_changed", former=former, now=url)
    with service.store.begin() as tx:
        tx.standing.put_url(url)
        if former is not None:
            moved = ServiceMoved(time=tx.now, tenant=DEFAULT_TENANT, old_url=former, new_url=url)
            log.append(tx, moved)


def _check_clock(service: Service, tx: Tx, now: int) -> None:
    """5. Refuse a clock that is far from the database's, or before the newest key was made."""
    ahead = now - tx.now
    if abs(ahead) > CLOCK_SKEW:
        raise AssentError(
            f"this machine's clock is {abs(ahead)} seconds "
            f"{'ahead of' if ahead > 0 else 'behind'} the database's; set it right (NTP)",
            code="clock_differs",
            place="clock",
        )
    made = max(key.created for key in service.keys.approval_keys)
    if now < made - CLOCK_SKEW:
        raise AssentError(
            f"the clock is {made - now} seconds before the newest signing key was made; set it "
            "right (NTP)",
            code="clock_backwards",
            place="clock",
        )
