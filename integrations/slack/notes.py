"""Everything else that people see in Slack: notes, the deny form, the list, short answers.

As in `blocks`, all text that is not this service's own stands escaped in plain_text objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, assert_never

from approvals.flow.deciding.vote import LONGEST_REASON
from approvals.flow.telling.outbox import NoticeKind
from approvals.integrations.slack.blocks import DENY, FACT, Block, link, moment, small
from approvals.integrations.slack.text import TEXT_LIMIT, Fitted, fit, fit_lines, own_words, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.flow.deciding.look import RequestCard

REASON: Final = "reason"
LISTED: Final = 10
_NOT_YOU: Final = "If that was not you, tell whoever runs this service now."


def note(kind: NoticeKind, lines: Sequence[str], url: str) -> dict[str, Any]:
    """A message about the person's own affairs: a new passkey, a linked account, the day's sum."""
    heading, sentence = _own_affairs(kind)
    text = fit_lines(
        [*([sentence] if sentence else []), *(fit(line, FACT).text for line in lines)], TEXT_LIMIT
    ).text
    return {
        "text": f"{heading}. {text}",
        "blocks": [
            {"type": "header", "text": plain(heading)},
            {"type": "section", "text": plain(text or heading)},
            small(own_words(link(url, "Open the page"))),
        ],
    }


def _own_affairs(kind: NoticeKind) -> tuple[str, str]:
    match kind:
        case NoticeKind.PASSKEY_ENROLLED:
            return (
                "A passkey was added for you",
                f"It can sign you in and decide for you. {_NOT_YOU}",
            )
        case NoticeKind.PASSKEY_REVOKED:
            return (
                "A passkey of yours ended",
                f"It can neither sign you in nor decide any more. {_NOT_YOU}",
            )
        case NoticeKind.ACCOUNT_UNLINKED:
            return (
                "A chat account is no longer linked to you",
                f"A click there no longer counts as yours. {_NOT_YOU}",
            )
        case NoticeKind.ACCOUNT_LINKED:
            return (
                "A chat account was linked to you",
                f"It can deny, and approve where the rule asks for no passkey. {_NOT_YOU}",
            )
        case NoticeKind.DIGEST:
            return "Your requests", ""
        case NoticeKind.REQUEST | NoticeKind.REMINDER:
            return "A request waits for you", "The page shows it."
        case _:
            assert_never(kind)


def deny_form(request_id: str) -> dict[str, Any]:
    """The modal that asks for the reason; it carries the request's id and nothing else."""
    return {
        "type": "modal",
        "callback_id": DENY,
        "private_metadata": request_id,
        "title": plain("Deny"),
        "submit": plain("Deny"),
        "close": plain("Cancel"),
        "blocks": [
            {
                "type": "input",
                "block_id": REASON,
                "optional": True,
                "label": plain("Reason"),
                "hint": plain("The agent is told this."),
                "element": {
                    "type": "plain_text_input",
                    "action_id": REASON,
                    "multiline": True,
                    "max_length": LONGEST_REASON,
                },
            }
        ],
    }


def say(sentence: str) -> dict[str, Any]:
    """A sentence for the person who clicked or typed, and nobody else."""
    return {
        "response_type": "ephemeral",
        "replace_original": False,
        "text": sentence,
        "blocks": [{"type": "section", "text": plain(sentence)}],
    }


def waiting(cards: Sequence[RequestCard], *, page: str, address: str) -> dict[str, Any]:
    """The list of what waits; `page` is the inbox, `address` what a request's id is added to."""
    if not cards:
        return say("Nothing waits for your decision.")
    blocks: list[Block] = [{"type": "header", "text": plain("Waiting for your decision")}]
    for card in cards[:LISTED]:
        lines = (
            card.title,
            f"{card.agent} asks for {card.user} at {card.target}",
            card.fingerprint,
        )
        blocks += [
            {"type": "section", "text": plain("\n".join(fit(each, FACT).text for each in lines))},
            small(
                own_words(
                    f"{link(f'{address}{card.id}', 'Open request')} · "
                    f"waits until {moment(card.expires)}"
                )
            ),
        ]
    listed = Fitted("", min(len(cards), LISTED), len(cards))
    if listed.missing:
        blocks.append(small(plain(f"Requests {listed.missing}.")))
    blocks.append(small(own_words(link(page, "Open the inbox"))))
    return {
        "response_type": "ephemeral",
        "text": f"Waiting for your decision: {len(cards)}",
        "blocks": blocks,
    }
