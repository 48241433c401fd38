"""The two routes that Slack calls: interactions and the slash command.

In this order: the body is whole and small; Slack signed it (`signature`); nobody has taken this
signature before; it is a form, read one way only. Whatever fails is 401 with one and the same
answer, and nothing has changed. Only then is it looked at (`interactions`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import orjson
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request  # noqa: TC002 - FastAPI reads the annotation
from starlette.responses import Response

from approvals.core import canonical
from approvals.core.errors import AdmissionError
from approvals.flow.deciding import clicks
from approvals.flow.service import DEFAULT_TENANT
from approvals.integrations.slack.client import web_client
from approvals.integrations.slack.interactions import Answer, Interactions
from approvals.integrations.slack.signature import SIGNATURE, TIMESTAMP, Signatures, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

    from approvals.flow.service import Service

INTERACTIONS: Final = "/slack/interactions"
COMMANDS: Final = "/slack/commands"
LARGEST: Final = 262_144
_MOST_FIELDS: Final = 40
_FORM: Final = "application/x-www-form-urlencoded"
_FORMS: Final = ([_FORM], [f"{_FORM}; charset=utf-8"])


def mount(app: FastAPI, service: Service) -> None:
    """Add the routes, if a signing secret and a bot token are set; otherwise there are none."""
    settings = service.settings
    if settings.slack_signing_secret is None or settings.slack_bot_token is None:
        return
    door = _Door(
        service,
        Signatures(settings.slack_signing_secret.get_secret_value()),
        Interactions(
            service,
            web_client(settings.slack_bot_token.get_secret_value(), settings.slack_api_url),
        ),
    )

    async def interactions(request: Request) -> Response:
        return await door.take(request, door.interaction)

    async def commands(request: Request) -> Response:
        return await door.take(request, door.command)

    # Not in the schema: these are Slack's to call, and documented by Slack.
    app.add_api_route(INTERACTIONS, interactions, methods=["POST"], include_in_schema=False)
    app.add_api_route(COMMANDS, commands, methods=["POST"], include_in_schema=False)


class _Door:
    """Lets in what Slack signed, once."""

    def __init__(
        self, service: Service, signatures: Signatures, interactions: Interactions
    ) -> None:
        self._service = service
        self._signatures = signatures
        self._interactions = interactions

    async def take(self, request: Request, work: Callable[[bytes], Answer]) -> Response:
        """Check a request and do the work, in a thread: both wait for the database."""
        body = await _body(request)

        def checked() -> Answer:
            digest = self._signatures.verify(
                timestamps=request.headers.getlist(TIMESTAMP),
                signatures=request.headers.getlist(SIGNATURE),
                body=body,
                now=lambda: self._service.recent_bundle(DEFAULT_TENANT)[1],
            )
            if not clicks.once(self._service, digest):
                raise refused()
            if request.headers.getlist("content-type") not in _FORMS:
                raise refused()
            return work(body)

        answer = await run_in_threadpool(checked)
        return Response(
            b"" if answer.body is None else orjson.dumps(answer.body),
            media_type=None if answer.body is None else "application/json",
            background=None if answer.then is None else BackgroundTask(answer.then),
        )

    def interaction(self, body: bytes) -> Answer:
        """A click or a form, which is JSON in the one field of a form."""
        fields = _fields(body)
        if fields.keys() != {"payload"}:
            raise refused()
        try:
            payload = canonical.parse_object(fields["payload"].encode(), max_bytes=LARGEST)
        except (AdmissionError, UnicodeEncodeError):
            raise refused() from None
        return self._interactions.interaction(payload)

    def command(self, body: bytes) -> Answer:
        """A slash command, which is a form."""
        return self._interactions.command(_fields(body))


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise AdmissionError("the body is too large", code="too_large")
    return bytes(body)


def _fields(body: bytes) -> dict[str, str]:
    """The fields of a form, none of them twice: two readers could take different ones."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise refused() from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise refused()
    return fields
