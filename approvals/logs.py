"""Logs: JSON, one event a line, without values of calls or people, also from libraries.

The service's own events have only members that may be logged. Libraries use the standard library's
loggers, and quote values: a statement's parameters, a server's "Key (name)=(value)", a callback's
payload. So an exception of a library is logged by its type and place, without its message. The text
of a log line is kept only for libraries that are known to write no values.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import TYPE_CHECKING, Final, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from types import TracebackType

    from structlog.types import EventDict, Processor

    ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]

SPEAKING: Final = ("uvicorn", "alembic")
"""Libraries whose messages tell what they do, and not what with."""

FIRST_LINE: Final = ("asyncio",)
"""Its first line says what happened; the ones below hold the repr of whatever it happened to."""

FRAMES: Final = 8


_SHARED: Final[tuple[Processor, ...]] = (
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)

# One list, however often logs are configured: loggers that were used before keep it.
_PROCESSORS: Final[list[Processor]] = [
    structlog.contextvars.merge_contextvars,
    *_SHARED,
    structlog.processors.JSONRenderer(),
]


class _Output(logging.StreamHandler[TextIO]):
    """Writes to what standard error is now, not to what it was when logs were configured."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _value: TextIO) -> None:
        pass


class _Line:
    """Writes one of our own lines to what standard error is now."""

    def msg(self, line: str) -> None:
        sys.stderr.write(line + "\n")

    debug = info = warning = error = critical = msg


def configure_logs() -> None:
    """Write all logs as JSON to standard error, one event a line: no value looks like another line.

    Standard output is for what a command answers, which programs read.
    """
    structlog.configure(
        processors=_PROCESSORS,
        logger_factory=lambda *_: _Line(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=False,
    )
    output = _Output()
    output.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.add_logger_name],
            processors=[
                _without_values,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _Output)]:
        root.removeHandler(handler)
    root.addHandler(output)
    root.setLevel(logging.WARNING)
    # psycopg says twice, and with the server's words, what the store says in its own.
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)


def frames(error: BaseException) -> list[str]:
    """Name the frames of a traceback and nothing that was in them."""
    found = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    return [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}:{frame.name}" for frame in found]


def _without_values(
    _logger: logging.Logger, _method: str, told: MutableMapping[str, object]
) -> EventDict:
    record = told["_record"]
    if not isinstance(record, logging.LogRecord):
        raise structlog.DropEvent
    said = str(told.get("event", ""))
    library = record.name.partition(".")[0]
    kept: dict[str, object] = {
        name: told[name] for name in ("level", "timestamp", "logger", "_record") if name in told
    }
    kept["_from_structlog"] = told.get("_from_structlog", False)
    if library in SPEAKING:
        kept["event"] = said.strip()
    elif library in FIRST_LINE:
        kept["event"] = said.partition("\n")[0].strip()
    else:
        kept["event"] = "library"
        kept["at"] = f"{record.module}:{record.lineno}:{record.funcName}"
    raised = told.get("exc_info")
    error = raised[1] if isinstance(raised, tuple) else None
    if isinstance(error, BaseException):
        kept["error"] = type(error).__name__
        kept["where"] = frames(error)
    return kept
