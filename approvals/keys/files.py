"""The files of keys: `log.json`, `seal.json`, `webhook.json`, one `approval-<kid>.json` each.

What holds:
- the files of keys never change after they are written;
- the folder is filled for the first time by one rename, so of two processes that start at once one
  wins and both go on with its keys;
- the folder is readable by its owner alone, or reading refuses;
- nothing here replaces a file that is damaged, or a log, seal or approval key that is missing: a
  new key in its place would be a different service that calls itself the same, and one that cannot
  tell its own rows from forged ones. The webhook key alone is made later where a folder has none:
  it proves where a notice comes from and grants nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwcrypto.jwk import JWK

from approvals.core import b64
from approvals.core.errors import AssentError
from approvals.core.jwk import SigningKey
from approvals.keys import private

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

_LOG: Final = "log.json"
_SEAL: Final = "seal.json"
_WEBHOOK: Final = "webhook.json"
_PREFIX: Final = "approval-"
MARK: Final = "mark.json"
UNBOUND: Final = {
    "identity": "",
    "signed": {"size": 0, "root": "", "note": ""},
    "signing": None,
    "lost": 0,
    "told": 0,
}
"""The mark of keys that have not met a database yet."""
_SEAL_BYTES: Final = 32
_FOLDER_MAKING: Final = ".keys-"
_INDEX: Final = "index.json"


@dataclass(frozen=True, slots=True)
class ApprovalKeyFile:
    """What an `approval-<kid>.json` holds: a private key and when it starts to sign.

    `withdraws` names keys that were made before it to sign later, and never will.
    """

    signing: SigningKey
    created: int
    activates: int
    withdraws: frozenset[str]


@dataclass(frozen=True, slots=True)
class KeyFolder:
    """What the folder held when it was read: approval keys in order of activation, never none.

    `webhook` is None in a folder from before there was one.
    """

    names: frozenset[str]
    approval: tuple[ApprovalKeyFile, ...]
    log: Ed25519PrivateKey
    origin: str
    seal: bytes
    webhook: Ed25519PrivateKey | None


def check_home(home: Path) -> None:
    """Refuse a home in which others could put a folder of keys, or a database, of their own.

    Raises:
        AssentError: `home_permissions`, with what to do.
    """
    try:
        found = home.stat()
        above = [folder.stat() for folder in home.resolve().parents]
    except FileNotFoundError:
        return
    except OSError as error:
        raise private.from_os(home, error) from error
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o022:
        raise private.key_error(
            "home_permissions",
            home,
            f"others may change what is in it (mode {mode:04o}); run: chmod 700 {home}",
        )
    if os.geteuid() not in {0, found.st_uid} and found.st_uid != 0:
        raise private.key_error(
            "home_permissions", home, "belongs to another user, who could change what is in it"
        )
    for folder, each in zip(home.resolve().parents, above, strict=True):
        # In a folder like /tmp, with the sticky bit, only owners move what is theirs.
        if each.st_mode & stat.S_IWOTH and not each.st_mode & stat.S_ISVTX:
            raise private.key_error(
                "home_permissions",
                folder,
                f"everybody may move {home} away; run: chmod o-w {folder}",
            )


def is_initialised(folder: Path) -> bool:
    """Whether the folder ever had keys: one rename fills it, so there is all of it or nothing."""
    try:
        return any(folder.iterdir())
    except FileNotFoundError:
        return False
    except OSError as error:
        raise private.from_os(folder, error) from error


def make_home(home: Path) -> None:
    """Make the folder for keys and database, for its owner alone, where it is missing."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise private.from_os(home, error) from error


def initialise(home: Path, folder: Path, *, now: int, origin: str) -> None:
    """Make the first keys in a folder beside the final one and rename it into place."""
    make_home(home)
    try:
        making = home / f"{_FOLDER_MAKING}{secrets.token_hex(8)}"
        making.mkdir(mode=0o700)
        with private.locked(making):
            log = JWK.generate(kty="OKP", crv="Ed25519").export(as_dict=True)
            private.write(making / _LOG, {"jwk": log, "created": now, "origin": origin})
            _write_seal_key(making, created=now)
            write_webhook_key(making, created=now)
            kid = write_approval_key(making, created=now, activates=now)
            write_index(making, {kid: None})
            # From the beginning, so that a folder without a mark is one that lost it.
            private.write(making / MARK, UNBOUND)
            _take_place(making, folder)
        private.sync(home)
    except (OSError, AssentError) as error:
        shutil.rmtree(making, ignore_errors=True)
        if is_initialised(folder):
            return  # another process was faster
        raise error if isinstance(error, AssentError) else private.from_os(home, error) from error
    shutil.rmtree(making, ignore_errors=True)


def _take_place(making: Path, folder: Path) -> None:
    try:
        making.rename(folder)  # POSIX: takes the place of an empty folder, never of a filled one
    except OSError:
        if not is_initialised(folder):
            raise


def write_approval_key(
    folder: Path, *, created: int, activates: int, withdraws: Collection[str] = ()
) -> str:
    """Make a new ES256 key and write its file; gives its thumbprint.

    Raises:
        AssentError: it was not written. Where the file is there all the same, because the folder
            could not be flushed and it could not be removed either, the sentence says so.
    """
    jwk = JWK.generate(kty="EC", crv="P-256")
    document = {
        "jwk": jwk.export(as_dict=True),
        "created": created,
        "activates": activates,
        "withdraws": sorted(withdraws),
    }
    kid: str = jwk.thumbprint()
    private.write(folder / f"{_PREFIX}{kid}.json", document)
    return kid


def write_index(folder: Path, ends: Mapping[str, int | None]) -> None:
    """Keep which approval keys there are, and when each is not published any more.

    A key file that was removed is missed by this.
    """
    private.write(folder / _INDEX, {"keys": dict(ends)})


