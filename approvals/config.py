"""The settings of the service: where they come from, what they default to, what is refused.

Every setting is an environment variable with the prefix `ASSENT_` (`ASSENT_URL` sets `url`);
the command line hands its options to `load`, and an option wins over the environment. The field
descriptions below are the documentation that is published.

What holds: nothing is read when this module is imported; each default is safe on its own; a value
that makes no sense stops the start with the name of its variable and the code `config`; no error
and no `repr` shows the database's password.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from approvals.core.errors import AssentError

PREFIX: Final = "ASSENT_"
DEFAULT_PORT: Final = 8420
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_POSTGRES: Final = ("postgres://", "postgresql://", "postgresql+psycopg://")


class Settings(BaseSettings):
    """All settings of one service process; immutable once made."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    home: Path = Field(
        default=Path("~/.local/share/assent"),
        description="Folder of the service's keys and, on SQLite, of its database. Made with "
        "permissions 0700 when it is missing.",
    )
    url: str = Field(
        default="http://localhost:8420",
        description="The one address under which people and enforcers reach the service: scheme, "
        "host and port, no path. It is the issuer of every approval and the origin passkeys are "
        "bound to, so a change invalidates both. https is required unless the host is localhost, "
        "127.0.0.1 or [::1]; browsers offer passkeys only for a host name, not for an IP address.",
    )
    database: SecretStr | None = Field(
        default=None,
        description="postgresql://user:password@host/name, or sqlite:////absolute/file. Unset: "
        "the SQLite file assent.db in the home folder.",
    )
    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on. A proxy that ends TLS belongs in front of anything "
        "but loopback.",
    )
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        default=None,
        description="Port to listen on. Unset: the port of the url where that is plain http, "
        "otherwise 8420.",
    )
    approval_life: Annotated[int, Field(ge=10, le=900)] = Field(
        default=300,
        description="Seconds for which an approval can be spent. Verifiers refuse more than 900.",
    )
    statement_life: Annotated[int, Field(ge=30, le=300)] = Field(
        default=300,
        description="Seconds a person has between pressing a button and answering with a passkey.",
    )
    skew: Annotated[int, Field(ge=0, le=30)] = Field(
        default=30,
        description="Seconds by which the clocks of enforcers and the service may differ.",
    )
    max_bytes: Annotated[int, Field(ge=1024, le=16_777_216)] = Field(
        default=262_144,
        description="Largest request body in bytes; more is refused before it is parsed.",
    )
    log_interval: Annotated[float, Field(ge=0.01, le=60.0)] = Field(
        default=0.2,
        description="Seconds between two checkpoints of the log while there are events.",
    )
    session_life: Annotated[int, Field(ge=300, le=86_400)] = Field(
        default=28_800,
        description="Seconds after which a signed-in person signs in again.",
    )
    invitation_life: Annotated[int, Field(ge=300, le=2_592_000)] = Field(
        default=259_200,
        description="Seconds for which an invitation to enrol a passkey can be used, once.",
    )

    @field_validator("home", mode="after")
    @classmethod
    def _absolute_home(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("url", mode="after")
    @classmethod
    def _origin_only(cls, url: str) -> str:
        return _origin(url)

    @field_validator("database", mode="after")
    @classmethod
    def _known_database(cls, database: SecretStr | None) -> SecretStr | None:
        return None if database is None else SecretStr(_database_url(database.get_secret_value()))

    @property
    def database_url(self) -> str:
        """The database as SQLAlchemy names it, password included: for the store alone."""
        if self.database is None:
            return f"sqlite:///{self.home / 'assent.db'}"
        return self.database.get_secret_value()

    @property
    def listen_port(self) -> int:
        """The port to listen on: behind a proxy that ends TLS it is not the one in `url`."""
        if self.port is not None:
            return self.port
        parts = urlsplit(self.url)
        return (parts.port or 80) if parts.scheme == "http" else DEFAULT_PORT

    @property
    def issuer(self) -> str:
        """The issuer of approvals: `url`, which has no trailing slash."""
        return self.url

    @property
    def origin(self) -> str:
        """The web origin that pages, the API and passkeys share."""
        return self.url

    @property
    def rp_id(self) -> str:
        """The WebAuthn relying party: the host without its port."""
        return urlsplit(self.url).hostname or ""

    @property
    def secure_cookies(self) -> bool:
        """Whether cookies carry `Secure`: always, save on loopback without TLS."""
        return self.url.startswith("https://")

    @property
    def log_origin(self) -> str:
        """The name under which the log's checkpoints are signed (C2SP tlog-checkpoint)."""
        return f"{urlsplit(self.url).netloc}/log"


def load(**options: Any) -> Settings:
    """Read the environment, with `options` (those not None) in front of it.

    Raises:
        AssentError: code `config`; the place is the variable that is wrong.
    """
    given = {name: value for name, value in options.items() if value is not None}
    unknown = sorted(given.keys() - Settings.model_fields.keys())
    if unknown:
        raise AssentError(f"there is no setting {unknown[0]!r}", code="config", place=unknown[0])
    try:
        return Settings(**given)
    except ValidationError as error:
        # Only place and message: pydantic's own text may quote the input, a password with it.
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = f"{PREFIX}{str(first['loc'][0]).upper()}" if first["loc"] else "settings"
        message = first["msg"].removeprefix("Value error, ")
        raise AssentError(message, code="config", place=place) from None


def _origin(url: str) -> str:
    """Return `url` as a browser serialises an origin, or raise ValueError."""
    if not url.isascii():
        raise ValueError("write an international host name in its xn-- form")
    parts, host, port = _split(url)
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError("must start with https:// (or http:// on localhost)")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not contain a user name or password")
    if parts.path not in {"", "/"} or "?" in url or "#" in url:
        raise ValueError("must be scheme, host and port only: no path, query or fragment")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise ValueError("https is required unless the host is localhost, 127.0.0.1 or [::1]")
    shown = f"[{host}]" if _is_ipv6(host) else host
    return f"{parts.scheme}://{shown}" + (
        "" if port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{port}"
    )


def _split(url: str) -> tuple[SplitResult, str, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    host = parts.hostname
    if not host or any(character.isspace() for character in url):
        raise ValueError("must name a host, as in https://assent.example")
    return parts, host, port


def _is_ipv6(host: str) -> bool:
    try:
        return isinstance(ip_address(host), IPv6Address)
    except ValueError:
        return False


def _database_url(url: str) -> str:
    for scheme in _POSTGRES:
        if url.startswith(scheme):
            return f"postgresql+psycopg://{url.removeprefix(scheme)}"
    if url.startswith("sqlite:///") and len(url) > len("sqlite:///"):
        return url
    raise ValueError("must start with postgresql:// or be sqlite:////absolute/file")
