"""Which groups and stand-ins everybody has, and had: from the activations of a tenant's bundles.

What holds: it is built of all activations, which are numbered and sealed, and of bundles whose text
has the digest that was activated. What was read is remembered by the number of the last activation,
so a look costs what was activated since, and not what ever was.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from approvals.core import canonical
from approvals.core.directory import FormerPlace
from approvals.policy.bundle.bundle import people_in
from approvals.store.seals import altered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from approvals.store import Tx
    from approvals.store.bundles import Activated


@dataclass(frozen=True, slots=True)
class Held:
    """The groups and stand-ins that a person has, and since when."""

    groups: tuple[str, ...]
    stand_ins: tuple[str, ...]
    since: int


@dataclass(frozen=True, slots=True)
class Places:
    """The places that people have by the newest activation, and all that they had before."""

    last: Activated
    now: Mapping[str, Held]
    former: tuple[FormerPlace, ...]


class History:
    """The places that this process has read of, by tenant. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[str, Places] = {}

    def places(self, tx: Tx, tenant: str) -> Places | None:
        """Everybody's places, now and before; None before the first activation.

        Raises:
            Unavailable: an activation or a bundle is not as the service wrote it (`row_altered`,
                `bundle_changed`).
        """
        with self._lock:
            known = self._places.get(tenant)
        first = 0 if known is None else known.last.number
        found = tx.bundles.activations(tenant=tenant, first=first)
        if known is not None and (not found or found[0] != known.last):
            # Another database, or a look that began before the one that is remembered.
            known, found = None, tx.bundles.activations(tenant=tenant)
        for activated in found if known is None else found[1:]:
            known = _after(known, activated, _people(tx, tenant, activated.version))
        if known is not None:
            with self._lock:
                self._places[tenant] = known
        return known


def _people(tx: Tx, tenant: str, version: str) -> dict[str, Held]:
    """Everybody in a bundle; since when they have been there is for the caller to say."""
    files = tx.bundles.files(tenant=tenant, version=version)
    if files is None or canonical.digest(dict(files)) != version:
        raise altered("bundle", tenant, version)
    return {
        person.id: Held(tuple(sorted(person.groups)), person.stand_ins, 0)
        for person in people_in(files).values()
    }


def _after(before: Places | None, activated: Activated, people: Mapping[str, Held]) -> Places:
    """The places after an activation."""
    former = [] if before is None else list(before.former)
    had = {} if before is None else before.now
    now: dict[str, Held] = {}
    for person, held in people.items():
        same = had.get(person)
        if same is not None and (same.groups, same.stand_ins) == (held.groups, held.stand_ins):
            now[person] = same
        else:
            now[person] = Held(held.groups, held.stand_ins, activated.created)
    former += [
        FormerPlace(
            id=person,
            groups=held.groups,
            stand_ins=held.stand_ins,
            since=held.since,
            until=activated.created,
        )
        for person, held in sorted(had.items())
        if now.get(person) is not held
    ]
    return Places(activated, now, tuple(former))
