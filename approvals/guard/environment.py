"""What a guard needs, read from the environment: for programs that configure nothing in code.

| variable | |
|---|---|
| `ASSENT_URL` | the service's address, which is the issuer of approvals; required |
| `ASSENT_ENFORCER` | this enforcer's id in the bundle; required |
| `ASSENT_KEY_FILE` | its private key, a JWK; required |
| `ASSENT_AGENT`, `ASSENT_USER` | the agent that calls and the person it calls for; required |
| `ASSENT_TENANT` | default `default` |
| `ASSENT_JWKS_FILE` | the service's public keys, pinned; unset: fetched from it over TLS |
| `ASSENT_PEOPLE_FILE` | the directory of approvers' keys, pinned: the document, or the signed token that `/v1/people/keys` serves |
| `ASSENT_PEOPLE_MAX_AGE` | how many seconds old the pinned directory may be; default 7776000, which is 90 days |
| `ASSENT_PEOPLE_NEWEST_FILE` | a file in which the guard writes which directory was the newest, so that an older one is refused after a restart too; unset: only while the process lives |
| `ASSENT_UNATTENDED` | with a pinned directory, the tools that policy alone may allow, by commas |
| `ASSENT_FLOOR_FILE` | with a directory pinned, whom this enforcer itself wants asked: JSON or TOML, see `approvals.core.floor` |
| `ASSENT_WAIT` | seconds that a call holds for people; default 60 |

With the directory pinned the signatures of people are checked here, and not even the service's
own key can stand in for them. The pins are worth what the files' permissions are worth, so a key
that others may read and a pin that others may write are refused. A variable that is nearly one of
these is refused too: a misspelt pin would pin nothing.
"""  # noqa: E501 - a table

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from approvals.client import Client, plans
from approvals.core import directory as directories
from approvals.core import names
from approvals.core.errors import (
    AssentError,
    Invalid,
    KeySetError,
)
from approvals.core.floor import Floors
from approvals.guard.files import (
    read_pin,
    read_pinned_object,
    read_private_object,
    wrong,
)
from approvals.guard.keys import FetchedKeys
from approvals.guard.newest import Newest
from approvals.verifier import PEOPLE_MAX_AGE, Verifier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from approvals.core.canonical import Json
    from approvals.core.directory import Directory

_NEARLY: Final = 0.85
_VARIABLES: Final = (
    "ASSENT_URL",
    "ASSENT_ENFORCER",
    "ASSENT_KEY_FILE",
    "ASSENT_AGENT",
    "ASSENT_USER",
    "ASSENT_TENANT",
    "ASSENT_JWKS_FILE",
    "ASSENT_PEOPLE_FILE",
    "ASSENT_PEOPLE_MAX_AGE",
    "ASSENT_PEOPLE_NEWEST_FILE",
    "ASSENT_UNATTENDED",
    "ASSENT_FLOOR_FILE",
    "ASSENT_WAIT",
)


@dataclass(frozen=True, slots=True)
class Environment:
    """What the variables say, with the files that they name read and checked."""

    client: Client
    verifier: Verifier | FetchedKeys
    agent: str
    user: str
    wait: float


