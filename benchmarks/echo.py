"""The yardstick: an application that does nothing but take a JSON body and give it back."""

from typing import Annotated, Any

from fastapi import Body, FastAPI


def create_app() -> FastAPI:
    app = FastAPI()

    @app.post("/echo")
    async def echo(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        return body

    return app
