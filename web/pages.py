"""Templates: how a page is put together.

What holds: everything is escaped unless this package made it as markup (`marks`), and a name
that a template uses but nobody gave is an error, not an empty space on a page where people decide.
"""

import time
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from approvals.web import marks, times

FOLDER = Path(__file__).parent


def environment() -> Environment:
    """The templates with their filters."""
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(marked=marks.marked, iso=times.iso, clock=times.clock, span=times.span)
    return made


_TEMPLATES = environment()


def page(template: str, *, status: int = 200, **names: object) -> HTMLResponse:
    """The page as an answer."""
    return HTMLResponse(rendered(template, names), status_code=status)


def rendered(template: str, names: Mapping[str, object]) -> str:
    """The page as text. Every page knows the time, and whose it is (None: nobody's)."""
    given = {"now": int(time.time()), "person": None, "here": "", **names}
    return _TEMPLATES.get_template(template).render(given)
