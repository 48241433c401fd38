"""The settings of the service: what they default to, what is refused.

The field descriptions below are the documentation that is published.

What holds: each default is safe on its own; a value that makes no sense is refused; no error and no
`repr` shows the database's password.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from approvals.config import values
from approvals.config.database import read_database_url
from approvals.core import sizes
from approvals.core.addresses import urls
from approvals.core.approval import MAX_LIFE, MAX_SKEW
from approvals.core.decision.ceremony import STATEMENT_LIFE

PREFIX: Final = "ASSENT_"
DEFAULT_PORT: Final = 8420
_NEEDS: Final = (
    ("smtp_username", "smtp_host"),
    ("smtp_password", "smtp_host"),
    ("smtp_username", "smtp_password"),
    ("smtp_password", "smtp_username"),
    ("slack_app_token", "slack_bot_token"),
    ("slack_signing_secret", "slack_bot_token"),
)
"""Settings of which the first does nothing without the second."""


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
        "permissions 0700 when it is missing; assent serve then says so (New home: …).",
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
    keep_alive: Annotated[int, Field(ge=5, le=3600)] = Field(
        default=75,
        description="Seconds for which an idle connection is kept. It has to be longer than a "
        "proxy in front keeps its own (nginx: 60), or the proxy now and then answers 502.",
    )
    max_connections: Annotated[int, Field(ge=16, le=1_000_000)] = Field(
        default=20_000,
        description="Connections that the process holds at one time. It holds fewer where it may "
        "not open so many descriptors (`ulimit -n`). Three quarters of them may be callers that "
        "wait for people.",
    )
    connections_per_address: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=1024,
        description="Connections of one address. Not counted for the trusted_proxies, who limit it "
        "themselves.",
    )
    trusted_proxies: Annotated[str, AfterValidator(values.read_networks)] = Field(
        default="127.0.0.1,::1",
        description="Addresses or networks of the proxies in front, separated by commas, or none. "
        "Who connects from there is whoever `X-Forwarded-For` names last; from elsewhere that "
        "header is not read.",
    )
    ceremonies_per_minute: Annotated[int, Field(ge=10, le=1_000_000)] = Field(
        default=120,
        description="Steps of signing in and enrolling (a sign-in is two) that one address may "
        "take in a minute, and steps with a passkey that one signed-in person may begin. An IPv6 "
        "address counts by its /64.",
    )
    ceremonies_per_minute_overall: Annotated[int, Field(ge=10, le=1_000_000)] = Field(
        default=3600,
        description="Such steps of all addresses together in a minute, in each process. Where it "
        "runs low, addresses that took many are refused first.",
    )
    isolated: bool = Field(
        default=False,
        description="Whether the host, although it is not loopback, is reached from this machine "
        "alone: a container whose port is published on 127.0.0.1. Without it, a host that is not "
        "loopback needs an https url.",
    )
    approval_life: Annotated[int, Field(ge=10, le=MAX_LIFE)] = Field(
        default=300,
        description="Seconds for which an approval can be spent. Verifiers refuse more than 900.",
    )
    statement_life: Annotated[int, Field(ge=30, le=STATEMENT_LIFE)] = Field(
        default=300,
        description="Seconds a person has between pressing a button and answering with a passkey.",
    )
    skew: Annotated[int, Field(ge=0, le=MAX_SKEW)] = Field(
        default=30,
        description="Seconds by which the clocks of enforcers and the service may differ.",
    )
    max_bytes: Annotated[int, Field(ge=1024, le=sizes.CALL_MOST)] = Field(
        default=sizes.CALL,
        description="Largest request body in bytes; more is refused before it is parsed.",
    )
    max_values: Annotated[int, Field(ge=16, le=1_000_000)] = Field(
        default=10_000,
        description="Values (objects, arrays, strings, numbers and so on) that the arguments of "
        "one call may hold. People cannot check more, and each costs time.",
    )
    log_interval: Annotated[float, Field(ge=0.01, le=60.0)] = Field(
        default=0.2,
        description="Seconds between two checkpoints of the log while there are events.",
    )
    log_patience: Annotated[int, Field(ge=5, le=3600)] = Field(
        default=30,
        description="Seconds that an event may wait for its place in the log. While one waits "
        "longer, nothing is granted.",
    )
    metrics: Literal["off", "loopback", "token"] = Field(
        default="off",
        description="Who may read /metrics: off (nobody), loopback (who asks from this machine, at "
        "localhost or 127.0.0.1, through no proxy), or token (who sends the metrics_token).",
    )
    metrics_token: Annotated[SecretStr, Field(min_length=16)] | None = Field(
        default=None, description="Bearer token of whoever scrapes /metrics."
    )
    session_life: Annotated[int, Field(ge=300, le=86_400)] = Field(
        default=28_800,
        description="Seconds after which a signed-in person signs in again.",
    )
    invitation_life: Annotated[int, Field(ge=300, le=2_592_000)] = Field(
        default=259_200,
        description="Seconds for which an invitation to enrol a passkey can be used, once.",
    )
    attestation_roots: Path | None = Field(
        default=None,
        description="Folder that says which models of security keys count as hardware-passkey: "
        "<aaguid>.pem with a model's root certificates, or metadata.jwt of the FIDO Metadata "
        "Service with metadata-root.pem. A folder or file that cannot be used stops the start; a "
        "metadata.jwt past its next update is logged, and no new passkey counts as "
        "hardware-passkey until it is fetched. Unset: no passkey counts as hardware-passkey, and a "
        "rule that asks for one is refused.",
    )

    smtp_host: Annotated[str | None, AfterValidator(values.read_host)] = Field(
        default=None, description="Mail server to hand notices to. Unset: no mail is sent."
    )
    smtp_port: Annotated[int, Field(ge=1, le=65535)] = Field(
        default=587, description="Port of the mail server."
    )
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="starttls (required, not tried), tls from the first byte, or none, which is "
        "taken for a server on this machine only.",
    )
    smtp_username: str | None = Field(
        default=None,
        description="User name at the mail server; needs smtp_password. Unset: no authentication.",
    )
    smtp_password: SecretStr | None = Field(
        default=None, description="Password at the mail server; sent over TLS only."
    )
    mail_from: Annotated[str, AfterValidator(values.read_mailbox)] = Field(
        default="assent@localhost", description="Sender of the mail, an address of your domain."
    )
    slack_bot_token: SecretStr | None = Field(
        default=None, description="Bot token (xoxb-…). Unset: nothing is sent to Slack."
    )
    # Whoever guesses it is Slack: a placeholder or a blank must not open the routes.
    slack_signing_secret: Annotated[SecretStr, Field(min_length=16)] | None = Field(
        default=None,
        description="Signing secret of the Slack app, for interactions over HTTP; needs "
        "slack_bot_token. Unset: the routes that Slack calls do not exist.",
    )
    slack_app_token: SecretStr | None = Field(
        default=None,
        description="App token (xapp-…), for Socket Mode: interactions without inbound calls; "
        "needs slack_bot_token.",
    )
    slack_api_url: Annotated[str, AfterValidator(values.read_folder_url)] = Field(
        default="https://slack.com/api/",
        description="Where Slack's Web API is. Plain http is taken on this machine only.",
    )
    notice_cap_agent_hour: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=10,
        description="Notices of requests that one person gets in an hour because of one agent "
        "through one enforcer, on each channel together; what is beyond waits in the inbox.",
    )
    notice_cap_enforcer_hour: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=30,
        description="Notices of requests that one person gets in an hour because of one enforcer, "
        "so that none uses up what others need.",
    )
    notice_cap_hour: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=60, description="Notices of requests that one person gets in an hour."
    )
    open_per_agent: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=50,
        description="Requests of one agent through one enforcer that may wait for people at one "
        "time.",
    )
    open_per_tool: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=25,
        description="Requests of one agent through one enforcer for one tool that may wait at one "
        "time.",
    )
    denied_per_hour: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=600,
        description="Calls of one agent through one enforcer that may be denied in an hour. Beyond "
        "that they are refused and nothing of them is kept.",
    )
    cooldown: Annotated[int, Field(ge=0, le=86_400)] = Field(
        default=600,
        description="Seconds for which a call that a person denied is refused without asking.",
    )
    view_seconds: Annotated[int, Field(ge=0, le=60)] = Field(
        default=2,
        description="Seconds for which a person must have had a request's page before them for an "
        "approval to count.",
    )
    operators_group: str = Field(
        default="operators",
        description="The group of people.yaml whose members see the figures page.",
    )

    @model_validator(mode="after")
    def _no_secret_in_the_clear(self) -> Self:
        if (
            self.smtp_host is not None
            and self.smtp_security == "none"
            and not urls.is_loopback(self.smtp_host)
        ):
            raise ValueError(
                "ASSENT_SMTP_SECURITY=none is for an ASSENT_SMTP_HOST on this machine only"
            )
        if self.smtp_security == "none" and self.smtp_password is not None:
            raise ValueError(
                "ASSENT_SMTP_PASSWORD is sent over TLS only; set ASSENT_SMTP_SECURITY to starttls "
                "or tls, or unset ASSENT_SMTP_USERNAME and ASSENT_SMTP_PASSWORD"
            )
        return self

    @model_validator(mode="after")
    def _nothing_alone(self) -> Self:
        """Refuse a setting that does nothing, or fails later, without another one."""
        for name, needed in _NEEDS:
            if getattr(self, name) is not None and getattr(self, needed) is None:
                raise ValueError(
                    f"{_variable(name)} is set and needs {_variable(needed)}, which is not set"
                )
        return self

    @model_validator(mode="after")
    def _no_plain_http_for_others(self) -> Self:
        plain = self.url.startswith("http://") and not urls.is_loopback(self.host)
        if plain and not self.isolated:
            raise ValueError(
                f"ASSENT_HOST {self.host} is reachable from other machines, and ASSENT_URL is "
                "plain http: anybody on the way reads and changes what is decided; set an https "
                "address, "
                "or ASSENT_ISOLATED=true where only this machine reaches the port (a container's, "
                "published on 127.0.0.1)"
            )
        return self

    @model_validator(mode="after")
    def _token_for_metrics(self) -> Self:
        if (self.metrics == "token") != (self.metrics_token is not None):
            raise ValueError(
                "ASSENT_METRICS=token needs ASSENT_METRICS_TOKEN, and the other way round"
            )
        return self

    @model_validator(mode="after")
    def _patience_outlasts_the_interval(self) -> Self:
        if self.log_patience <= self.log_interval:
            raise ValueError("ASSENT_LOG_PATIENCE must be longer than ASSENT_LOG_INTERVAL")
        return self

    @field_validator("home", mode="after")
    @classmethod
    def _absolute_home(cls, home: Path) -> Path:
        return home.expanduser().absolute()

    @field_validator("url", mode="after")
    @classmethod
    def _origin_only(cls, url: str) -> str:
        return urls.origin(url).origin

    @field_validator("database", mode="after")
    @classmethod
    def _known_database(cls, database: SecretStr | None) -> SecretStr | None:
        return (
            None if database is None else SecretStr(read_database_url(database.get_secret_value()))
        )

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
        address = urls.read(self.url)
        return DEFAULT_PORT if address.is_tls else address.port

    @property
    def proxies(self) -> tuple[str, ...]:
        """The networks from which `X-Forwarded-For` is believed."""
        return values.listed(self.trusted_proxies)

    @property
    def rp_id(self) -> str:
        """The WebAuthn relying party: the host without its port."""
        return urls.read(self.url).host

    @property
    def is_local(self) -> bool:
        """Whether the service is one that only this machine reaches."""
        return urls.read(self.url).is_loopback

    @property
    def secure_cookies(self) -> bool:
        """Whether cookies carry `Secure`: always, save on loopback without TLS."""
        return self.url.startswith("https://")

    @property
    def log_origin(self) -> str:
        """The name under which the log's checkpoints are signed (C2SP tlog-checkpoint)."""
        return f"{urls.read(self.url).authority}/log"


def _variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"
