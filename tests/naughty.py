"""Strings that are known to go wrong somewhere: what an agent may put into any argument.

Assembled for what reads notices: mail clients, chat clients, HTML, headers, templates, terminals.
"""

from __future__ import annotations

import sys
import unicodedata
from typing import Final

UNSEEN: Final = frozenset({"Cf", "Cc", "Co", "Cs", "Cn"})


def unseen_code_points() -> list[str]:
    """Every code point that is format, control, private, surrogate or not assigned."""
    return [
        chr(number)
        for number in range(sys.maxunicode + 1)
        if unicodedata.category(chr(number)) in UNSEEN
    ]


def raw_unseen(text: str, *, allowed: str = "\r\n") -> set[str]:
    """The code points of those categories that stand in a text as themselves."""
    return {
        each for each in set(text) if unicodedata.category(each) in UNSEEN and each not in allowed
    }


LINKS: Final = (
    "https://evil.example/approve",
    "http://evil.example",
    "HTTPS://EVIL.EXAMPLE/",
    "//evil.example/x",
    "www.evil.example",
    "evil.com",
    "evil.com/approve?x=1#y",
    "EVIL.COM",
    "e.vil.co",
    "evil.co.uk",
    "xn--80ak6aa92e.com",
    "аррӏе.com",  # noqa: RUF001 - Cyrillic that looks Latin
    "пример.рф",
    "例え.テスト",
    "evil。com",
    "evil．com",  # noqa: RUF001 - a fullwidth dot
    "evil.xn--p1ai",
    "user@evil.com",
    "mailto:user@evil.com",
    "mailto:user@evil",
    "MAILTO:a@b",
    "ftp://evil.com/x",
    "tel:+15551234567",
    "sms:+15551234567",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "file:///etc/passwd",
    "file://evil.com/share",
    "\\\\evil\\share\\x",
    "\\\\evil.com\\share",
    "http://127.0.0.1/",
    "http://[::1]/",
    "https://user:password@evil.com:8443/a",
    "see https://evil.example/approve, now.",
    "<https://evil.example/approve>",
    "<https://evil.example|the request>",
    "[the request](https://evil.example)",
    "<a href=https://evil.example>the request</a>",
    "http://localhost:8420/r/req_other",
    "slack://user?team=T&id=U",
    "zoommtg://evil.com/join",
    "bitcoin:1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
)

TEXTS: Final = (
    "",
    " ",
    "\t",
    "\r\n",
    "undefined",
    "null",
    "NaN",
    "0",
    "-1",
    "1e1000",
    "true",
    "' OR 1=1 --",
    "'; DROP TABLE notice; --",
    "<script>alert(1)</script>",
    "</dd></dl><h1>Approved</h1>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    '" onmouseover="alert(1)',
    "<!--",
    "-->",
    "<![CDATA[",
    "<style>*{display:none}</style>",
    "<base href='//evil.com'>",
    "<meta http-equiv=refresh content=0>",
    "&lt;b&gt;",
    "&#x202e;",
    "&amp;amp;",
    "{{ 7*7 }}",
    "{{ letter.url }}",
    "{% raw %}",
    "${7*7}",
    "#{7*7}",
    "%s%s%n",
    "$(id)",
    "`id`",
    "a\r\nBcc: victim@evil.com\r\n\r\nbody",
    "a\nSubject: other",
    "a\rTo: b",
    "\r\n.\r\nMAIL FROM:<a@b>",
    "\n.\n",
    ".",
    "..",
    "From someone",
    "--===============boundary==",
    "=?utf-8?q?=0d=0aBcc:_x@evil.com?=",
    "=0D=0A",
    "=\n",
    "*bold* _italic_ ~gone~ `code`",
    "```\nblock\n```",
    "> quoted",
    "<!channel>",
    "<!here>",
    "<!everyone>",
    "<@U123456>",
    "<#C123456|general>",
    "<!subteam^S123|people>",
    "<!date^1392734382^{date}|x>",
    "@channel @here @everyone",
    ":rotating_light: :white_check_mark:",
    "&<>",
    "\u202egnp.exe\u202c",
    "\u2066isolate\u2069",
    "zero\u200bwidth\u200cjoin\u200ded",
    "soft\u00adhyphen",
    "\ufeffmark",
    "tag\U000e0041\U000e0042\U000e007f",
    "variation\ufe0f\U000e0100",
    "line\u2028separator\u2029",
    "nbsp\u00a0thin\u2009ideographic\u3000hangul\u3164",
    "braille\u2800blank",
    "private\ue000\U000f0000",
    "unassigned\u0378\U0001fffe",
    "bell\x07 escape\x1b[31mred\x1b[0m null\x00 delete\x7f nel\x85",
    "⟦U+202E⟧",
    "⟦.⟧",
    "⟦U+0041⟧⟦:⟧",
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!",
    "田中さんにあげて下さい。パーティーへ行かないか",
    "사회과학원 어학연구소",
    "الكل في المجمو عة",
    "בְּרֵאשִׁית",
    "𝓗𝓮𝓵𝓵𝓸 𝖂𝖔𝖗𝖑𝖉",  # noqa: RUF001 - mathematical letters
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇺🇸",
    "ⅷ ½ ² ﬁ",
    "İıſß",
    "x" * 5000,
    "a " * 3000,
    "\n" * 300,
    " " * 500 + "hidden at the right",
    "Your approval is asked for\n==========\n\nOpen the request:\nhttp://evil.example/",
)

ALL: Final = LINKS + TEXTS
