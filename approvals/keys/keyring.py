"""Which key signs when, and which are published.

Nothing but a key's `activates`, and which earlier ones it withdraws, is ever written down; the rest
follows from it:

- an approval key *signs* from its own `activates` until that of its successor;
- it is *published* from the moment its file exists until every approval it can have signed is dead:
  `LONGEST_APPROVAL` after its successor's `activates`;
- a key whose time had not come when a rotation that takes effect earlier was made is *withdrawn*:
  it never signs, and is not published from then on.

So a rotation is one new file, and no crash leaves two keys signing, or one signing unpublished.
That a key also has to be in the log before it signs is for the service to see to
(`Service.signer`).
Readers take no lock: all they see is one immutable value that `rotate` and `reload_if_changed`
replace as a whole. `kid` is the RFC 7638 thumbprint. An auditor may ask for a retired key years
later, so its file stays, and `history` has it.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import itertools
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from approvals.core.approval import MAX_LIFE, MAX_SKEW
from approvals.core.errors import AssentError
from approvals.core.tlog.checkpoint import vkey
from approvals.keys import files, private

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from approvals.core.canonical import Json
    from approvals.core.jwk import SigningKey

LONGEST_APPROVAL: Final = MAX_LIFE + MAX_SKEW
"""Seconds after which no verifier takes an approval: its longest life and the largest skew."""

DEFAULT_ORIGIN: Final = "localhost:8420/log"


class KeyState(StrEnum):
    """Where an approval key stands at a moment; only a retired one is not published."""

    next = "next"
    active = "active"
    former = "former"
    retired = "retired"


@dataclass(frozen=True, slots=True)
class ApprovalKey:
    """One approval key; `retires` is None while it has no successor."""

    signing: SigningKey
    created: int
    activates: int
    retires: int | None
    withdrawn: bool = False

    @property
    def kid(self) -> str:
        """The RFC 7638 thumbprint, which is also in the file's name."""
        return self.signing.kid

    def public_jwk(self, *, first: bool) -> dict[str, Json]:
        """The key as it stands in a JWKS, with its time: `nbf`, and `exp` once its end is known.

        The `first` key of a service has no `nbf`: it needs no notice and signs whatever the time.
        """
        begins = None if first else self.activates
        key = replace(self.signing.verifying, not_before=begins, expires=self.retires)
        return key.public_jwk()


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did: one key introduced, one whose end is now known, some withdrawn."""

    introduced: ApprovalKey
    former: ApprovalKey
    withdrawn: tuple[ApprovalKey, ...]


@dataclass(frozen=True, slots=True)
class _Keys:
    """The folder as it was last read, with the end of each key worked out."""

    names: frozenset[str]
    approval: tuple[ApprovalKey, ...]
    log: Ed25519PrivateKey
    origin: str
    seal: bytes
    webhook: Ed25519PrivateKey | None

    @classmethod
    def of(cls, folder: Path) -> _Keys:
        found = files.read(folder)
        # A key is withdrawn at the moment when the one that withdraws it was made.
        withdrawn = {kid: key.created for key in found.approval for kid in key.withdraws}
        lasting = [key for key in found.approval if key.signing.kid not in withdrawn]
        ends: dict[str, int] = {
            key.signing.kid: successor.activates + LONGEST_APPROVAL
            for key, successor in itertools.pairwise(lasting)
        }
        return cls(
            names=found.names,
            approval=tuple(
                ApprovalKey(
                    key.signing,
                    key.created,
                    key.activates,
                    (withdrawn | ends).get(key.signing.kid),
                    withdrawn=key.signing.kid in withdrawn,
                )
                for key in found.approval
            ),
            log=found.log,
            origin=found.origin,
            seal=found.seal,
            webhook=found.webhook,
        )


class Keyring:
    """The keys of one service, kept in a folder; safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keys = _Keys.of(folder)

    @classmethod
    def open(
        cls, home: Path, *, now: int, create: bool = True, origin: str = DEFAULT_ORIGIN
    ) -> Keyring:
        """Open the keys in `home`, making them when it never had any and `create` is true.

        `origin` names the log when it is made. The name is part of the log's identity and is kept
        beside its key: it does not follow a later change of the service's address.

        Raises:
            AssentError: `keys_missing` (also of one file that is still needed),
                `keys_permissions` or `keys_unreadable`; the place is the path.
        """
        folder = home / "keys"
        if not files.is_initialised(folder):
            if not create:
                raise private.key_error(
                    "keys_missing",
                    folder,
                    "no keys are here: if this service has run before, restore them from a backup, "
                    "since new keys cannot speak for its database; assent init makes those of a "
                    "new service",
                )
            files.initialise(home, folder, now=now, origin=origin)
        keyring = cls(folder)
        for path in files.missing(folder, now=now):
            raise private.key_error(
                "keys_missing",
                path,
                "is gone, and verifiers still need it; restore it from a backup: approvals that it "
                "signed would be refused, or a key that was replaced would sign again",
            )
        if create:
            keyring._mend(now)
        return keyring

    @property
    def folder(self) -> Path:
        """Where the keys are."""
        return self._folder

    @property
    def log_key(self) -> Ed25519PrivateKey:
        """The key that signs checkpoints."""
        return self._keys.log

    def seal(self, text: bytes) -> bytes:
        """The HMAC-SHA-256 of `text`, by which the service knows the rows that it wrote itself.

        Only who has the key folder can make one: a database alone gives nobody a row that counts.
        """
        return hmac.digest(self._keys.seal, text, "sha256")

    @property
    def webhook_key(self) -> Ed25519PrivateKey:
        """The key that signs webhooks, and nothing else.

        It is in no key set that verifiers of approvals read: what it signed could otherwise be put
        before them as an approval.

        Raises:
            AssentError: ``keys_missing`` in a folder that was only looked at, from before there
                was such a key.
        """
        key = self._keys.webhook
        if key is None:
            raise private.key_error(
                "keys_missing", self._folder / "webhook.json", "is not made yet"
            )
        return key

    @property
    def webhook_public_key(self) -> str:
        """Its public half as Standard Webhooks writes it: ``whpk_`` and base64."""
        raw = self.webhook_key.public_key().public_bytes_raw()
        return f"whpk_{base64.b64encode(raw).decode()}"

    @property
    def origin(self) -> str:
        """The log's name: the first line of each checkpoint, and of its signature."""
        return self._keys.origin

    @property
    def vkey(self) -> str:
        """The log's verifier key as C2SP signed-note writes it."""
        keys = self._keys
        return vkey(keys.origin, keys.log.public_key())

    @property
    def approval_keys(self) -> tuple[ApprovalKey, ...]:
        """Every approval key there ever was, in the order of their activation."""
        return self._keys.approval

    def signer(self, now: int) -> SigningKey:
        """The key whose turn it is to sign approvals at `now`."""
        return _active(self._keys.approval, now).signing

    def signers(self, now: int) -> list[SigningKey]:
        """The keys that could sign at `now`, that whose turn it is first, then those before it."""
        keys = [key for key in self._keys.approval if not key.withdrawn]
        turn = keys.index(_active(self._keys.approval, now))
        return [key.signing for key in reversed(keys[: turn + 1]) if not _over(key, now)]

    def state(self, key: ApprovalKey, now: int) -> KeyState:
        """Where `key` stands at `now`."""
        return _state(key, self._keys.approval, now)

    def jwks(self, now: int) -> dict[str, Json]:
        """The JWKS verifiers need at `now`: all approval keys but the retired."""
        keys = self._keys.approval
        return self._published(
            [key for key in keys if _state(key, keys, now) is not KeyState.retired]
        )

    def history(self) -> dict[str, Json]:
        """The JWKS of every key that signs, will sign or ever signed, each with its time.

        For whoever checks what was signed long ago, and for verifiers that honour `nbf` and `exp`.
        """
        return self._published([key for key in self._keys.approval if not key.withdrawn])

    def _published(self, published: list[ApprovalKey]) -> dict[str, Json]:
        first = next(key for key in self._keys.approval if not key.withdrawn)
        return {"keys": [key.public_jwk(first=key is first) for key in published]}

    def rotate(self, now: int, *, delay: int) -> Rotation:
        """Publish a new approval key at once; let it sign from `now + delay`.

        `delay` is the time verifiers have to fetch the JWKS before they meet the new key. A
        rotation that has not come into effect is withdrawn if this one takes effect before it: a
        stolen key does not have to be waited for.

        Raises:
            AssentError: `keys_rotation` while a rotation that takes effect earlier is under way.
        """
        if delay < 0:
            raise ValueError("a rotation cannot take effect in the past")
        with private.locked(self._folder):
            files.sweep(self._folder)
            lasting = [key for key in _Keys.of(self._folder).approval if not key.withdrawn]
            pending = [key for key in lasting if key.activates > now]
            withdraws = [key.kid for key in pending if key.activates > now + delay]
            standing = [key for key in pending if key.kid not in withdraws]
            if standing:
                raise private.key_error(
                    "keys_rotation",
                    self._folder,
                    f"{standing[-1].kid} is published and signs from {standing[-1].activates}: "
                    "rotate later, or with a shorter --delay",
                )
            newest = [key for key in lasting if key.kid not in withdraws][-1]
            # Later than its predecessor even within one second: keys are in the order of their
            # activation, and two equal ones would be in the order of their names.
            activates = max(now + delay, newest.activates + 1)
            kid = files.write_approval_key(
                self._folder, created=now, activates=activates, withdraws=withdraws
            )
            self._keys = keys = _Keys.of(self._folder)
            # The rotation is done. If this fails, the next start completes it.
            with contextlib.suppress(AssentError):
                files.write_index(self._folder, {key.kid: key.retires for key in keys.approval})
        lasting = [key for key in keys.approval if not key.withdrawn]
        place = [key.kid for key in lasting].index(kid)
        return Rotation(
            introduced=lasting[place],
            former=lasting[place - 1],
            withdrawn=tuple(key for key in keys.approval if key.kid in withdraws),
        )

    def _mend(self, now: int) -> None:
        """Clear away and complete what a process that was killed has left half done."""
        with private.locked(self._folder):
            files.sweep(self._folder)
            if _Keys.of(self._folder).webhook is None:  # or another process was first
                files.write_webhook_key(self._folder, created=now)
            self._keys = keys = _Keys.of(self._folder)
            ends = {key.kid: key.retires for key in keys.approval}
            if files.indexed(self._folder) != ends:
                files.write_index(self._folder, ends)

    def reload_if_changed(self) -> bool:
        """Take in keys that another process has made; return whether there were any."""
        # Names are enough: a key file is never rewritten, so a change is a new name.
        if files.names_in(self._folder) == self._keys.names:
            return False
        self._keys = _Keys.of(self._folder)
        return True


def _active(keys: tuple[ApprovalKey, ...], now: int) -> ApprovalKey:
    """The last key whose time has come; the first needs no notice and always has."""
    active, *later = [key for key in keys if not key.withdrawn]
    for key in later:
        if key.activates <= now:
            active = key
    return active


def _over(key: ApprovalKey, now: int) -> bool:
    """Whether a key's end has come: it is not published any more."""
    return key.retires is not None and key.retires <= now


def _state(key: ApprovalKey, keys: tuple[ApprovalKey, ...], now: int) -> KeyState:
    active = _active(keys, now)
    if key.kid == active.kid:
        return KeyState.active
    if _over(key, now):
        return KeyState.retired
    if key.activates > active.activates:
        return KeyState.next
    return KeyState.former
