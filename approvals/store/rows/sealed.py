"""The base of every row that grants something, and the type of large whole numbers."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import BigInteger, Integer, LargeBinary
from sqlmodel import Field, SQLModel

# SQLite numbers rows only in a column declared INTEGER; PostgreSQL's INTEGER ends in 2038.
BIG = BigInteger().with_variant(Integer, "sqlite")


class SealedRow(SQLModel):
    """A row that grants something, sealed over every column that is not in `unsealed`.

    A column may be `unsealed` only if nothing that it can hold grants, shows or hides anything.
    """

    unsealed: ClassVar[frozenset[str]] = frozenset()
    seal: bytes = Field(sa_type=LargeBinary)
