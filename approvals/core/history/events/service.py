"""What happens to the rules, the keys, the log and the service itself."""

from __future__ import annotations

from dataclasses import dataclass

from approvals.core.history.events.shape import (
    BUNDLES,
    KEY,
    SERVICE,
    Event,
    Open,
    Sealed,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleActivated(Event):
    """A bundle decides from now on, in the place of `former`."""

    TYPE = "bundle.activated"
    ABOUT = (BUNDLES,)
    subject: str = BUNDLES
    bundle: Sealed[str]
    former: Sealed[str | None]
    by: Sealed[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyIntroduced(Event):
    """A signing key, which signs from `activates` on."""

    TYPE = "key.introduced"
    ABOUT = (KEY,)
    kid: Open[str]
    alg: Open[str]
    activates: Open[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRetired(Event):
    """A signing key signs nothing from `retires` on."""

    TYPE = "key.retired"
    ABOUT = (KEY,)
    kid: Open[str]
    retires: Open[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class OfService(Event):
    """Something that happened to the service or to its log."""

    ABOUT = (SERVICE,)
    subject: str = SERVICE


@dataclass(frozen=True, slots=True, kw_only=True)
class LogClosed(OfService):
    """The log was found altered, and nothing is granted."""

    TYPE = "log.closed"
    code: Open[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReopened(OfService):
    """An operator checked everything, and it goes on."""

    TYPE = "log.reopened"
    code: Open[str]
    reason: Sealed[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRestored(OfService):
    """An operator went on with an older database: `size` leaves of `signed` are left."""

    TYPE = "log.restored"
    size: Open[int]
    root: Open[str]
    signed: Open[int]
    reason: Sealed[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceMoved(OfService):
    """The service has another address."""

    TYPE = "service.moved"
    old_url: Open[str]
    new_url: Open[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockRepaired(OfService):
    """An operator set times back that a wrong clock had recorded."""

    TYPE = "clock.repaired"
    recorded: Open[int]
    reason: Sealed[str]