def indexed(folder: Path) -> dict[str, int | None] | None:
    """The ends of the keys as they were kept last; None: they were not."""
    path = folder / _INDEX
    if not path.exists():
        return None
    match private.read_document(path, {"keys"}):
        case {"keys": dict(ends)}:
            return ends
        case _:
            raise private.damaged(path)


def missing(folder: Path, *, now: int) -> list[Path]:
    """The files of keys that are gone although they sign, or verifiers still need them."""
    names = names_in(folder)
    return [
        folder / f"{_PREFIX}{kid}.json"
        for kid, end in sorted((indexed(folder) or {}).items())
        if f"{_PREFIX}{kid}.json" not in names and (end is None or end > now)
    ]


def write_webhook_key(folder: Path, *, created: int) -> None:
    """Make the Ed25519 key that signs webhooks and write its file."""
    jwk = JWK.generate(kty="OKP", crv="Ed25519").export(as_dict=True)
    private.write(folder / _WEBHOOK, {"jwk": jwk, "created": created})


def _write_seal_key(folder: Path, *, created: int) -> None:
    """Make the HMAC-SHA-256 key that seals the database's rows and write its file."""
    key = b64.encode(secrets.token_bytes(_SEAL_BYTES))
    private.write(folder / _SEAL, {"jwk": {"kty": "oct", "k": key}, "created": created})


def sweep(folder: Path) -> None:
    """Remove what a process that was killed while it wrote has left: it may be a private key.

    For whoever holds the folder's lock: nobody else is writing then. A folder of first keys belongs
    to a process that makes it, which holds its lock, or to one that is dead.
    """
    for dead in folder.parent.glob(f"{_FOLDER_MAKING}*"):
        with contextlib.suppress(OSError), private.descriptor_of(dead) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(dead, ignore_errors=True)
    try:
        for left in folder.glob(f"{private.MAKING}*"):
            left.unlink(missing_ok=True)
    except OSError as error:
        raise private.from_os(folder, error) from error


def names_in(folder: Path) -> frozenset[str]:
    """The names of the key files in `folder`."""
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError as error:
        raise private.from_os(folder, error) from error
    return frozenset(
        name
        for name in names
        if name in {_LOG, _SEAL, _WEBHOOK} or (name.startswith(_PREFIX) and name.endswith(".json"))
    )


def read(folder: Path) -> KeyFolder:
    """Read and check every key file.

    Raises:
        AssentError: `keys_permissions` (with the chmod to run), `keys_missing`,
            `keys_unreadable`; the place is the path.
    """
    private.check_private(folder, 0o700)
    names = names_in(folder)
    for wanted in (_LOG, _SEAL, f"{_PREFIX}*.json"):
        if not any(name.startswith(wanted.removesuffix("*.json")) for name in names):
            raise private.key_error(
                "keys_missing",
                folder / wanted,
                "is gone; restore it from a backup: no key is made in its place",
            )
    log, origin = _read_log_key(folder / _LOG)
    approval = [_read_approval_key(folder / name) for name in names - {_LOG, _SEAL, _WEBHOOK}]
    return KeyFolder(
        names=names,
        approval=tuple(sorted(approval, key=lambda key: key.activates)),
        log=log,
        origin=origin,
        seal=_read_seal_key(folder / _SEAL),
        webhook=_read_webhook_key(folder / _WEBHOOK) if _WEBHOOK in names else None,
    )


def _read_log_key(path: Path) -> tuple[Ed25519PrivateKey, str]:
    match private.read_document(path, {"jwk", "created", "origin"}):
        case {"jwk": dict(jwk), "created": int(), "origin": str(origin)} if origin:
            return _ed25519(path, jwk), origin
        case _:
            raise private.damaged(path)


def _read_seal_key(path: Path) -> bytes:
    match private.read_document(path, {"jwk", "created"}):
        case {"jwk": {"kty": "oct", "k": str(encoded), **rest}, "created": int()} if not rest:
            try:
                key = b64.decode(encoded)
            except ValueError:
                raise private.damaged(path) from None
            if len(key) == _SEAL_BYTES:
                return key
        case _:
            pass
    raise private.damaged(path)


def _read_webhook_key(path: Path) -> Ed25519PrivateKey:
    match private.read_document(path, {"jwk", "created"}):
        case {"jwk": dict(jwk), "created": int()}:
            return _ed25519(path, jwk)
        case _:
            raise private.damaged(path)


def _ed25519(path: Path, jwk: Mapping[str, object]) -> Ed25519PrivateKey:
    match jwk:
        case {"kty": "OKP", "crv": "Ed25519", "d": str(secret), "x": str(public)}:
            try:
                key = Ed25519PrivateKey.from_private_bytes(b64.decode(secret))
            except ValueError:
                raise private.damaged(path) from None
            # The halves belong together, or things would be signed by a key that nobody knows.
            if b64.encode(key.public_key().public_bytes_raw()) == public:
                return key
        case _:
            pass
    raise private.damaged(path)


def _read_approval_key(path: Path) -> ApprovalKeyFile:
    match private.read_document(path, {"jwk", "created", "activates", "withdraws"}):
        case {
            "jwk": dict(jwk),
            "created": int(created),
            "activates": int(activates),
            "withdraws": list(withdraws),
        } if all(isinstance(kid, str) for kid in withdraws):
            try:
                signing = SigningKey.from_jwk(jwk)
            except AssentError:
                raise private.damaged(path) from None
            if path.name == f"{_PREFIX}{signing.kid}.json":
                return ApprovalKeyFile(signing, created, activates, frozenset(withdraws))
        case _:
            pass
    raise private.damaged(path)
