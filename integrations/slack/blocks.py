"""What the message about a request looks like: Block Kit, made from a brief and nothing else.

What holds:

- The payload is in plain_text objects alone, each line of a value behind a bar, so that no value
  can pass for a label, a button or a sentence of this service.
- Nothing is cut silently: what does not fit is named ("shown N of M"), and then there is no button
  to approve, because nobody approves here what they cannot see here.
- A request that is over has no button at all.
- Every message stays within Slack's limits: the documented ones, and the one for all blocks
  together, which is not.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, assert_never

from approvals.core.decision.ceremony import Decision
from approvals.core.requests import State
from approvals.flow.telling.outbox import NoticeKind
from approvals.integrations.slack.text import (
    BLOCK_LIMIT,
    HEADER_LIMIT,
    TEXT_LIMIT,
    Fitted,
    cost,
    escaped,
    fit,
    fit_barred,
    fit_lines,
    own_words,
    plain,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from approvals.flow.telling.brief import Brief

Block = dict[str, Any]

OPEN: Final = "assent.open"
DENY: Final = "assent.deny"
APPROVE: Final = "assent.approve"

BUDGET: Final = 9_500
"""Characters of all blocks as JSON. Slack refuses beyond some 12,000, not saying how it counts."""

FACT: Final = 300
"""Characters of a name, a title, a reason: what bundles hold, not what agents send."""

_LIST: Final = 1_200
_OVERHEAD: Final = 350
"""What a field's block and the one that says how much of it is shown take beside their text."""
_LEAST: Final = 100
"""Less room than this is not worth starting a field in."""


def message(brief: Brief, kind: NoticeKind, *, linked: bool) -> dict[str, Any]:
    """The message about a request as it is now, as `text` and `blocks`.

    `linked` says whether the reader's account is linked to them: only then can a click approve.
    """
    waits = brief.state is State.PENDING
    heading = _heading(brief.state, reminder=kind is NoticeKind.REMINDER)
    facts, facts_whole = _facts(brief, heading)
    after = [*_decided(brief), *_tail(brief)]
    fields, fields_whole = _fields(
        brief.fields,
        room=BUDGET - _size([*facts, *after, _buttons(brief, approve=True)]),
        places=BLOCK_LIMIT - len(facts) - len(after) - 1,
    )
    seen_whole = facts_whole and fields_whole and brief.hidden == 0
    buttons = [_buttons(brief, approve=linked and brief.may_click and seen_whole)] if waits else []
    return {"text": _summary(brief, heading), "blocks": [*facts, *fields, *after, *buttons]}


def bare(brief: Brief, kind: NoticeKind) -> dict[str, Any]:
    """The least that still says that somebody waits, for when Slack refuses the whole."""
    heading = _heading(brief.state, reminder=kind is NoticeKind.REMINDER)
    return {
        "text": f"{heading}. {escaped(brief.url)}",
        "blocks": [
            {"type": "section", "text": plain(heading)},
            small(own_words(link(brief.url, "Open the request"))),
        ],
    }


