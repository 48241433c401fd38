from __future__ import annotations

from typing import Any

import pytest

from tests.slack.limits import Refused, check_blocks

SECTION: dict[str, Any] = {"type": "section", "text": {"type": "plain_text", "text": "x"}}
BUTTON: dict[str, Any] = {
    "type": "button",
    "action_id": "a",
    "text": {"type": "plain_text", "text": "x"},
}


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        "blocks",
        [SECTION] * 51,
        [{"type": "carousel"}],
        [{"type": "section"}],
        [{"type": "section", "text": {"type": "plain_text", "text": ""}}],
        [{"type": "section", "text": {"type": "plain_text", "text": "x" * 3001}}],
        [{"type": "section", "text": {"type": "plain_text", "text": "\U0001d4b3" * 1501}}],
        [{"type": "section", "text": {"type": "html", "text": "x"}}],
        [{"type": "section", "text": {"type": "plain_text", "text": "x", "verbatim": True}}],
        [{"type": "section", "fields": [SECTION["text"]] * 11}],
        [{"type": "section", "fields": [{"type": "plain_text", "text": "x" * 2001}]}],
        [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}],
        [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}],
        [{"type": "context", "elements": [SECTION["text"]] * 11}],
        [{"type": "actions", "elements": [BUTTON] * 26}],
        [{"type": "actions", "elements": [BUTTON, BUTTON]}],
        [
            {
                "type": "actions",
                "elements": [{**BUTTON, "text": {"type": "plain_text", "text": "x" * 76}}],
            }
        ],
        [{"type": "actions", "elements": [{**BUTTON, "action_id": "x" * 256}]}],
        [{"type": "actions", "elements": [{**BUTTON, "value": "x" * 2001}]}],
        [{"type": "actions", "elements": [{**BUTTON, "url": "javascript:alert(1)"}]}],
        [{"type": "actions", "elements": [{**BUTTON, "url": "https://x.example/" + "x" * 3000}]}],
        [{**SECTION, "block_id": "same"}, {**SECTION, "block_id": "same"}],
        [{"type": "section", "text": {"type": "plain_text", "text": "x" * 2900}}] * 5,
    ],
    ids=range(24),
)
def test_the_counterpart_refuses_what_slack_refuses(wrong: Any) -> None:
    with pytest.raises(Refused):
        check_blocks(wrong)
