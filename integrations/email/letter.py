"""What a mail says, as a value: the same for its text and its HTML, from which both are rendered.

What holds:

- Facts come from a brief, which holds only what the tool's owner lets out of the service; nothing
  that an agent wrote beside its call is in one.
- A subject holds the title that the tool's owner registered and the fingerprint, never a value.
- There is one link: the page where a person signs in and decides. It is a locator and no more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from approvals.core.decision.ceremony import Decision
from approvals.integrations.email.text import drawn, has_link_drawn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from approvals.flow.telling.brief import Brief
    from approvals.flow.telling.deliver import Message

Pairs = tuple[tuple[str, str], ...]

_DECIDES_NOTHING: Final = (
    "Opening the page decides nothing: you sign in and decide there. Answering this mail decides "
    "nothing either."
)
_NOT_YOU: Final = (
    "If it was not you, tell whoever runs Assent at once: once they take you out of the people who "
    "decide, nobody can sign in or decide in your name."
)
_DECIDED: Final = {Decision.APPROVE: "approved", Decision.DENY: "denied"}
_LONGEST_VALUE: Final = 2000
_DRAWINGS: Final = (
    "⟦.⟧ and the like stand for the character in the brackets, so that nothing in this mail but "
    "its one link can be followed."
)


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail before it has a form. All but `url` is drawn by `safe` before it goes out."""

    subject: str
    title: str
    says: tuple[str, ...]
    url: str
    action: str
    facts: Pairs = ()
    fields: Pairs = ()
    why: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()

    def safe(self) -> Letter:
        """The letter with nothing unseen in it and nothing that becomes a link."""
        made = replace(
            self,
            subject=drawn(self.subject, lines=False),
            title=drawn(self.title, lines=False),
            says=_each(self.says),
            action=drawn(self.action, lines=False),
            facts=_pairs(self.facts),
            fields=_pairs(self.fields),
            why=_each(self.why),
            ends=_each(self.ends),
        )
        texts = (
            *made.says,
            *made.why,
            *(text for pair in made.facts + made.fields for text in pair),
        )
        explained = any(has_link_drawn(text) for text in (made.title, *texts))
        return replace(made, ends=(*made.ends, _DRAWINGS)) if explained else made


def first(brief: Brief) -> Letter:
    """Somebody is asked."""
    return replace(_about(brief), title="Your approval is asked for")


def reminder(brief: Brief) -> Letter:
    """Somebody was asked a while ago, and it still waits."""
    return replace(
        _about(brief),
        subject=f"Re: {_subject(brief)}",
        title="Still waiting for your approval",
    )


def ended(brief: Brief) -> Letter:
    """What became of it: the last mail about a request."""
    return replace(
        _about(brief),
        subject=f"Re: {_subject(brief)}",
        title=brief.ended or "",
        says=("There is nothing left for you to do.",),
        action="See the request",
        ends=(),
    )


def digest(message: Message) -> Letter:
    """How much waits, and what came of the rest."""
    return Letter(
        subject="Approvals: your summary",
        title="Your approvals in short",
        says=message.lines,
        url=message.url,
        action="Open your inbox",
    )


def passkey_enrolled(message: Message) -> Letter:
    """A passkey was added: whoever has it can decide in this person's name."""
    return Letter(
        subject="A passkey was added to your account",
        title="A passkey was added to your account",
        says=(
            "A passkey was enrolled for you. Whoever holds it can sign decisions in your name.",
            *message.lines,
            _NOT_YOU,
        ),
        url=message.url,
        action="See your passkeys",
    )


def passkey_revoked(message: Message) -> Letter:
    """A passkey ended: the person notices an end that somebody else brought about."""
    return Letter(
        subject="A passkey ended for your account",
        title="A passkey ended for your account",
        says=(
            "A passkey of yours was ended or replaced. It can neither sign you in nor decide.",
            "Every browser in which you were signed in is signed out.",
            *message.lines,
            _NOT_YOU,
        ),
        url=message.url,
        action="See your passkeys",
    )


def account_unlinked(message: Message) -> Letter:
    """A chat account was unlinked: clicks there no longer count as this person's."""
    return Letter(
        subject="A chat account is no longer linked to you",
        title="A chat account is no longer linked to you",
        says=(
            "A chat account was unlinked from you. A click there no longer counts as yours.",
            *message.lines,
            _NOT_YOU,
        ),
        url=message.url,
        action="See your linked accounts",
    )


def account_linked(message: Message) -> Letter:
    """A chat account was linked: clicks there now count as this person's."""
    return Letter(
        subject="A chat account was linked to you",
        title="A chat account was linked to you",
        says=(
            "A chat account was linked to you. A click there counts as yours where rules let it.",
            *message.lines,
            _NOT_YOU,
        ),
        url=message.url,
        action="See your linked accounts",
    )


def _about(brief: Brief) -> Letter:
    facts = [
        ("Action", brief.title),
        ("Asked by", f"{brief.agent}, owned by {brief.agent_owner}"),
        ("For", brief.user),
        ("On", f"{brief.target} ({brief.tool})"),
        ("Risk", ", ".join(brief.risk) or "none registered"),
        ("Until", _moment(brief.expires)),
        ("Fingerprint", brief.fingerprint),
    ]
    if brief.repeats:
        facts.append(("Repeated", f"asked {brief.repeats + 1} times"))
    if brief.decided:
        so_far = (f"{name} {_DECIDED[decision]}" for name, decision in brief.decided)
        facts.append(("So far", ", ".join(so_far)))
    return Letter(
        subject=_subject(brief),
        title="",
        says=(),
        facts=tuple(facts),
        fields=tuple((label, _short(value)) for label, value in brief.fields),
        why=tuple(
            f"{reason} ({filled} of {quorum} approved)" for reason, filled, quorum in brief.progress
        ),
        url=brief.url,
        action="Open the request",
        ends=(_hidden(brief), _DECIDES_NOTHING),
    )


def _subject(brief: Brief) -> str:
    return f"Approval asked: {brief.title} – {brief.fingerprint}"  # noqa: RUF001 - a dash


def _hidden(brief: Brief) -> str:
    if brief.hidden:
        more = "1 more argument is" if brief.hidden == 1 else f"{brief.hidden} more arguments are"
        return f"{more} on the page only. Decide by what the page shows, not by this mail."
    return "Decide by what the page shows, not by this mail."


def _short(value: str) -> str:
    """The whole value or none of it: mail programs cut long mails where nobody says so."""
    if len(value) <= _LONGEST_VALUE:
        return value
    return f"({len(value)} characters: too long for a mail, see the page)"


def _moment(seconds: int) -> str:
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{at:%A}, {at.day} {at:%B %Y}, {at:%H:%M} UTC"


def _each(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(drawn(text) for text in texts)


def _pairs(pairs: Pairs) -> Pairs:
    return tuple((drawn(label, lines=False), drawn(value)) for label, value in pairs)
