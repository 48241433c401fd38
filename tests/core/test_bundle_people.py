"""How people are told, when they are away and who is on call: read strictly, refused by line."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.core.registry import HOOK_EVENTS
from approvals.policy.bundle import Absence, Hook, Shift, check
from tests import small_bundle as small

HOOKS = "hooks:\n  siem:\n    url: https://siem.example/in?team=7\n    events: [request, digest]\n"


def at(moment: str) -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp())


def people(ada: str = "", more: str = "") -> str:
    """The small bundle's people with more about ada, on line 2, and more at the end, from 10."""
    return small.PEOPLE.replace("{name: Ada}", f"{{name: Ada{ada}}}") + more


@pytest.mark.parametrize(
    ("written", "channels"),
    [
        ("", ()),
        (", email: ada@x.example", ("email",)),
        (", slack: U01", ("slack",)),
        (", slack: U01, email: ada@x.example", ("email", "slack")),
        (", slack: U01, email: ada@x.example, channels: [slack]", ("slack",)),
        (", email: ada@x.example, channels: [slack, email]", ("slack", "email")),
        (", email: ada@x.example, channels: []", ()),
        (", channels: ['webhook:siem', slack]", ("webhook:siem", "slack")),
    ],
    ids=str,
)
def test_channels_are_those_written_or_those_there_is_an_address_for(
    written: str, channels: tuple[str, ...]
) -> None:
    bundle = small.load(people=people(written), webhooks=HOOKS)
    assert bundle.people["ada"].channels == channels


def test_absences_are_whole_days_in_the_order_of_time() -> None:
    ada = (
        ", stand_ins: [dan, ben], absent: [{from: 2026-12-24, until: 2026-12-24, stand_in: ben},"
        " {from: 2026-11-20, until: 2026-11-25, stand_in: dan}]"
    )
    bundle = small.load(people=people(ada))
    assert bundle.people["ada"].stand_ins == ("ben", "dan")
    assert bundle.people["ada"].absences == (
        Absence(at("2026-11-20"), at("2026-11-26"), "dan"),
        Absence(at("2026-12-24"), at("2026-12-25"), "ben"),
    )
    assert bundle.acting_for("ada", at("2026-11-25T23:59:59")) == "dan"
    assert bundle.acting_for("ada", at("2026-11-26T00:00:00")) == "ada"
    assert bundle.acting_for("ada", at("2026-12-24T12:00:00")) == "ben"
    assert bundle.acting_for("ada", at("2026-12-24"), never=["ben"]) is None
    assert bundle.acting_for("ada", at("2026-12-01"), never=["ada"]) is None


DUTY = """\
on_call:
  finance:
    - {from: 2026-11-02, until: 2026-11-08, people: [ada]}
    - {from: 2026-11-08, until: 2026-11-15, people: [cleo, ada]}
  managers: []
"""


def test_on_call_says_who_of_a_group_is_told_first() -> None:
    bundle = small.load(people=people(more=DUTY))
    assert bundle.shifts["finance"][0] == Shift(at("2026-11-02"), at("2026-11-09"), ("ada",))
    assert bundle.on_call("finance", at("2026-11-03")) == ("ada",)
    assert bundle.on_call("finance", at("2026-11-08T09:00:00")) == ("ada", "cleo")
    assert bundle.on_call("finance", at("2026-11-09")) == ("cleo", "ada")
    for group, moment in [
        ("finance", "2026-11-16"),
        ("managers", "2026-11-03"),
        ("x", "2026-11-03"),
    ]:
        assert bundle.on_call(group, at(moment)) == ()


def test_whoever_is_on_call_and_away_is_replaced() -> None:
    ada = ", stand_ins: [dan], absent: [{from: 2026-11-03, until: 2026-11-03, stand_in: dan}]"
    bundle = small.load(people=people(ada, DUTY))
    assert bundle.on_call("finance", at("2026-11-03")) == ("dan",)
    assert bundle.on_call("finance", at("2026-11-04")) == ("ada",)


def test_a_field_is_in_notices_only_where_its_tool_says_so() -> None:
    assert not small.load().tools["transfer"].display[0].summary
    tools = small.TOOLS.replace("currency: EUR}", "currency: EUR, summary: true}")
    assert small.load(tools=tools).tools["transfer"].display[0].summary


