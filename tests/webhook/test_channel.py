"""Notices as webhooks: signed, of what a hook is told, to where the bundle says and no further."""

from __future__ import annotations

import base64
import json
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from approvals.core import canonical
from approvals.core.errors import BundleError
from approvals.flow.operating.activate import activate
from approvals.flow.service import Service
from approvals.flow.telling.deliver import GiveUp, TryAgain, deliver
from approvals.flow.telling.outbox import NoticeKind
from approvals.integrations.webhook import WebhookChannel, sender, signature
from tests.email.mails import BRIEF, ENDED, message
from tests.service import PEOPLE, TOOLS, Running, bundle_files, start
from tests.webhook.hosts import Host, answer, host

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from approvals.core.errors import AssentError

HOOKED = PEOPLE.replace("Ada Okafor}", 'Ada Okafor, channels: ["webhook:pager"]}')
SUMMARY = TOOLS.replace("currency: EUR}", "currency: EUR, summary: true}")
ID = "ntc_0123456789abcdefghijklmnop"


@pytest.fixture
def running(tmp_path: Path, sqlite_url: str) -> Iterator[Running]:
    service = start(tmp_path, sqlite_url, view_seconds=0)
    yield service
    service.service.store.close()


def register(running: Running, url: str, *events: str) -> None:
    """Register the hook that ada is told by."""
    hooks = {"hooks": {"pager": {"url": url, "events": list(events or ("request",))}}}
    files = bundle_files(
        running.enforcer_key.public_jwk(), people_yaml=HOOKED, tools_yaml=SUMMARY
    ) | {"webhooks.yaml": json.dumps(hooks)}
    activate(running.service, tenant="default", files=files, by="ops")


def posted(running: Running, there: Host, **changed: Any) -> None:
    register(running, f"http://localhost:{there.port}/hook", "request", "reminder")
    told = {"channel": "webhook:pager", **changed}
    assert WebhookChannel(running.service).send(message(**told), None) is None


