"""Folders of keys, and what is published of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from approvals.keys import Keyring

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000
ORIGIN = "assent.example/log"


def opened(home: Path, *, now: int = NOW, create: bool = True) -> Keyring:
    return Keyring.open(home, now=now, create=create, origin=ORIGIN)


def published(keyring: Keyring, now: int) -> list[dict[str, Any]]:
    keys: Any = keyring.jwks(now)["keys"]
    return list(keys)


def kids(keyring: Keyring, now: int) -> list[str]:
    return [key["kid"] for key in published(keyring, now)]


def files(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (home / "keys").iterdir()}
