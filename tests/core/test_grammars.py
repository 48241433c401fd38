"""One reader for each grammar: what a check or a start accepts can be used."""

from __future__ import annotations

import re
from email.message import EmailMessage
from email.policy import SMTP
from urllib.parse import urlsplit

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from approvals.api import wire
from approvals.api.edge import Edge
from approvals.client import Client
from approvals.config import load
from approvals.core import b64, documents, pointer
from approvals.core.addresses import urls
from approvals.core.addresses.mail import is_mailbox
from approvals.core.addresses.slack import ACCOUNT
from approvals.core.approval import REQUEST
from approvals.core.display import marks, original, visible
from approvals.core.errors import AssentError, Invalid
from approvals.integrations.email import text as mail_text
from approvals.integrations.email.render import AddressRefused, address
from approvals.integrations.slack import ids
from approvals.integrations.slack import text as slack_text
from approvals.integrations.webhook.target import HookRefused, target
from approvals.policy.bundle import check
from approvals.web.marks import marked
from tests import small_bundle as small
from tests.company import new_key
from tests.webhook.test_target import LOOPBACK, REFUSED

# --- the addresses of hooks

HOOKS = (
    *REFUSED,
    *LOOPBACK,
    "https://Hooks.shop.example/x",
    "https://h:/x",
    "http://[0:0:0:0:0:0:0:1]/x",
    "http://[::1]/x",
    "https://[::1]:8443",
    "https://hooks.shop.example",
    "https://hooks.shop.example:0443/x",
    "https://hooks.shop.example?x=1",
    "https://hooks.shop.example/a%2eb?c=d&e=f",
    "https://127.0.0.01/",
    "http://127.1.2.3:9/",
    "https://b.example/%0d%0aX",
)
parts = st.sampled_from(
    [
        *("http", "https", "HTTPS", "ws", "://", ":/", "//", "a.example", "A.example", "localhost"),
        *("127.0.0.1", "127.1", "[::1]", "[0::1]", "::1", "10.0.0.1", "0x7f", "1", ":", ":0", ":9"),
        *(
            ":443",
            ":00443",
            ":65536",
            "@",
            "/",
            "?",
            "#",
            "\\",
            "%2e",
            "x",
            "-",
            ".",
            "é",
            "\u2028",
        ),
    ]
)
written = st.lists(parts, max_size=8).map("".join)


def is_in_order(url: str) -> bool:
    """Whether the check takes the address."""
    text = '{"hooks": {"siem": {"events": ["request"], "url": %s}}}'
    quoted = '"' + "".join(f"\\u{ord(c):04x}" if ord(c) < 0x10000 else c for c in url) + '"'
    return not check(small.files(webhooks=text % quoted))


def is_sent_to(url: str) -> bool:
    try:
        target(url, loopback=True)
    except HookRefused:
        return False
    return True


@pytest.mark.parametrize("number", range(len(HOOKS)))
def test_a_hook_that_the_check_takes_is_one_that_is_posted_to(number: int) -> None:
    assert is_in_order(HOOKS[number]) == is_sent_to(HOOKS[number]), HOOKS[number]


@given(written)
def test_no_address_is_a_hook_for_the_check_alone_or_the_sender_alone(url: str) -> None:
    """Would catch a second grammar: one that a review passes and a delivery gives up."""
    assert is_in_order(url) == is_sent_to(url)


@given(st.sampled_from(["https", "http", ""]), written)
@example("https://a.example:", "443/")
def test_every_other_reader_sees_the_host_that_ours_sees(scheme: str, rest: str) -> None:
    """Would catch an address that a library connects to somewhere else."""
    text = f"{scheme}://{rest}" if scheme else rest
    try:
        url = urls.read(text)
    except urls.UrlError:
        return
    split, theirs = urlsplit(text), httpx2.URL(text)
    assert url.host == split.hostname == theirs.host
    assert url.port == (split.port or urls.DEFAULT_PORTS[url.scheme])
    assert url.port == (theirs.port or urls.DEFAULT_PORTS[url.scheme])
    assert url.scheme == split.scheme == theirs.scheme
    assert urls.read(url.origin + url.path) == url


