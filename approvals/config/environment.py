"""Reading the settings from the environment.

Every setting is an environment variable with the prefix `ASSENT_` (`ASSENT_URL` sets `url`);
the command line hands its options to `load`, and an option wins over the environment.

What holds: nothing is read when this module is imported; a value that makes no sense stops the
start with the name of its variable and the code `config`.
"""

from __future__ import annotations

import difflib
import os
import re
from typing import Any, Final

from pydantic import ValidationError

from approvals.config.settings import PREFIX, Settings
from approvals.core.errors import AssentError

OTHERS: Final = frozenset(
    f"{PREFIX}{name}"
    for name in (
        "AGENT",
        "BUNDLE",
        "ENFORCER",
        "FLOOR_FILE",
        "JWKS_FILE",
        "KEY_FILE",
        "PEOPLE_FILE",
        "PEOPLE_MAX_AGE",
        "PEOPLE_NEWEST_FILE",
        "TENANT",
        "UNATTENDED",
        "USER",
        "WAIT",
    )
)
"""Variables of the guard and of docker-compose.yml, which may stand beside the service's."""
_NEARLY: Final = 0.85
_KUBERNETES: Final = re.compile(r"ASSENT_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_\w+)", re.ASCII)


def load(**options: Any) -> Settings:
    """Read the environment, with `options` (those not None) in front of it.

    Raises:
        AssentError: code `config`; the place is the variable that is wrong.
    """
    _check_variables()
    given = {name: value for name, value in options.items() if value is not None}
    unknown = sorted(given.keys() - Settings.model_fields.keys())
    if unknown:
        raise AssentError("there is no such setting", code="config", place=unknown[0])
    try:
        return Settings(**given)
    except ValidationError as error:
        # Only place and message: pydantic's own text may quote the input, a password with it.
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = f"{PREFIX}{str(first['loc'][0]).upper()}" if first["loc"] else "settings"
        message = first["msg"].removeprefix("Value error, ")
        raise AssentError(message, code="config", place=place) from None


def _check_variables() -> None:
    """Refuse a variable that looks like a setting and is none: a safeguard would silently be off.

    Variables that Kubernetes makes for a service of that name are passed over.
    """
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | OTHERS
    for name in sorted(os.environ):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in known or _KUBERNETES.fullmatch(upper):
            continue
        near = difflib.get_close_matches(upper, sorted(known), n=1, cutoff=_NEARLY)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise AssentError(f"there is no such setting{hint}", code="config", place=name)
