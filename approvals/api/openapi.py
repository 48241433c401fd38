"""The OpenAPI document.

Complete, because every route lists every answer; true, because tests hold the service against it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from approvals.api import wire
from approvals.api.routes import SECURITY

if TYPE_CHECKING:
    from fastapi import FastAPI

_REF: Final = "#/components/schemas/{model}"
_READ_RAW: Final = (wire.Submission, wire.Consumption, wire.OutcomeReport)


def document(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        components = made.setdefault("components", {})
        # Bodies are read from their bytes, so the framework does not know their types.
        _, models = models_json_schema(
            [*((model, "validation") for model in _READ_RAW), (wire.Problem, "serialization")],
            ref_template=_REF,
        )
        components.setdefault("schemas", {}).update({**models["$defs"], "Json": wire.JSON_SCHEMA})
        components["securitySchemes"] = {
            SECURITY: {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "A JWT that the enforcer signs itself (RFC 7523): iss = sub = the "
                "enforcer's id, aud = the service, exp at most five minutes after iat, jti.",
            }
        }
        _forget_framework_errors(made)
        app.openapi_schema = made
    return app.openapi_schema


def _forget_framework_errors(made: dict[str, Any]) -> None:
    """Take out the framework's own 422, which no route answers with: `problems` sees to that."""
    for operations in made["paths"].values():
        for operation in operations.values():
            content = operation["responses"].get("422", {}).get("content", {})
            if "application/json" in content:
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        made["components"]["schemas"].pop(name, None)