def story(brief: Brief, *, told: int, ended: bool) -> dict[str, Any] | None:
    """What happened since `told` decisions and the end (if `ended`) were told, for the thread.

    None if nothing did. No payload is in it.
    """
    lines = _decisions(brief)[told:]
    if brief.ended is None:
        if lines:
            lines += [f"{filled} of {quorum} so far" for _, filled, quorum in brief.progress]
    elif not ended:
        lines.append(fit(brief.ended, TEXT_LIMIT // 2).text)
    if not lines:
        return None
    text = fit_lines(lines, TEXT_LIMIT).text
    return {"text": text, "blocks": [{"type": "section", "text": plain(text)}]}


def moment(seconds: int) -> str:
    """A time that Slack shows in the reader's own time zone, as mrkdwn."""
    written = datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"<!date^{seconds}^{{date_short_pretty}} {{time}}|{written}>"


def link(url: str, words: str) -> str:
    """A link to a page of this service, as mrkdwn."""
    return f"<{escaped(url)}|{words}>"


def small(text: dict[str, Any]) -> Block:
    """A block for a remark."""
    return {"type": "context", "elements": [text]}


def _heading(state: State, *, reminder: bool) -> str:
    match state:
        case State.PENDING:
            return "Still waiting for your decision" if reminder else "Your decision is needed"
        case State.APPROVED:
            return "Approved"
        case State.DENIED:
            return "Denied"
        case State.EXPIRED:
            return "Expired"
        case State.CANCELLED:
            return "Withdrawn"
        case State.REVOKED:
            return "Revoked"
        case _:
            assert_never(state)


def _summary(brief: Brief, heading: str) -> str:
    """What a notification and a screen reader say: what, who, for whom, where; no payload."""
    title, agent, user, target = (
        fit(each, FACT).text for each in (brief.title, brief.agent, brief.user, brief.target)
    )
    return f"{heading}: {title}. {agent} asks for {user} at {target}. {escaped(brief.url)}"


def _facts(brief: Brief, heading: str) -> tuple[list[Block], bool]:
    """Who, for whom, what, where, how risky, why, how far; and whether all of it is whole."""
    facts = [
        ("Who asks", fit(f"{brief.agent} (owner: {brief.agent_owner})", FACT)),
        ("For", fit(brief.user, FACT)),
        ("What", fit(f"{brief.title} ({brief.tool})", FACT)),
        ("Where", fit(brief.target, FACT)),
        ("Risk", fit(", ".join(brief.risk) or "none named", FACT)),
        ("Fingerprint", fit(brief.fingerprint, FACT)),
    ]
    reasons = [(fit(reason, FACT), f" ({n} of {m})") for reason, n, m in brief.progress]
    why = fit_lines([reason.text + far for reason, far in reasons], _LIST)
    title = f"{heading}: {fit(brief.title, TEXT_LIMIT).text}"
    blocks: list[Block] = [
        {"type": "header", "text": plain(title if cost(title) <= HEADER_LIMIT else heading)},
        {"type": "section", "fields": [plain(_labelled(*fact)) for fact in facts]},
    ]
    if reasons:
        blocks.append({"type": "section", "text": plain(f"Why you are asked\n{why.text}")})
    parts = [fitted for _, fitted in facts] + [reason for reason, _ in reasons] + [why]
    return blocks, all(part.whole for part in parts)


def _labelled(label: str, value: Fitted) -> str:
    return "\n".join(part for part in (label, value.text, value.missing) if part)


def _fields(
    fields: tuple[tuple[str, str], ...], *, room: int, places: int
) -> tuple[list[Block], bool]:
    """The display's summary, as far as there is room and places; and whether that is all of it."""
    blocks: list[Block] = []
    shown, whole = 0, True
    for label, value in fields:
        # Two blocks for this field, one for the sentence that it was the last.
        if len(blocks) + 3 > places or room < 2 * _OVERHEAD + FACT + _LEAST:
            break
        name = fit(label, FACT)
        fitted = fit_barred(
            value, min(TEXT_LIMIT, room - 2 * _OVERHEAD) - cost(name.text) - cost("\n")
        )
        added: list[Block] = [{"type": "section", "text": plain(f"{name.text}\n{fitted.text}")}]
        if fitted.missing:
            added.append(small(plain(f"Characters {fitted.missing}.")))
        blocks += added
        room -= _size(added)
        whole = whole and name.whole and fitted.whole
        shown += 1
    if shown < len(fields):
        blocks.append(small(plain(f"Fields {Fitted('', shown, len(fields)).missing}.")))
    return blocks, whole and shown == len(fields)


def _decided(brief: Brief) -> list[Block]:
    """Who has decided, and what it came to."""
    lines = _decisions(brief)
    if brief.ended is not None:
        lines.insert(0, fit(brief.ended, FACT).text)
    return [{"type": "section", "text": plain(fit_lines(lines, _LIST).text)}] if lines else []


def _decisions(brief: Brief) -> list[str]:
    return [
        f"{fit(name, FACT).text} {'approved' if decision is Decision.APPROVE else 'denied'}"
        for name, decision in brief.decided
    ]


def _tail(brief: Brief) -> list[Block]:
    """Until when, how often it was asked, what is on the page only: our own words and numbers."""
    said = []
    if brief.state is State.PENDING:
        said.append(f"Waits until {moment(brief.expires)}")
    if brief.repeats:
        said.append(f"Asked again {_times(brief.repeats)}")
    if brief.hidden:
        said.append(f"{brief.hidden} more {_fields_word(brief.hidden)} on the page")
    if brief.state is not State.PENDING:
        said.append(link(brief.url, "The request"))
    return [small(own_words(" · ".join(said)))]


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _fields_word(number: int) -> str:
    return "field" if number == 1 else "fields"


def _buttons(brief: Brief, *, approve: bool) -> Block:
    # None is coloured: approving and denying are equally easy.
    elements: list[Block] = [
        {"type": "button", "action_id": OPEN, "text": plain("Open request"), "url": brief.url},
        {"type": "button", "action_id": DENY, "text": plain("Deny"), "value": brief.request_id},
    ]
    if approve:
        elements.append(
            {
                "type": "button",
                "action_id": APPROVE,
                "text": plain("Approve"),
                "value": brief.request_id,
            }
        )
    return {"type": "actions", "elements": elements}


def _size(blocks: Sequence[Block]) -> int:
    """What blocks take as JSON, in UTF-16 units."""
    return len(json.dumps(list(blocks), ensure_ascii=False).encode("utf-16-le")) // 2
