"""What every step needs: the database, the keys, the settings and the compiled bundles."""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from approvals.core import canonical
from approvals.core.errors import Unavailable
from approvals.core.history.events import KeyIntroduced
from approvals.core.history.leaves import parse_leaf
from approvals.flow.knowing.closings import Closings
from approvals.flow.knowing.counts import Counts
from approvals.flow.knowing.history import History
from approvals.flow.knowing.reading import Reading
from approvals.flow.loops import Loops
from approvals.keys.mark import Mark
from approvals.policy.bundle.bundle import Bundle
from approvals.store.clock import steady
from approvals.store.seals import altered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from approvals.config import Settings
    from approvals.core.jwk import SigningKey
    from approvals.keys import Keyring
    from approvals.store import Store, Tx
    from approvals.store.bundles import Activation

DEFAULT_TENANT = "default"
KEPT_BUNDLES = 16
RECENT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class CurrentBundle:
    """The bundle that decides now, and everybody who ever activated its text.

    None of `excluded` is asked under its rules: nobody both makes a rule hold and fills its places.
    """

    bundle: Bundle
    excluded: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Recent:
    """A current bundle as it was read: the database's time then, and our steady time."""

    current: CurrentBundle
    now: int
    read: float


@dataclass(frozen=True, slots=True)
class Service:
    """The running service. Safe to share between threads."""

    store: Store
    keys: Keyring
    settings: Settings
    mark: Mark = field(default_factory=Mark)
    loops: Loops = field(default_factory=Loops)
    counts: Counts = field(default_factory=Counts)
    history: History = field(default_factory=History)
    reading: Reading = field(default_factory=Reading)
    closings: Closings = field(default_factory=Closings)
    _bundles: OrderedDict[tuple[str, str], Bundle] = field(default_factory=OrderedDict)
    _recent: dict[str, _Recent] = field(default_factory=dict)
    _introduced: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def signer(self, tx: Tx) -> SigningKey:
        """The key that signs in this transaction: the newest whose turn has come and is logged.

        While the log does not tell of that one yet, the one before it goes on.

        Raises:
            Unavailable: the log tells of none (`key_not_introduced`).
        """
        for key in self.keys.signers(tx.now):
            if self.knows(key.kid) or _told(tx, key.kid):
                return key
        raise Unavailable(
            "the log does not tell of the signing key yet; the service does that within seconds",
            code="key_not_introduced",
        )

    def introduced(self, kids: Iterable[str]) -> None:
        """The log tells of these keys: that has committed."""
        self._introduced.update(kids)

    def knows(self, kid: str) -> bool:
        """Whether the log is known to tell of a key."""
        return kid in self._introduced

    def epoch(self, tx: Tx) -> bytes | None:
        """Names the last restore that an operator accepted, by its event; None: there was none.

        Raises:
            Unavailable: the service's events are not those that it wrote (`row_altered`).
        """
        return self.closings.epoch(tx, tenant=DEFAULT_TENANT)

    def verify_epoch(self, tx: Tx, epoch: bytes | None, *, table: str, key: str) -> None:
        """Refuse what was given before a restore, which ended it, although its row is there.

        Raises:
            Unavailable: it is of another epoch (`row_altered`).
        """
        if epoch != self.epoch(tx):
            raise altered(table, key)

    def current_bundle(self, tx: Tx, tenant: str) -> CurrentBundle:
        """The tenant's current bundle.

        Raises:
            Unavailable: no bundle has been activated (`no_bundle`): nothing can be decided.
        """
        activation = self._activation(tx, tenant)
        return CurrentBundle(self.bundle(tx, tenant, activation.version), activation.excluded)

    def is_current(self, tx: Tx, tenant: str, known: CurrentBundle) -> bool:
        """Whether `known` is what `current_bundle` gives, without reading a bundle.

        Raises:
            Unavailable: no bundle has been activated (`no_bundle`).
        """
        activation = self._activation(tx, tenant)
        return (activation.version, activation.excluded) == (known.bundle.version, known.excluded)

    def _activation(self, tx: Tx, tenant: str) -> Activation:
        activation = tx.bundles.current(tenant)
        if activation is None:
            raise Unavailable(
                "no policy bundle has been activated: assent bundle activate FOLDER --by PERSON",
                code="no_bundle",
            )
        return activation

    def recent_bundle(self, tenant: str) -> tuple[Bundle, int]:
        """The tenant's bundle as of at most `RECENT_SECONDS` ago, and the time.

        For who a caller is, which would otherwise cost a transaction at every request. What a call
        may do is always decided by `current_bundle`. Raises as that does.
        """
        current, now = self.recent(tenant)
        return current.bundle, now

    def recent(self, tenant: str) -> tuple[CurrentBundle, int]:
        """As `recent_bundle`, with everybody who ever activated it."""
        moment = steady()
        recent = self._recent.get(tenant)
        if recent is None or moment - recent.read >= RECENT_SECONDS:
            with self.store.read() as tx:
                recent = _Recent(self.current_bundle(tx, tenant), tx.now, moment)
            if len(self._recent) >= KEPT_BUNDLES:
                self._recent.clear()
            self._recent[tenant] = recent
        return recent.current, recent.now + int(moment - recent.read)

    def forget_recent(self, tenant: str) -> None:
        """The tenant's bundle has changed: read it anew."""
        self._recent.pop(tenant, None)

    def bundle(self, tx: Tx, tenant: str, version: str) -> Bundle:
        """A bundle that was activated at some time, compiled; the latest used stay in memory."""
        key = (tenant, version)
        with self._lock:
            cached = self._bundles.get(key)
            if cached is not None:
                self._bundles.move_to_end(key)
                return cached
        files = tx.bundles.files(tenant=tenant, version=version)
        if files is None:
            raise Unavailable(f"the bundle {version} is not stored", code="no_bundle")
        bundle = Bundle.load(files)
        if bundle.version != version:
            # Somebody edited the database: the name is the digest of what was reviewed.
            raise Unavailable(f"the stored bundle {version} was changed", code="bundle_changed")
        with self._lock:
            self._bundles[key] = bundle
            while len(self._bundles) > KEPT_BUNDLES:
                self._bundles.popitem(last=False)
        return bundle

    def url(self, path: str) -> str:
        """The address of a page."""
        return f"{self.settings.url}{path}"


def _told(tx: Tx, kid: str) -> bool:
    """Whether the log tells of a key. Not remembered: this transaction may not commit."""
    leaves = tx.log.told(tenant=DEFAULT_TENANT, subject=f"key_{kid}")
    return any(isinstance(parse_leaf(leaf).event, KeyIntroduced) for leaf in leaves)


def new_occasion() -> str:
    """The random part of an id: 128 bits as 26 lowercase base32 characters.

    One occasion has one: its verdict is `vrd_…`, its request `req_…`, its approval `apr_…`.
    """
    return _occasion(secrets.token_bytes(16))


def occasion_of(service: Service, *, tenant: str, enforcer: str, key: str) -> str:
    """The occasion of the call that this enforcer submits with this `Idempotency-Key`.

    Always the same, so a key leads to one approval even where the database has lost its row.
    Nobody else can compute it, so the public log does not tell the key.
    """
    text = canonical.encode(["assent/occasion/1", tenant, enforcer, key])
    return _occasion(service.keys.seal(text)[:16])


def _occasion(octets: bytes) -> str:
    return base64.b32encode(octets).decode().rstrip("=").lower()


def new_token() -> str:
    """A secret for a browser or an invitation: 256 random bits, base64url."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """How a secret is stored: a leaked database signs nobody in."""
    return hashlib.sha256(token.encode()).hexdigest()
