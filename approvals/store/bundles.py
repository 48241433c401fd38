"""Bundles and their activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import bindparam
from sqlmodel import col, select

from approvals.store.rows import ActivationRow, BundleRow

if TYPE_CHECKING:
    from sqlmodel import Session

# Asked at every call: made once, it costs a tenth.
_CURRENT = (
    select(ActivationRow.version, ActivationRow.activated_by)
    .where(ActivationRow.tenant == bindparam("tenant"))
    .order_by(col(ActivationRow.id).desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Activation:
    """Which bundle is current, and who alone activated it, if a person did."""

    version: str
    activated_by: str | None


class Bundles:
    """The bundles of a transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def activate(
        self, *, tenant: str, version: str, files: dict[str, str], by: str | None, now: int
    ) -> None:
        """Store the bundle if it is new and make it current."""
        if self._session.get(BundleRow, (tenant, version)) is None:
            self._session.add(
                BundleRow(
                    tenant=tenant,
                    version=version,
                    files=orjson.dumps(files).decode(),
                    created=now,
                )
            )
        self._session.add(
            ActivationRow(tenant=tenant, version=version, activated_by=by, created=now)
        )
        self._session.flush()

    def current(self, tenant: str) -> Activation | None:
        """The newest activation."""
        row = self._session.connection().execute(_CURRENT, {"tenant": tenant}).first()
        return None if row is None else Activation(row[0], row[1])

    def files(self, *, tenant: str, version: str) -> dict[str, str] | None:
        """The files of a bundle that was activated at some time."""
        row = self._session.get(BundleRow, (tenant, version))
        if row is None:
            return None
        files: dict[str, str] = orjson.loads(row.files)
        return files
