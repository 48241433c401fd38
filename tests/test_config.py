"""Settings: safe defaults, one origin, errors that name the variable and never the password."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from approvals.cli.application import run
from approvals.config import OTHERS, Settings, load
from approvals.core.errors import AssentError

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))


def refused(**options: Any) -> AssentError:
    with pytest.raises(AssentError) as caught:
        load(**options)
    assert caught.value.code == "config"
    return caught.value


def test_without_any_setting_it_is_one_machine_on_sqlite(tmp_path: Path) -> None:
    settings = load()
    assert settings.home == tmp_path / ".local/share/assent"
    assert settings.database_url == f"sqlite:///{tmp_path}/.local/share/assent/assent.db"
    assert settings.host == "127.0.0.1"
    assert settings.url == "http://localhost:8420"
    assert settings.rp_id == "localhost"
    assert settings.log_origin == "localhost:8420/log"
    assert not settings.secure_cookies


def test_the_address_has_one_name() -> None:
    """Would catch a second member that can be given another meaning in one place of two."""
    settings = load(url="https://assent.example:8443")
    computed = {it for it, what in vars(Settings).items() if isinstance(what, property)}
    said = computed | set(Settings.model_fields)
    assert {it for it in said if getattr(settings, it) == settings.url} == {"url"}


def test_the_environment_is_read_when_asked_and_an_option_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ASSENT_URL", "https://assent.example/")
    monkeypatch.setenv("ASSENT_PORT", "9000")
    monkeypatch.setenv("ASSENT_DATABASE", "")
    settings = load(port=9001, url=None)
    assert settings.url == "https://assent.example"
    assert settings.port == 9001
    assert settings.database is None
    assert settings.secure_cookies


@pytest.mark.parametrize(
    ("written", "origin", "rp_id", "log_origin"),
    [
        ("https://assent.example", "https://assent.example", "assent.example", None),
        ("https://Assent.Example:443/", "https://assent.example", "assent.example", None),
        ("https://a.example:8443", "https://a.example:8443", "a.example", "a.example:8443/log"),
        ("http://localhost:80", "http://localhost", "localhost", None),
        ("http://127.0.0.1:8420", "http://127.0.0.1:8420", "127.0.0.1", "127.0.0.1:8420/log"),
        ("http://[::1]:8420", "http://[::1]:8420", "::1", "[::1]:8420/log"),
    ],
)
def test_the_url_becomes_an_origin_as_a_browser_writes_it(
    written: str, origin: str, rp_id: str, log_origin: str | None
) -> None:
    settings = load(url=written)
    assert settings.url == origin
    assert settings.rp_id == rp_id
    assert settings.log_origin == (log_origin or f"{rp_id}/log")


@pytest.mark.parametrize(
    "url",
    [
        "http://assent.example",
        "http://localhost.example",
        "http://127.0.0.1.example",
        "http://10.0.0.1",
        "ftp://localhost",
        "localhost:8420",
        "//localhost",
        "https://",
        "https://user@assent.example",
        "https://user:secret@assent.example",
        "https://assent.example/path",
        "https://assent.example?",
        "https://assent.example?query",
        "https://assent.example/#part",
        "https://assent.example:port",
        "https://assent.example:70000",
        "https://assent .example",
        "https://assent.example\n",
        "https://ässent.example",
        "https://[::1",
        "",
    ],
)
def test_a_url_that_is_no_safe_origin_is_refused(url: str) -> None:
    assert refused(url=url).place == "ASSENT_URL"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("postgresql://u:p@db/assent", "postgresql+psycopg://u:p@db/assent"),
        ("postgres://u:p@db/assent", "postgresql+psycopg://u:p@db/assent"),
        ("postgresql+psycopg://db/assent", "postgresql+psycopg://db/assent"),
        ("sqlite:////var/lib/assent.db", "sqlite:////var/lib/assent.db"),
    ],
)
def test_databases_are_written_as_sqlalchemy_names_them(written: str, read: str) -> None:
    assert load(database=written).database_url == read


@pytest.mark.parametrize("url", ["mysql://u:hush@db/a", "sqlite:///", "hush", "sqlite://hush"])
def test_another_database_is_refused_without_showing_its_password(url: str) -> None:
    error = refused(database=url)
    assert error.place == "ASSENT_DATABASE"
    assert "hush" not in str(error)
    assert "hush" not in repr(error.__cause__)
    assert error.__suppress_context__


def test_an_sqlite_file_is_named_by_its_absolute_path(tmp_path: Path) -> None:
    for written in ("sqlite:///rel.db", "sqlite:///./rel.db"):
        assert "sqlite:////absolute/file" in refused(database=written).message
    assert load(database=f"sqlite:///{tmp_path}/a.db").database_url == f"sqlite:///{tmp_path}/a.db"


def test_no_representation_shows_the_password() -> None:
    settings = load(database="postgresql://u:hush@db/assent")
    assert "hush" not in repr(settings)
    assert "hush" not in str(settings)
    assert "hush" not in settings.model_dump_json()


@pytest.mark.parametrize(
    "options",
    [
        {"approval_life": 901},
        {"approval_life": 0},
        {"statement_life": 301},
        {"skew": 31},
        {"skew": -1},
        {"port": 0},
        {"port": "http"},
        {"max_bytes": 0},
        {"log_interval": 0},
        {"log_interval": "nan"},
        {"session_life": 1},
        {"invitation_life": -5},
    ],
)
def test_a_value_out_of_its_range_is_refused_by_name(options: Mapping[str, object]) -> None:
    (name,) = options
    assert refused(**options).place == f"ASSENT_{name.upper()}"


def test_a_misspelt_option_is_refused() -> None:
    assert refused(prot=1).place == "prot"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ASSENT_OPEN_PER_AGNET", "ASSENT_OPEN_PER_AGENT"),
        ("ASSENT_VIEW_SECOND", "ASSENT_VIEW_SECONDS"),
        ("assent_urll", "ASSENT_URL"),
        ("ASSENT_QXZ", None),
        ("ASSENT_TOKEN", None),
        ("ASSENT_LOG_LEVEL", None),
    ],
)
def test_a_misspelt_variable_is_refused_and_the_right_one_named(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str | None
) -> None:
    monkeypatch.setenv(name, "1")
    error = refused()
    assert error.place == name
    hint = f"; did you mean {meant}?" if meant else ""
    assert error.message == f"there is no such setting{hint}"


@pytest.mark.parametrize(
    "name", ["ASSENT_SERVICE_HOST", "ASSENT_PORT_8420_TCP_ADDR", "ASSENT_KEY_FILE", "ASSENT_BUNDLE"]
)
def test_variables_of_others_are_not_settings(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "10.0.0.1")
    assert load().host == "127.0.0.1"


def test_the_guards_variables_are_known_to_the_service() -> None:
    text = (Path(__file__).parents[1] / "approvals/guard/environment.py").read_text("utf-8")
    settings = {f"ASSENT_{name.upper()}" for name in Settings.model_fields}
    guards = set(re.findall(r'"(ASSENT_[A-Z_]+)"', text)) - {"ASSENT_"}
    assert guards <= OTHERS | settings
    assert len(guards) > 8


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1"])  # noqa: S104 - refused
def test_plain_http_is_for_loopback_alone(host: str) -> None:
    assert "ASSENT_ISOLATED" in refused(host=host).message
    assert load(host=host, isolated=True).host == host
    assert load(host=host, url="https://assent.example").host == host


def test_a_patience_that_is_over_before_the_next_checkpoint_is_refused() -> None:
    assert "ASSENT_LOG_PATIENCE" in refused(log_patience=30, log_interval=30).message


MAIL = {"smtp_host": "mail.example"}
LONG_SECRET = "8f742231b10e8888"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"slack_app_token": "xapp-1"}, ("SLACK_APP_TOKEN", "SLACK_BOT_TOKEN")),
        ({"slack_signing_secret": LONG_SECRET}, ("SLACK_SIGNING_SECRET", "SLACK_BOT_TOKEN")),
        ({"smtp_username": "u"}, ("SMTP_USERNAME", "SMTP_HOST")),
        ({"smtp_password": "p"}, ("SMTP_PASSWORD", "SMTP_HOST")),
        (MAIL | {"smtp_username": "u"}, ("SMTP_USERNAME", "SMTP_PASSWORD")),
        (MAIL | {"smtp_password": "p"}, ("SMTP_PASSWORD", "SMTP_USERNAME")),
        (MAIL | {"smtp_security": "none"}, ("SMTP_SECURITY", "SMTP_HOST")),
        (
            {
                "smtp_host": "127.0.0.1",
                "smtp_security": "none",
                "smtp_username": "u",
                "smtp_password": "p",
            },
            ("SMTP_PASSWORD", "SMTP_SECURITY"),
        ),
        ({"metrics": "token"}, ("METRICS=token", "METRICS_TOKEN")),
        ({"metrics_token": LONG_SECRET}, ("METRICS=token", "METRICS_TOKEN")),
    ],
    ids=str,
)
def test_a_setting_that_does_nothing_without_another_is_refused_and_both_are_named(
    options: Mapping[str, object], named: tuple[str, str]
) -> None:
    message = refused(**options).message
    assert all(f"ASSENT_{name}" in message for name in named), message
    assert LONG_SECRET not in message


def test_settings_that_belong_together_are_taken_together() -> None:
    settings = load(
        **MAIL,
        smtp_username="u",
        smtp_password="p",
        slack_bot_token="xoxb-1",
        slack_app_token="xapp-1",
        slack_signing_secret=LONG_SECRET,
    )
    assert settings.smtp_username == "u"


def test_a_service_whose_settings_do_not_fit_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ASSENT_SLACK_APP_TOKEN", "xapp-1")
    assert run(["serve"]) == 2
    said = capsys.readouterr()
    assert "ASSENT_SLACK_BOT_TOKEN" in said.err
    assert "Assent serves" not in said.out


def test_every_setting_is_described_and_has_a_default() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert not field.is_required(), name


def test_a_home_under_the_users_folder_is_found(tmp_path: Path) -> None:
    assert load(home="~/assent").home == tmp_path / "assent"
    assert load(home="here").home == Path.cwd() / "here"


@pytest.mark.parametrize("secret", ["", " ", "changeme"])
def test_a_signing_secret_that_can_be_guessed_opens_no_routes(secret: str) -> None:
    error = refused(slack_signing_secret=secret)
    assert error.place == "ASSENT_SLACK_SIGNING_SECRET"
    assert not secret.strip() or secret not in str(error)


SECRET = "c4nary"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:x@{SECRET}@h/db",
        f"postgresql://u:x#{SECRET}@h/db",
        f"postgresql://u:x%zz{SECRET}@h/db",
        f"postgresql://u:{SECRET}@h:{SECRET}/db",
        f"postgresql://u:{SECRET}@h:99999/db",
        f"postgresql://u:{SECRET}@[::1/db",
        f"postgresql://u:p@h,{SECRET}/db",
        f"postgresql://u:{SECRET} x@h/db",
        f"postgresql://u:{SECRET}\n@h/db",
        f"postgresql://u:p@h/db?password=a&{SECRET}=b",
        f"postgresql://u:{SECRET}@h/db?sslmod=require",
        f"postgresql+psycopg2://u:{SECRET}@h/db",
        f"postgres:/u:{SECRET}@h/db",
        f"mysql://u:{SECRET}@h/db",
        f"sqlite:///{SECRET}?mode=ro",
        f"sqlite://{SECRET}",
        SECRET,
    ],
)
def test_a_database_url_that_cannot_be_read_is_refused_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    monkeypatch.setenv("ASSENT_DATABASE", url)
    monkeypatch.setenv("PGPASSWORD", SECRET)
    error = refused()
    assert error.place == "ASSENT_DATABASE"
    assert SECRET not in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__
    for json in ([], ["--json"]):
        assert run(["log", "check", *json]) == 2
    said = capsys.readouterr()
    assert "ASSENT_DATABASE" in said.out
    assert "ASSENT_DATABASE" in said.err
    assert SECRET not in said.out + said.err


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:x%40y@h/db",
        "postgresql://u:x/y@h/db",
        "postgresql://u:p@[::1]:5432/db",
        "postgresql:///db?host=/var/run/postgresql",
        "postgresql:///db?host=h1:5432&host=h2:5432",
        "postgresql://h/db?sslmode=require&options=-csearch_path%3Dx&connect_timeout=3",
    ],
)
def test_a_database_url_that_can_be_read_is_taken(url: str) -> None:
    assert load(database=url).database_url == url.replace("postgresql", "postgresql+psycopg", 1)


def test_a_database_that_cannot_be_reached_shows_no_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("ASSENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PGPASSWORD", SECRET)
    assert run(["init"]) == 0
    for url in (
        f"postgresql://{SECRET}:{SECRET}@127.0.0.1:1/db",
        f"postgresql://u@127.0.0.1:1/db?password={SECRET}",
        f"postgresql://u:{SECRET}@no-such-host.invalid/db",
    ):
        monkeypatch.setenv("ASSENT_DATABASE", url)
        for command in (["log", "check"], ["people", "list"], ["serve", "--port", "0"]):
            assert run(command) != 0
            assert run([*command, "--json"]) != 0
    said = capsys.readouterr()
    assert "cannot be reached" in said.err
    assert "127.0.0.1:1/db" in said.err
    assert SECRET not in said.out + said.err
