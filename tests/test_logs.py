"""Every log line is JSON, whoever writes it, and holds no value from anywhere."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest
import structlog

from approvals.logs import configure_logs

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "c4nary"


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    configure_logs()
    yield
    root.handlers[:] = before
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err
    return [json.loads(line) for line in said.err.splitlines()]


@pytest.mark.parametrize(
    "name",
    ["uvicorn.error", "apscheduler.executors", "sqlalchemy.pool", "asyncio", "slack_sdk", "other"],
)
def test_a_library_s_exception_is_told_without_its_message(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    def fails() -> None:
        raise ValueError(f"Key (person)=({SECRET}) already exists")

    try:
        fails()
    except ValueError:
        logging.getLogger(name).exception("Exception in ASGI application\n")
    (line,) = lines(capsys)
    assert line["level"] == "error"
    assert line["logger"] == name
    assert line["error"] == "ValueError"
    assert isinstance(line["where"], list)
    assert line["where"][-1].endswith(":fails")


def test_what_a_library_quotes_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("slack_sdk.web").warning("Received: %s", SECRET)
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: %s", SECRET)
    logging.getLogger("psycopg").warning("error ignored in rollback: %s", SECRET)
    first, second = lines(capsys)
    assert first["event"] == "library"
    assert second["event"] == "Task exception was never retrieved"


def test_what_a_server_library_does_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("uvicorn.error").warning("%s connections refused", 1)
    logging.getLogger("uvicorn.error").info("Started")
    (line,) = lines(capsys)
    assert line["event"] == "1 connections refused"


def test_configuring_twice_writes_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs()
    logging.getLogger("uvicorn.error").warning("once\ntwice")
    structlog.get_logger("ours").warning("ours", value="a\nb")
    assert [line["event"] for line in lines(capsys)] == ["once\ntwice", "ours"]