# --- the service's own address, in the service and in the guard

ORIGINS = (
    "https://assent.example",
    "https://assent.example/",
    "https://assent.example:443",
    "https://ASSENT.example:443/",
    "HTTPS://assent.example",
    "https://assent.example:0443",
    "https://assent.example:8443",
    "https://assent.example:",
    "https://assent.example//",
    "https://assent.example/a",
    "https://assent.example?",
    "https://assent.example?a",
    "https://assent.example/#a",
    "https://assent.example.",
    "https://assent.example:99999",
    "https://assent.example:0",
    "https://user@assent.example",
    "https://assent .example",
    "https://ässent.example",
    "http://assent.example",
    "http://localhost",
    "http://LOCALHOST:80",
    "http://localhost:08420",
    "http://127.0.0.1:8420",
    "http://127.0.0.2:8420",
    "http://127.0.0.01:8420",
    "http://127.1:8420",
    "http://[::1]:8420",
    "http://[0:0:0:0:0:0:0:1]:8420",
    "https://10.0.0.1",
    "https://0x7f.1",
    "https://[2001:db8::1]:8443",
    "https://[2001:DB8::1]",
    "ftp://localhost",
    "localhost",
    "",
)


def service_at(url: str) -> str | None:
    try:
        return load(url=url).url
    except AssentError as error:
        return None if error.place == "ASSENT_URL" else error.message


def guard_at(url: str) -> str | None:
    try:
        with Client(url, enforcer="e", key=new_key()) as client:
            return client.url
    except ValueError:
        return None


@pytest.mark.parametrize("url", ORIGINS)
def test_the_service_and_the_guard_read_one_address_alike(url: str) -> None:
    """Would catch a guard that refuses every approval, whose issuer it spells differently."""
    issuer = service_at(url)
    assert issuer == guard_at(url)
    if issuer is not None:
        # And a service that does not know itself under the Host that a client sends.
        edge = Edge(lambda *_: None, origin=issuer, max_bytes=1)  # type: ignore[arg-type]
        for asked in (issuer, url):
            assert httpx2.Request("GET", asked).headers["host"].lower() in edge._hosts


def test_an_operator_may_write_an_address_as_a_browser_takes_it() -> None:
    assert service_at("https://ASSENT.example:443/") == "https://assent.example"
    assert guard_at("https://assent.example:0443") == "https://assent.example"
    assert guard_at("http://LOCALHOST:80") == "http://localhost"


# --- mail addresses

MAILBOXES = (
    "ada@mail.example",
    "ada+approvals@mail.example",
    "ada.lund@xn--mil-ula.example",
    "a@localhost",
    "Ada@MAIL.example",
    f"{'a' * 64}@mail.example",
    f"{'a' * 65}@mail.example",
    f"a@{'b' * 64}.example",
    f"a@{'.'.join(['b' * 60] * 4)}.example",
    "jürgen@mail.example",
    "ada@mäil.example",
    "a..b@mail.example",
    ".a@mail.example",
    "a.@mail.example",
    "@mail.example",
    "ada@",
    "ada",
    "a@b@mail.example",
    "a b@mail.example",
    '"a b"@mail.example',
    "ada@mail..example",
    "ada@.example",
    "ada@mail.example.",
    "ada@-mail.example",
    "ada@mail_x.example",
    "ada@[127.0.0.1]",
    "ada@127.0.0.1",
    "ada@mail.1",
    "Ada <ada@mail.example>",
    "ada@mail.example, eve@mail.example",
    "ada@mail.example\r\nBcc: eve@mail.example",
    "ada@mail.example ",
    "",
)
mailboxes = st.sampled_from(MAILBOXES) | st.from_regex(r"[a-z.@ü_-]{1,12}@[a-z0-9.-]{1,12}")


