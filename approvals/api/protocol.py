"""HTTP/1.1 of one connection: uvicorn's reading of it, with limits below the parser.

The parser (llhttp) has no limit of its own: it keeps a header of any size, for as long as it takes.
So bytes are counted before it gets them.

What holds, before anything of a request is known to the application:
1. The head has at most `MAX_HEAD` bytes and arrives within `HEAD_SECONDS`; the time begins with the
   connection, and on one that is kept alive with the first byte of the next request.
2. What is around a body (chunk sizes, their extensions, trailers) is limited as well, to `MAX_HEAD`
   and `FRAMING` bytes for each byte of the body. Trailers are not kept.
3. A caller that does not read its answer is given up after `READ_SECONDS`.
4. At most `PIPELINE` requests wait behind the one that is answered.
5. A refusal is problem+json and is never written into another answer. Then the connection ends;
   what still arrives is read for `LINGER` seconds and thrown away, so that the refusal is seen.

Standards: RFC 9112; 408, 414 and 431 of RFC 9110 and RFC 6585.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from approvals.api.problems import problem

if TYPE_CHECKING:
    import asyncio

    from starlette.responses import Response

    from approvals.api.connections import Connections

MAX_HEAD: Final = 32 * 1024
MAX_URL: Final = 8 * 1024
HEAD_SECONDS: Final = 10.0
READ_SECONDS: Final = 30.0
LINGER: Final = 1.0
PIPELINE: Final = 8
FRAMING: Final = 16
_STEP: Final = 4096
_SAFE: Final = frozenset({"GET", "HEAD"})


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    head_seconds: float = HEAD_SECONDS
    read_seconds: float = READ_SECONDS

    # What has arrived of the present message: bytes of its head, or of what is around its body.
    _in_head = True
    _counted = 0
    _body = 0
    _refused = False
    _upgraded = False
    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    @property
    def _room(self) -> Connections:
        return cast("Connections", self.server_state)

    @property
    def is_answering(self) -> bool:
        """Whether a request is being answered, or its body still read."""
        return bool(self.cycle) and not self.cycle.response_complete

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place, or say that there is none."""
        super().connection_made(transport)
        if self._room.admit(self, self.client[0] if self.client else ""):
            self._expect_head()
        else:
            # At once: those who are refused must not add up to what the limit prevents.
            self._refused = True
            self._write(
                problem(503, "too_many_connections", "too many connections are open; try again")
            )
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Free what the connection held."""
        self._room.leave(self)
        self._stop_timers()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """Close behind a caller who has sent everything and was refused."""
        if self._refused:
            self.transport.close()

    def drop(self) -> None:
        """Close the connection at once, without an answer."""
        self._stop_timers()
        self.transport.abort()

    def give_up(self) -> None:
        """Answer what could not be answered in time because the service stops."""
        if not self.is_answering or self.cycle.response_started:
            self.drop()
            return
        self.cycle.disconnected = True  # whatever is still answered goes nowhere
        self.cycle.message_event.set()
        if self.cycle.more_body or self.cycle.scope["method"] in _SAFE:
            answer = problem(503, "stopping", "the service is being stopped; ask again")
        else:
            answer = problem(
                503,
                "outcome_unknown",
                "the service was stopped while it did this: it may have been done or not; "
                "ask again with the same key to find out",
            )
        self._write(answer)
        self.transport.close()

    # What arrives

    def data_received(self, data: bytes) -> None:
        """Hand bytes to the parser, a few at a time, for as long as the limits hold."""
        if self._refused or self._upgraded:
            return
        self._unset_keepalive_if_required()
        if self._in_head and self._late is None:
            self._expect_head()
        offset = 0
        while offset < len(data):
            if self.transport.is_closing():
                return
            step = _STEP
            if self._in_head:
                step = min(step, MAX_HEAD - self._counted)
                if step <= 0:
                    self._too_long()
                    return
            part = data[offset : offset + step]
            offset += len(part)
            if not self._parse(part):
                return
            self._counted += len(part)
            if not self._in_head and self._counted > MAX_HEAD + FRAMING * self._body:
                self._too_long()
                return
            if len(self.pipeline) > PIPELINE:
                self.drop()
                return

    def _parse(self, part: bytes) -> bool:
        try:
            self.parser.feed_data(part)
        except httptools.HttpParserUpgrade:
            # No other protocol is spoken here: the request is answered, and nothing after it read.
            self._upgraded = True
            if self.cycle is not None:
                self.cycle.keep_alive = False
            return False
        except httptools.HttpParserError:
            if not self._refused:
                self._refuse(problem(400, "not_http", "this is not a request of HTTP/1.1"))
            return False
        return True

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        """Add to the address, unless it is too long already."""
        if len(self.url) + len(url) > MAX_URL:
            self._refuse(problem(414, "uri_too_long", "the address is too long"))
            raise ValueError  # ends the parser's work on what has arrived
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header; trailers are not kept."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._in_head = False
        self._counted = self._body = 0
        self._stop_waiting_for_head()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self._counted -= len(body)
        self._body += len(body)
        self._room.arriving(self, len(body))
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._in_head = True
        self._counted = self._body = 0
        self._room.whole(self)
        super().on_message_complete()

    # What goes out

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the last bytes to be taken."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._give_up_unread()
        elif not self.pipeline and not self.is_answering:
            self._room.again(self)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, also where its last answer was not read."""
        if self.transport.get_write_buffer_size():
            self.drop()
        else:
            super().timeout_keep_alive_handler()

    def pause_writing(self) -> None:
        """Stop writing to a caller who does not read, and wait for so long."""
        super().pause_writing()
        self._give_up_unread()

    def resume_writing(self) -> None:
        """Go on writing."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _give_up_unread(self) -> None:
        if self._unread is None:
            self._unread = self.loop.call_later(self.read_seconds, self.drop)

    # Refusals

    def _expect_head(self) -> None:
        self._late = self.loop.call_later(self.head_seconds, self._too_late)

    def _stop_waiting_for_head(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _stop_timers(self) -> None:
        self._stop_waiting_for_head()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _too_late(self) -> None:
        self._late = None
        if self._counted:
            self._refuse(
                problem(408, "slow_head", "the head of the request did not arrive in time")
            )
        else:
            self.drop()  # nothing was asked, so nothing is answered

    def _too_long(self) -> None:
        self._refuse(
            problem(431, "head_too_large", f"the head of a request has at most {MAX_HEAD} bytes")
        )

    def _refuse(self, answer: Response) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        self._stop_timers()
        if self.is_answering:
            # Inside another answer a refusal would be taken for a part of it.
            self.transport.abort()
            return
        self._write(answer)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._late = self.loop.call_later(LINGER, self.transport.abort)

    def _write(self, answer: Response) -> None:
        headers = [*answer.raw_headers, (b"connection", b"close")]
        lines = [STATUS_LINE[HTTPStatus(answer.status_code)]]
        lines += [
            b"%s: %s\r\n" % header for header in [*self.server_state.default_headers, *headers]
        ]
        self.transport.write(b"".join([*lines, b"\r\n", bytes(answer.body)]))
