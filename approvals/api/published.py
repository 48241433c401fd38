"""What verifiers fetch: keys, the directory of approvers' keys, and where everything is."""

import time
from typing import Final

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from approvals.api import wire
from approvals.api.bodies import answer
from approvals.api.routes import aside, caller_only, raw, refusals, room
from approvals.api.waiting import MAX_WAIT
from approvals.core.approval import TOKEN_TYPE
from approvals.flow.people.directory import directory_for

router = APIRouter(tags=["published"])

DIRECTORY_TYPE: Final = "application/assent-directory+jwt"
JWKS_TYPE: Final = "application/jwk-set+json"
# Shorter than any sensible rotation delay: a key is published long before it signs.
_PUBLIC: Final = {"Cache-Control": "public, max-age=60"}


@router.get(
    "/.well-known/jwks.json",
    operation_id="approvalKeys",
    responses={
        200: {
            "description": "The public keys that approvals are signed with (RFC 7517).",
            **raw(
                JWKS_TYPE,
                {
                    "type": "object",
                    "required": ["keys"],
                    "properties": {"keys": {"type": "array", "items": {"type": "object"}}},
                },
            ),
        },
        **refusals(),
    },
)
@aside
def approval_keys(request: Request) -> Response:
    """The keys, each published before it signs and until its last approval is dead."""
    keys = room(request).service.keys.jwks(int(time.time()))
    return Response(orjson.dumps(keys), headers=_PUBLIC, media_type=JWKS_TYPE)


@router.get(
    "/.well-known/jwks-history.json",
    operation_id="approvalKeysHistory",
    responses={
        200: {
            "description": "Every key that signs approvals or ever did, with `nbf` and `exp`.",
            **raw(
                JWKS_TYPE,
                {
                    "type": "object",
                    "required": ["keys"],
                    "properties": {"keys": {"type": "array", "items": {"type": "object"}}},
                },
            ),
        },
        **refusals(),
    },
)
@aside
def approval_keys_history(request: Request) -> Response:
    """The keys, retired ones too: for whoever honours the time that each of them has."""
    keys = room(request).service.keys.history()
    return Response(orjson.dumps(keys), headers=_PUBLIC, media_type=JWKS_TYPE)


@router.get(
    "/.well-known/assent-configuration",
    operation_id="configuration",
    responses={
        200: {"description": "Where things are.", "model": wire.Configuration},
        **refusals(),
    },
)
@aside
def configuration(request: Request) -> Response:
    """The issuer, the endpoints, the log's identity and the algorithms."""
    service = room(request).service
    url = service.settings.url
    return answer(
        wire.Configuration(
            issuer=url,
            jwks_uri=f"{url}/.well-known/jwks.json",
            jwks_history_uri=f"{url}/.well-known/jwks-history.json",
            submission_endpoint=f"{url}/v1/calls",
            requests_endpoint=f"{url}/v1/requests",
            approvals_endpoint=f"{url}/v1/approvals",
            people_keys_endpoint=f"{url}/v1/people/keys",
            log=wire.LogIdentity(
                url=f"{url}/log", origin=service.keys.origin, vkey=service.keys.vkey
            ),
            webhook_public_key=service.keys.webhook_public_key,
            approval_types_supported=[TOKEN_TYPE],
            signing_alg_values_supported=["ES256"],
            max_body_bytes=service.settings.max_bytes,
            max_wait_seconds=MAX_WAIT,
        ),
        headers=_PUBLIC,
    )


@router.get(
    "/v1/people/keys",
    operation_id="peopleKeys",
    responses={
        200: {
            "description": "The signed directory of approvers' keys, a compact JWS.",
            **raw(DIRECTORY_TYPE, {"type": "string"}),
        },
        **refusals(401),
    },
    openapi_extra=caller_only(),
)
def people_keys(request: Request) -> Response:
    """Who may approve with which passkeys; names of people are for enforcers only."""
    here = room(request)
    caller = here.callers.of(request)
    token = directory_for(here.service, caller)
    return Response(token, media_type=DIRECTORY_TYPE)
