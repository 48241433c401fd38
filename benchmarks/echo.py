"""The yardstick: an application that does nothing but take a JSON body and give it back.

Its route is a plain function, as FastAPI's first page has it and as the service's own are, so it
too is run in the thread pool: `/echo`. What a coroutine would do is shown beside it: `/aecho`.
"""

from typing import Annotated, Any

from fastapi import Body, FastAPI


def create_app() -> FastAPI:
    app = FastAPI()

    @app.post("/echo")
    def echo(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        return body

    @app.post("/aecho")
    async def aecho(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        return body

    return app
