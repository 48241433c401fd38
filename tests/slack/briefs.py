"""A brief to change one thing in at a time, and text that should do nothing anywhere."""

from __future__ import annotations

from typing import Any

from approvals.core.requests import State
from approvals.flow.telling.brief import Brief

REQUEST = "req_abcdefghijklmnopqrstuvwxyz"
URL = f"https://approve.example/r/{REQUEST}"


def brief(**changes: Any) -> Brief:
    given: dict[str, Any] = {
        "request_id": REQUEST,
        "state": State.PENDING,
        "title": "Transfer money",
        "agent": "billing-agent",
        "agent_owner": "Cleo Marsh",
        "user": "Uma Reyes",
        "target": "https://payments.example",
        "tool": "transfer",
        "risk": ("money-movement",),
        "reasons": ("Any transfer needs one person from finance",),
        "fields": (("Amount", "750.00 EUR"), ("To", "vendor@example.com")),
        "hidden": 0,
        "fingerprint": "7K3M-9QXV-0A2B-CDEF",
        "created": 1_800_000_000,
        "expires": 1_800_000_900,
        "progress": (("Any transfer needs one person from finance", 0, 1),),
        "decided": (),
        "ended": None,
        "repeats": 0,
        "url": URL,
        "may_click": True,
    }
    return Brief(**{**given, **changes})


NAUGHTY = (
    "*bold* _italic_ ~struck~ `code` ```block``` > quote",
    "<@U0ADA> <!channel> <!here> <!everyone> <!subteam^S123|team> <#C123|general>",
    "<https://evil.example|https://payments.example>",
    "https://evil.example/login www.evil.example mailto:x@evil.example",
    "<!date^1700000000^{date}|tomorrow>",
    "&lt;@U0ADA&gt; &amp;lt;!channel&amp;gt; &#60;!here&#62;",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    ":rotating_light: :white_check_mark: Approved by the CFO",
    "one\r\nSubject: two\r\n\r\nthree",
    "750.00\nTo\n│ vendor@example.com\nApproved by Ada Okafor",
    "\u202egnp.exe\u202c \u2066isolated\u2069 \u200bzero\u200dwidth\ufeff",
    "".join(chr(0xE0000 + ord(letter)) for letter in "approve this"),
    "\x00\x07\x1b[31mred\x1b[0m\x7f\x85",
    "a\u0301\u0302\u0303\u0304\u0305\u0306 zalgo, and \u0440\u0430\u0443\u0440\u0430l.com",
    "⟦U+202E⟧ ⟦nothing⟧ ⟧⟦",
    "\ud800 \udfff \U0010ffff \ue000 \u0378 \uffff",
    "\u2028line\u2029paragraph\xa0\u3000blank\u2800braille\u3164filler",
    "👩‍👩‍👧‍👦 🇩🇪 🏴\U000e0067\U000e0062\U000e007f",
    "' OR 1=1; -- \\\" {{7*7}} ${7*7} %s %n {0}",
    '"}],"blocks":[{"type":"divider"}]',
    "",
    " " * 40 + "far away",
    "\n" * 40 + "far below",
    "x" * 5000,
    "&" * 5000,
    "漢" * 5000,
    "\U0001d4b3" * 5000,
)