@given(mailboxes)
@example("jürgen@mail.example")
@example("a..b@mail.example")
def test_an_address_that_a_check_or_start_takes_is_one_that_mail_is_sent_to(text: str) -> None:
    try:
        sent = address(text) == text
    except AddressRefused:
        sent = False
    assert is_mailbox(text) == sent
    if text.isprintable() and text.strip():
        quoted = "'" + text.replace("'", "''") + "'"
        people = small.PEOPLE.replace("{name: Ada}", f"{{name: Ada, email: {quoted}}}", 1)
        assert (not check(small.files(people=people))) == sent
        try:
            started = load(mail_from=text).mail_from == text
        except AssentError:
            started = False
        assert started == sent
    if sent:
        made = EmailMessage(policy=SMTP)
        made["To"] = text
        assert made["To"].addresses[0].addr_spec == text
        assert made.as_bytes().isascii()


# --- Slack ids


@pytest.mark.parametrize(
    ("account", "taken"),
    [
        ("U04FHJONAS1", True),
        ("W012A3CDE", True),
        ("@ada", False),
        ("U04FHJONAS1 ", False),
        ("u04fhjonas1", False),
        ("C012AB3CD", False),
        ("U1", False),
        ("ada", False),
    ],
)
def test_a_slack_id_that_the_check_takes_is_one_that_slack_gives(
    account: str, *, taken: bool
) -> None:
    people = small.PEOPLE.replace("{name: Ada}", f"{{name: Ada, slack: '{account}'}}", 1)
    assert (not check(small.files(people=people))) is taken
    assert ids.ACCOUNT is ACCOUNT


# --- marks


@given(st.text(st.sampled_from("a\u202e\U000e0041\U0010ffff⟦⟧U+0123456789ABCDEF\u200b")))
@example("⟦U+0041⟧⟦U+00041⟧⟦U+110000⟧")
def test_every_channel_reads_the_marks_that_are_drawn_and_no_others(text: str) -> None:
    """Would catch a channel that takes what nobody drew for a mark, or a mark for text."""
    drawn = visible(text)
    assert original(drawn) == text
    found = marks.split(drawn)[1::2]
    assert [original(each) for each in found] == [c for c in text if visible(c) != c]
    assert marks.count(drawn) == len(found)
    assert str(marked(drawn)).count('<span class="mark">') == len(found)
    # Drawn once more on its way into a channel, a mark stays what it is.
    assert slack_text.drawn(drawn) == drawn
    assert mail_text.drawn(drawn) == mail_text.drawn(drawn).replace("\ufffd", "")
    assert original(re.sub("⟦([^U])⟧", r"\1", mail_text.drawn(drawn))) == text


# --- JSON pointers


@given(st.lists(st.text(st.sampled_from("a/~01")) | st.text()))
def test_a_pointer_is_read_as_it_is_written(steps: list[str]) -> None:
    assert pointer.read(pointer.write(*steps)) == tuple(steps)


@pytest.mark.parametrize("text", ["a", "a/b", "/~", "/~2", "/a~", "#/a", "/~01~"])
def test_what_is_not_written_so_is_no_pointer(text: str) -> None:
    assert pointer.read(text) is None
    tools = small.TOOLS.replace("path: /amount", f"path: '{text}'", 1)
    assert "bad_path" in {problem.code for problem in check(small.files(tools=tools))}


# --- digests and ids


@given(st.binary(min_size=32, max_size=32), st.sampled_from("ABab01_-"))
def test_a_digest_that_is_taken_from_a_caller_is_one_that_evidence_is_read_with(
    raw: bytes, last: str
) -> None:
    """Would catch a reported output hash that makes the evidence file unreadable."""
    taken = TypeAdapter(wire.Digest)
    written = b64.encode(raw)
    assert taken.validate_python(written) == documents.digest(written, "place")
    other = written[:-1] + last
    try:
        documents.digest(other, "place")
    except Invalid:
        with pytest.raises(ValidationError):
            taken.validate_python(other)
    else:
        assert taken.validate_python(other) == other


def test_an_id_is_read_alike_by_the_api_and_by_slack() -> None:
    request = f"{REQUEST}{'a2' * 13}"
    assert re.fullmatch(wire.REQUEST_ID, request)
    assert re.fullmatch(wire.OCCASION_ID, request)
    assert ids.REQUEST.fullmatch(request)
    for wrong in (request.upper(), request[:-1], f"{request}a", request.replace("2", "1")):
        assert not re.fullmatch(wire.REQUEST_ID, wrong)
        assert not ids.REQUEST.fullmatch(wrong)