def verify(public_key: str, headers: Mapping[str, str], body: bytes) -> None:
    """Check a webhook as Standard Webhooks says, with the published key."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    version, _, signed = headers["webhook-signature"].partition(",")
    assert version == "v1a"
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key.verify(base64.b64decode(signed, validate=True), content)


# What is posted


def test_a_receiver_verifies_it_with_the_published_key(running: Running) -> None:
    with host() as there:
        posted(running, there)
    public = running.service.keys.webhook_public_key
    headers, body = there.headers(), there.bodies[0]
    verify(public, headers, body)
    assert headers["webhook-id"] == f"{ID}-1"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    assert headers["content-type"] == "application/json"
    for other in (
        {**headers, "webhook-id": f"{ID}-2"},
        {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)},
    ):
        with pytest.raises(InvalidSignature):
            verify(public, other, body)
    with pytest.raises(InvalidSignature):
        verify(public, headers, body.replace(b"750", b"751"))


def test_an_id_cannot_run_into_the_timestamp(running: Running) -> None:
    key = running.service.keys.webhook_key
    with pytest.raises(ValueError, match="full stop"):
        signature.signed(b"", webhook_id="a.1", timestamp=2, key=key)


def test_every_revision_is_posted_and_every_attempt_has_its_revisions_id(running: Running) -> None:
    with host() as there:
        posted(running, there)
        posted(running, there)
        posted(running, there, brief=ENDED, revision=2)
    ids = [there.headers(number)["webhook-id"] for number in range(3)]
    assert ids == [f"{ID}-1", f"{ID}-1", f"{ID}-2"]
    assert there.bodies[0] == there.bodies[1]
    assert json.loads(there.bodies[2])["data"]["request"]["ended"] == ENDED.ended


def test_the_body_is_canonical_json_of_the_facts(running: Running) -> None:
    with host() as there:
        posted(running, there)
    body = there.bodies[0]
    told = json.loads(body)
    assert canonical.encode(told) == body
    assert told["type"] == "request"
    assert told["data"] == {
        "notice": ID,
        "revision": 1,
        "tenant": "default",
        "person": "ada",
        "url": BRIEF.url,
        "lines": [],
        "request": {
            "id": BRIEF.request_id,
            "state": "pending",
            "ended": None,
            "title": "Transfer money",
            "tool": "transfer",
            "target": "https://payments.example",
            "agent": "billing-agent",
            "agent_owner": "Cleo Marsh",
            "user": "Uma Reyes",
            "risk": ["money-movement"],
            "fields": [
                {"label": "Amount", "value": "750.00 EUR"},
                {"label": "To", "value": "vendor@example.com"},
            ],
            "hidden": 2,
            "fingerprint": "7K3M-9QWX-0ABC-DEFG",
            "created": BRIEF.created,
            "expires": BRIEF.expires,
            "progress": [{"reason": BRIEF.reasons[0], "filled": 0, "quorum": 2}],
            "decided": [],
            "repeats": 0,
        },
    }


def test_a_hook_is_told_only_what_it_is_registered_for(running: Running) -> None:
    with host() as there:
        posted(running, there, kind=NoticeKind.DIGEST, brief=None)
        assert there.requests == []
        posted(running, there, kind=NoticeKind.REMINDER)
        assert len(there.requests) == 1


# What comes of it


@pytest.mark.parametrize(
    ("said", "outcome", "code", "after"),
    [
        (answer("200 OK"), None, "", None),
        (answer("202 Accepted"), None, "", None),
        (answer("410 Gone"), GiveUp, "hook_ended", None),
        (answer("429 Slow", "Retry-After: 17"), TryAgain, "hook_busy", 17),
        (answer("429 Slow", "Retry-After: 0"), TryAgain, "hook_busy", 1),
        (answer("429 Slow", "Retry-After: 999999999999"), TryAgain, "hook_busy", 86_400),
        (answer("503 Away", "Retry-After: soon"), TryAgain, "hook_busy", None),
        (answer("503 Away", "Retry-After: -1"), TryAgain, "hook_busy", None),
        (answer("503 Away", "Retry-After: \xb2"), TryAgain, "hook_busy", None),
        (
            answer("503 Away", f"Retry-After: {formatdate(0, usegmt=True)}"),
            TryAgain,
            "hook_busy",
            1,
        ),
        (
            answer("503 Away", f"Retry-After: {formatdate(4_000_000_000, usegmt=True)}"),
            TryAgain,
            "hook_busy",
            86_400,
        ),
        (
            answer("503 Away", f"Retry-After: Mon, 01 Jan {'9' * 30} 00:00:00 GMT"),
            TryAgain,
            "hook_busy",
            None,
        ),
        (
            answer("503 Away", f"Retry-After: Mon, 01 Jan 2030 00:00:00 +{'9' * 30}"),
            TryAgain,
            "hook_busy",
            None,
        ),
        (answer("500 Oh"), TryAgain, "hook_busy", None),
        (answer("301 Moved", "Location: https://evil.example/"), TryAgain, "hook_refused", None),
        (answer("400 What"), TryAgain, "hook_refused", None),
        (answer("401 Who"), TryAgain, "hook_refused", None),
        (answer("404 Where"), TryAgain, "hook_refused", None),
        (b"nonsense\r\n\r\n", TryAgain, "hook_nonsense", None),
    ],
    ids=range(19),
)
def test_what_an_answer_means(
    running: Running,
    said: bytes,
    outcome: type[AssentError] | None,
    code: str,
    after: int | None,
) -> None:
    with host(said) as there:
        if outcome is None:
            posted(running, there)
            return
        with pytest.raises(outcome) as caught:
            posted(running, there)
    assert caught.value.code == code
    assert getattr(caught.value, "after", None) == after


def test_a_hook_that_is_registered_no_longer_is_given_up(running: Running) -> None:
    with host() as there:
        posted(running, there)
        with pytest.raises(GiveUp) as caught:
            posted(running, there, channel="webhook:other")
    assert caught.value.code == "hook_gone"
    assert len(there.requests) == 1


def test_a_service_that_others_reach_posts_to_no_hook_on_its_machine(running: Running) -> None:
    """Also where the service's address changed after the bundle had been activated."""
    with host() as there:
        register(running, f"http://localhost:{there.port}/hook")
        service = running.service
        settings = service.settings.model_copy(update={"url": "https://assent.example"})
        public = Service(store=service.store, keys=service.keys, settings=settings)
        with pytest.raises(GiveUp) as caught:
            WebhookChannel(public).send(message(channel="webhook:pager"), None)
        assert caught.value.code == "hook_url"
        assert there.requests == []