def test_hooks_are_read() -> None:
    bundle = small.load(webhooks=HOOKS)
    assert bundle.hooks == {
        "siem": Hook("siem", "https://siem.example/in?team=7", ("digest", "request"))
    }
    assert small.load().hooks == {}
    assert bundle.version != small.load().version


ABSENT = "absent: [{from: 2026-11-20, until: 2026-11-25, stand_in: ben}]"
WRONG = [
    (", channels: email", "", 2, "wrong_type", "list"),
    (", channels: [pager]", "", 2, "bad_value", "pager"),
    (", channels: [email]", "", 2, "no_address", "email"),
    (", channels: [slack, slack]", "", 2, "duplicate", "slack"),
    (", channels: ['webhook:nowhere']", "", 2, "unknown_hook", "nowhere"),
    (", channels: ['webhook:']", "", 2, "unknown_hook", "''"),
    (", email: 'Ada <ada@x.example>'", "", 2, "bad_value", "plain email"),
    (", email: 'ada@x.example, eve@x.example'", "", 2, "bad_value", "plain email"),
    (', email: "ada@x.example\\r\\nBcc: eve@x.example"', "", 2, "invisible", "U+000D"),
    (", email: jürgen@x.example", "", 2, "bad_value", "plain email"),
    (", email: a..b@x.example", "", 2, "bad_value", "plain email"),
    (", slack: '@ada'", "", 2, "bad_value", "Slack member id"),
    (", slack: 'U0ADA '", "", 2, "bad_value", "Slack member id"),
    (", email: ada", "", 2, "bad_value", "plain email"),
    (", email: ada@", "", 2, "bad_value", "plain email"),
    (", stand_ins: [eve]", "", 2, "unknown_person", "eve"),
    (", stand_ins: [finance]", "", 2, "unknown_person", "finance"),
    (", stand_ins: [ada]", "", 2, "bad_value", "themselves"),
    (f", {ABSENT}", "", 2, "unknown_person", "not in stand_ins"),
    (f", stand_ins: [dan], {ABSENT}", "", 2, "unknown_person", "not in stand_ins"),
    (
        f", stand_ins: [ben], {ABSENT.replace('2026-11-25', '2026-11-19')}",
        "",
        2,
        "bad_value",
        "begin",
    ),
    (
        f", stand_ins: [ben], {ABSENT.replace('2026-11-25', '2026-02-30')}",
        "",
        2,
        "bad_value",
        "day",
    ),
    (
        f", stand_ins: [ben], {ABSENT.replace('2026-11-25', '20261125')}",
        "",
        2,
        "wrong_type",
        "until",
    ),
    (
        f", stand_ins: [ben], {ABSENT.replace('2026-11-25', '2026-W48-3')}",
        "",
        2,
        "bad_value",
        "day",
    ),
    (
        f", stand_ins: [ben], {ABSENT.replace('2026-11-25', '2026-11-25T12:00')}",
        "",
        2,
        "bad_value",
        "day",
    ),
    (
        f", stand_ins: [ben], {ABSENT.replace(', stand_in: ben', '')}",
        "",
        2,
        "missing_member",
        "stand_in",
    ),
    (f", stand_ins: [ben], {ABSENT.replace('}]', ', note: x}]')}", "", 2, "unknown_member", "note"),
    (
        f", stand_ins: [ben], {ABSENT[:-1]}, {ABSENT[9:]}",
        "",
        2,
        "overlap",
        "already away",
    ),
    ("", "on_call: []\n", 10, "wrong_type", "ids"),
    ("", "on_call: {sales: []}\n", 10, "unknown_group", "sales"),
    ("", "on_call:\n  finance: ada\n", 11, "wrong_type", "list"),
    ("", DUTY.replace("[ada]", "[dan]"), 12, "unknown_person", "dan"),
    ("", DUTY.replace("until: 2026-11-08", "until: 2026-11-01"), 12, "bad_value", "begin"),
    ("", DUTY.replace(", people: [ada]", ""), 12, "missing_member", "people"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong[0]}{wrong[1]}"[:80])
def test_each_fault_of_people_is_named_with_line_and_code(
    wrong: tuple[str, str, int, str, str],
) -> None:
    ada, more, line, code, word = wrong
    problems = check(small.files(people=people(ada, more)))
    found = [p for p in problems if (p.file, p.line, p.code) == ("people.yaml", line, code)]
    assert [p for p in found if word in p.message], problems


def test_summary_is_true_or_false() -> None:
    tools = small.TOOLS.replace("currency: EUR}", "currency: EUR, summary: maybe}")
    (problem,) = check(small.files(tools=tools))
    assert (problem.file, problem.line, problem.code) == ("tools.yaml", 18, "wrong_type")


# ---------------------------------------------------------------- webhooks


def hook(url: str, events: str = "[request]") -> str:
    return f"hooks:\n  siem:\n    url: '{url}'\n    events: {events}\n"


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example",
        "https://hooks.example:8443/a/b?c=d&e=%20",
        "https://xn--bcher-kva.example/",
        "http://localhost:9000/in",
        "http://127.0.0.1:9000/in",
        "http://[::1]:9000/in",
        "https://127.0.0.1/",
    ],
)
def test_hooks_are_at_named_hosts_over_tls_or_on_this_machine(url: str) -> None:
    assert small.load(webhooks=hook(url)).hooks["siem"].url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example/",
        "ftp://hooks.example/",
        "file:///etc/passwd",
        "//hooks.example/",
        "hooks.example",
        "https://",
        "https:///path",
        "https://user:secret@hooks.example/",
        "https://hooks.example@evil.example/",
        "https://hooks.example\\@evil.example/",
        "https://hooks.example/#fragment",
        "https://hooks.example/a b",
        "https://hooks.example/\u00e9",
        "https://b\u00fccher.example/",
        "https://hooks..example/",
        "https://-hooks.example/",
        "https://hooks.example./",
        f"https://{'a' * 64}.example/",
        f"https://{'a.' * 130}example/",
        "https://hooks.example:0/",
        "https://hooks.example:70000/",
        "https://hooks.example:1:2/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://8.8.8.8/",
        "https://0.0.0.0/",
        "https://[fe80::1]/",
        "https://[::]/",
        "https://[::ffff:10.0.0.1]/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://hooks.0x/",
        "http://127.0.0.1.example/",
        "http://localhost.example/",
        "https://[::1/",
        "https://]/",
    ],
)
def test_any_other_address_of_a_hook_is_refused(url: str) -> None:
    problems = check(small.files(webhooks=hook(url)))
    assert [(p.file, p.line, p.code) for p in problems] == [("webhooks.yaml", 3, "bad_url")]