def read_environment() -> Environment:
    """Read the variables and the files they name.

    Raises:
        CallRefused: one of them is wrong (`configuration`); the message names it.
    """
    _check_spelling()
    url, enforcer = _required("ASSENT_URL"), _required("ASSENT_ENFORCER")
    tenant = os.environ.get("ASSENT_TENANT") or "default"
    try:
        client = Client(
            url,
            enforcer=enforcer,
            key=read_private_object(_required("ASSENT_KEY_FILE")),
            tenant=tenant,
        )
    except ValueError as error:
        raise wrong("ASSENT_URL", str(error)) from error
    except KeySetError as error:
        raise wrong("ASSENT_KEY_FILE", f"holds no key to sign with: {error}") from error
    unattended = _unattended()
    floors = _floors()
    people_file = os.environ.get("ASSENT_PEOPLE_FILE")
    max_age = int(
        _seconds("ASSENT_PEOPLE_MAX_AGE", default=PEOPLE_MAX_AGE, least=1, most=10 * PEOPLE_MAX_AGE)
    )
    newest = Newest(os.environ.get("ASSENT_PEOPLE_NEWEST_FILE") or None)

    def build(keys: Mapping[str, Json]) -> Verifier:
        people = None if not people_file else _directory(people_file, keys)
        try:
            if people is not None:
                newest.verify(people)
            return Verifier(
                issuer=client.url,
                audience=enforcer,
                keys=keys,
                people=people,
                people_max_age=max_age,
                tenant=tenant,
                unattended=unattended,
                floor=floors,
            )
        except Invalid as error:
            if error.code == "floor":
                raise wrong("ASSENT_FLOOR_FILE", f"cannot hold here: {error}") from error
            raise wrong("ASSENT_PEOPLE_FILE", f"cannot be pinned here: {error}") from error

    if floors is not None and not people_file:
        raise wrong("ASSENT_FLOOR_FILE", "counts pinned people: set ASSENT_PEOPLE_FILE too")

    return Environment(
        client=client,
        verifier=_pinned(build) or FetchedKeys(build, plans.jwks_history),
        agent=_required("ASSENT_AGENT"),
        user=_required("ASSENT_USER"),
        wait=_seconds("ASSENT_WAIT", default=60.0, most=86_400),
    )


def _pinned(build: Callable[[Mapping[str, Json]], Verifier]) -> Verifier | None:
    path = os.environ.get("ASSENT_JWKS_FILE")
    if not path:
        return None
    try:
        return build(read_pinned_object(path))
    except KeySetError as error:
        raise wrong("ASSENT_JWKS_FILE", f"holds no keys to verify with: {error}") from error


def _required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise wrong(name, "not set")
    return value


def _seconds(name: str, *, default: float, most: float, least: float = 0) -> float:
    text = os.environ.get(name)
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError as error:
        raise wrong(name, "not a number of seconds") from error
    if not least <= seconds <= most:
        raise wrong(name, f"not between {least} and {most} seconds")
    return seconds


def _check_spelling() -> None:
    for name in sorted(os.environ):
        if name.startswith("ASSENT_") and name not in _VARIABLES:
            meant = difflib.get_close_matches(name, _VARIABLES, n=1, cutoff=_NEARLY)
            if f"{name}_FILE" in _VARIABLES:
                meant = [f"{name}_FILE"]
            if meant:
                raise wrong(name, f"not a setting of the guard; is {meant[0]} meant?")


def _floors() -> Floors | None:
    path = os.environ.get("ASSENT_FLOOR_FILE")
    if path is None:
        return None
    if not path:
        # Set to nothing: whoever wrote it meant a floor, and there would be none.
        raise wrong("ASSENT_FLOOR_FILE", "set, and names no file")
    try:
        return Floors.read(read_pin(path))
    except Invalid as error:
        raise wrong(path, f"not a floor: {error}") from error


def _unattended() -> frozenset[str]:
    listed = os.environ.get("ASSENT_UNATTENDED", "").split(",")
    tools = frozenset(name.strip() for name in listed if name.strip())
    for tool in sorted(tools):
        if not names.is_tool(tool):
            why = f"has {tool!r}, which is no tool: a tool's name has {names.TOOL_LETTERS}"
            raise wrong("ASSENT_UNATTENDED", why)
    return tools


def _directory(path: str, keys: Mapping[str, Json]) -> Directory:
    raw = read_pin(path)
    try:
        return directories.read_pinned(raw.decode(), keys=keys)
    except UnicodeDecodeError as error:
        raise wrong(path, "neither a directory document nor a signed one") from error
    except AssentError as error:
        raise wrong(path, f"not a directory that can be pinned: {error}") from error