def test_a_name_that_leads_inside_waits_for_somebody_to_change_it(running: Running) -> None:
    register(running, "https://hooks.example/")
    channel = WebhookChannel(running.service, resolve=lambda _name, _port: ["10.0.0.1"])
    with pytest.raises(TryAgain) as caught:
        channel.send(message(channel="webhook:pager"), None)
    assert (caught.value.code, caught.value.after) == ("hook_address", 900)


def test_the_machines_own_resolver_is_asked_unless_told_otherwise() -> None:
    assert "127.0.0.1" in sender.addresses("localhost", 80)
    assert sender.addresses("127.0.0.1", 80) == ["127.0.0.1"]


# The whole way


def delivered(running: Running, there: Host) -> list[dict[str, Any]]:
    before = len(there.requests)
    channel = WebhookChannel(running.service)
    while deliver(running.service, channel, worker="w"):
        pass
    for number in range(before, len(there.requests)):
        verify(running.service.keys.webhook_public_key, there.headers(number), there.bodies[number])
    return [json.loads(body)["data"] for body in there.bodies[before:]]


def test_a_request_from_the_asking_to_the_end(running: Running) -> None:
    with host() as there:
        register(running, f"http://localhost:{there.port}/hook")
        request = running.opened("750.00")
        (asked,) = delivered(running, there)
        running.decide("ada", request)
        (voted,) = delivered(running, there)
        running.decide("ben", request)
        (ended,) = delivered(running, there)
    assert {each["notice"] for each in (asked, voted, ended)} == {asked["notice"]}
    assert asked["revision"] < voted["revision"] < ended["revision"]
    assert [each["request"]["state"] for each in (asked, voted, ended)] == [
        "pending",
        "pending",
        "approved",
    ]
    assert voted["request"]["decided"] == [{"person": "Ada Okafor", "decision": "approve"}]


def test_what_the_tools_owner_did_not_let_out_is_in_no_webhook(running: Running) -> None:
    with host() as there:
        register(running, f"http://localhost:{there.port}/hook")
        request = running.opened(
            "750.00",
            args={"to": "canary-recipient@vendor.example", "memo": "canary-memo"},
            explanation="canary-prose",
            task="canary-task",
        )
        (asked,) = delivered(running, there)
        running.decide("ada", request, "deny", reason="canary-reason")
        delivered(running, there)
    assert asked["request"]["fields"] == [{"label": "Amount", "value": "750.00 EUR"}]
    assert asked["request"]["hidden"] == 2
    assert len(there.requests) == 2
    assert b"canary" not in b"".join(there.requests)


def test_a_hook_on_this_machine_is_not_activated_where_others_reach_the_service(
    tmp_path: Path, sqlite_url: str
) -> None:
    """Would catch a hook that the check takes and every delivery gives up."""
    public = start(tmp_path, sqlite_url, url="https://assent.example")
    try:
        with pytest.raises(BundleError) as refused:
            register(public, "http://localhost:9000/hook")
        assert (refused.value.code, refused.value.file) == ("bad_url", "webhooks.yaml")
        register(public, "https://hooks.example/hook")
    finally:
        public.service.store.close()
