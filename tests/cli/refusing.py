"""A service that does not start."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def refused(assent: Shell, code: str) -> None:
    """Every command that would write or serve ends with this code, and says what to do."""
    for command in (["init"], ["serve"], ["people", "invite", "ada"], ["keys", "rotate"]):
        ended = assent(*command, "--json")
        assert (ended.code, ended.error["code"]) == (2, code), command
        assert len(ended.error["message"]) > 30