@pytest.mark.parametrize(
    ("text", "line", "code"),
    [
        ("{}", 1, "missing_member"),
        ("hooks: {}\nmore: 1\n", 2, "unknown_member"),
        ("hooks: []\n", 1, "wrong_type"),
        ("hooks: {siem: {url: 'https://a.example/'}}\n", 1, "missing_member"),
        ("hooks: {'a b': {url: 'https://a.example/', events: [request]}}\n", 1, "bad_id"),
        (hook("https://a.example/", "[]"), 4, "bad_value"),
        (hook("https://a.example/", "[everything]"), 4, "bad_value"),
        (hook("https://a.example/") + "    secret: x\n", 5, "unknown_member"),
    ],
)
def test_hooks_that_mean_nothing_are_refused(text: str, line: int, code: str) -> None:
    problems = check(small.files(webhooks=text))
    assert [(p.file, p.line, p.code) for p in problems] == [("webhooks.yaml", line, code)]


def test_a_hook_may_be_told_of_everything() -> None:
    all_events = f"[{', '.join(HOOK_EVENTS)}]"
    assert small.load(webhooks=hook("https://a.example/", all_events)).hooks["siem"].events == (
        HOOK_EVENTS
    )


@given(st.text(max_size=40) | st.from_regex(r"https?://[\[\]@:.%\w\\/-]{0,20}", fullmatch=True))
def test_no_address_at_all_raises(url: str) -> None:
    """`urlsplit` raises on some hosts; a bad upload must come back as a problem."""
    text = '{"hooks": {"siem": {"url": ' + json.dumps(url) + ', "events": ["request"]}}}'
    for problem in check(small.files(webhooks=text)):
        assert problem.file == "webhooks.yaml"


# ---------------------------------------------------------------- escalation


def test_who_is_told_later_is_among_those_who_may_approve() -> None:
    """Asking somebody whose answer cannot count would look like help on its way."""
    rules = small.PERMIT + small.LARGE.replace('@quorum("2")', '@escalate("10m: managers")')
    (problem,) = check(small.files(rules=rules))
    assert (problem.file, problem.code) == ("policies/rules.cedar", "escalate")
    both = rules.replace('@approvers("finance")', '@approvers("finance | managers")')
    assert small.load(rules=both).rules["large"].asks is not None
