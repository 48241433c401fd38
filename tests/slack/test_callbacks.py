from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient

from approvals.app import build_app
from approvals.flow.service import Service
from approvals.integrations.slack.callbacks import COMMANDS, INTERACTIONS, LARGEST
from approvals.keys import Keyring
from approvals.policy.bundle import Bundle
from approvals.store import open_store
from tests.service import RULES
from tests.slack.counterpart import FORM, form
from tests.slack.workplace import URL, Workplace

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence

    from fastapi import FastAPI

    from tests.draws import Draws
    from tests.slack.records import Message

CODE = "slack_callback"


def other_replica(place: Workplace) -> tuple[Service, TestClient]:
    """The service started a second time on the same database: a restart, or another replica."""
    settings = place.running.service.settings
    service = Service(
        store=open_store(settings.database_url, mac=place.running.service.keys.seal),
        keys=Keyring.open(settings.home, now=1, origin=settings.log_origin),
        settings=settings,
    )
    return service, TestClient(build_app(service, jobs=False), base_url=URL)


def test_a_replay_does_nothing_here_or_elsewhere(
    place: Workplace, small: tuple[str, Message]
) -> None:
    _, message = small
    place.rules(RULES.replace('@step_up("passkey")', '@step_up("session")').replace('"1"', '"2"'))
    body = form(place.slack.click("U0ADA", message.buttons["assent.approve"]))
    headers = place.slack.signed(body)
    assert place.post(INTERACTIONS, body, headers).status_code == 200
    before = place.everything()
    service, elsewhere = other_replica(place)
    for http in (place.http, elsewhere, place.http):
        for path in (INTERACTIONS, COMMANDS):
            answer = place.post(path, body, headers, http)
            assert (answer.status_code, answer.json()["code"]) == (401, CODE)
    assert place.everything() == before
    service.store.close()


def test_without_a_signing_secret_there_are_no_routes(place: Workplace) -> None:
    settings = place.running.service.settings.model_copy(update={"slack_signing_secret": None})
    service = Service(place.running.service.store, place.running.service.keys, settings)
    http = TestClient(build_app(service, jobs=False), base_url=URL)
    body = form(place.slack.click("U0ADA", {"action_id": "assent.approve", "value": "x"}))
    assert place.post(INTERACTIONS, body, place.slack.signed(body), http).status_code == 404


@pytest.mark.parametrize("age", [-330, 330, 86_400, -86_400])
def test_a_signature_is_good_for_five_minutes(
    place: Workplace, small: tuple[str, Message], age: int
) -> None:
    request, message = small
    payload = place.slack.click("U0ADA", message.buttons["assent.approve"])
    assert place.interact(payload, timestamp=int(time.time()) + age).status_code == 401
    assert place.state(request) == "pending"
    assert place.interact(payload, timestamp=int(time.time()) + 270).status_code == 200


def test_the_services_time_counts_and_not_the_machines(
    place: Workplace, small: tuple[str, Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, message = small
    body = form(place.slack.click("U0ADA", message.buttons["assent.open"]))
    headers = place.slack.signed(body)
    store = place.running.service.store
    honest = store._now
    monkeypatch.setattr(store, "_now", lambda session: honest(session) + 400)
    place.running.service.forget_recent("default")
    assert place.post(INTERACTIONS, body, headers).status_code == 401


def call(app: FastAPI, path: str, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> Any:
    """One request to the application, as a server would hand it over; header names as they are."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost:8420"), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8420),
    }
    sent: list[dict[str, Any]] = []
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return left.pop() if left else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def run() -> int:
        await app(scope, receive, send)
        status: int = sent[0]["status"]
        return status

    return run()


Headers = list[tuple[bytes, bytes]]
TIME, SIGNATURE, KIND = b"x-slack-request-timestamp", b"x-slack-signature", b"content-type"


def raw(headers: dict[str, str]) -> Headers:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def without(headers: Headers, name: bytes) -> Headers:
    return [each for each in headers if each[0] != name]


def with_one(headers: Headers, name: bytes, value: bytes) -> Headers:
    return [*without(headers, name), (name, value)]


def wrong_headers(chance: random.Random, headers: Headers, body: bytes) -> Headers:
    """Headers that Slack would not have sent with this body."""
    good = dict(headers)
    digits = good[SIGNATURE].removeprefix(b"v0=")
    at = good[TIME]
    flipped = bytearray(digits)
    place = chance.randrange(64)
    flipped[place] = ord("1") if flipped[place] == ord("0") else ord("0")
    ways: list[Callable[[], Headers]] = [
        lambda: without(headers, SIGNATURE),
        lambda: without(headers, TIME),
        lambda: [*headers, (SIGNATURE, good[SIGNATURE])],
        lambda: [*headers, (TIME, at)],
        lambda: [*headers, (SIGNATURE, b"v0=" + b"0" * 64)],
        lambda: with_one(headers, SIGNATURE, b"v0=" + bytes(flipped)),
        lambda: with_one(headers, SIGNATURE, b"v0=" + digits.upper() + b"A"[: chance.randrange(2)]),
        lambda: with_one(headers, SIGNATURE, digits),
        lambda: with_one(headers, SIGNATURE, b"v1=" + digits),
        lambda: with_one(headers, SIGNATURE, b"v0=" + digits[: chance.randrange(64)]),
        lambda: with_one(headers, SIGNATURE, b" v0=" + digits),
        lambda: with_one(headers, SIGNATURE, b"v0=" + digits + b", v0=" + digits),
        lambda: with_one(headers, SIGNATURE, chance.randbytes(chance.randrange(80))),
        lambda: with_one(headers, SIGNATURE, "v0=é".encode() * 20),
        lambda: with_one(headers, TIME, b""),
        lambda: with_one(headers, TIME, b"-" + at),
        lambda: with_one(headers, TIME, at + b".0"),
        lambda: with_one(headers, TIME, b"+" + at),
        lambda: with_one(headers, TIME, at[:4] + b"_" + at[4:]),
        lambda: with_one(headers, TIME, "٣".encode() * 10),
        lambda: with_one(headers, TIME, b"9" * chance.randrange(13, 5000)),
        lambda: with_one(headers, TIME, str(int(at) + chance.randrange(1, 300)).encode()),
        lambda: with_one(headers, TIME, chance.randbytes(chance.randrange(20))),
        lambda: with_one(headers, TIME, b"NaN"),
        lambda: with_one(headers, TIME, b"1e9"),
    ]
    made = chance.choice(ways)()
    assert made != headers or body == b""
    return made


def signed_nonsense(chance: random.Random, place: Workplace) -> tuple[bytes, Headers]:
    """A body that is signed, and not what Slack sends."""
    slack = place.slack
    click = slack.click("U0ADA", {"action_id": "assent.approve", "value": "req_" + "a" * 26})
    payload = json.dumps(click)
    broken = dict(click)
    member = chance.choice(["type", "user", "team", "actions", "trigger_id", "response_url"])
    wrong: list[object] = [7, [], {}, [[]], {"id": 7}, True, [{}], [{}, {}]]
    if member != "response_url":  # where no answer can be left, none is: any text is taken
        wrong += ["", "\x00"]
    if member != "team":  # an organization's own app has none
        wrong.append(None)
    broken[member] = chance.choice(wrong)
    bodies = [
        b"",
        b"payload=",
        b"payload",
        b"payload={",
        b"payload=[]",
        b"payload=null",
        b"payload=%ff%fe",
        b"payload=" + b"%5B" * 5_000,
        b"payload=1&payload=2",
        b"=&=&=",
        b"&" * 100,
        b"%" * 100,
        chance.randbytes(chance.randrange(1, 300)),
        payload.encode(),
        form(click) + b"&payload=%7B%7D",
        form(click) + b"&extra=1",
        b"extra=1&" + form(click),
        form(click).replace(b"payload=", b"Payload="),
        urlencode(
            {"payload": payload.replace('{"type"', '{"type": "shortcut", "type"', 1)}
        ).encode(),
        urlencode({"payload": payload + payload}).encode(),
        urlencode({"payload": "\ufeff" + payload}).encode(),
        urlencode({"payload": payload.replace("U0ADA", "U0ADA\\u0000")}).encode(),
        urlencode({"payload": payload.replace('"U0ADA"', "NaN")}).encode(),
        urlencode({"payload": payload.replace('"U0ADA"', "1" * 5000)}).encode(),
        urlencode({"payload": '{"a":' * 200 + "1" + "}" * 200}).encode(),
        form(broken),
        urlencode({f"f{n}": "x" for n in range(60)}).encode(),
    ]
    body = chance.choice(bodies)
    # A moment of its own for each, so that none is refused for having been seen.
    at = int(time.time()) + chance.randrange(-250, 250)
    headers = raw(slack.signed(body, timestamp=at))
    if chance.randrange(6) == 0:
        kind = chance.choice(
            [b"application/json", b"text/plain", b"", b"multipart/form-data", b"\xff"]
        )
        return form(click), with_one(raw(slack.signed(form(click), timestamp=at)), KIND, kind)
    return body, headers


def forgeries(
    place: Workplace, buttons: dict[str, Any], *, count: int, chance: random.Random
) -> Iterator[tuple[str, bytes, Headers]]:
    """Callbacks that must not work: forged, replayed, malformed."""
    slack = place.slack
    body = form(slack.click("U0ADA", buttons["assent.approve"]))
    headers = raw(slack.signed(body))
    spent = form(slack.click("U0ADA", buttons["assent.open"]))
    spent_headers = raw(slack.signed(spent))
    assert place.post(INTERACTIONS, spent, dict(slack.signed(spent))).status_code == 200
    for number in range(count):
        path = (INTERACTIONS, COMMANDS)[chance.randrange(2)]
        match number % 5:
            case 0:
                yield path, body, wrong_headers(chance, headers, body)
            case 1:  # another body under a good signature
                at = chance.randrange(len(body))
                changed = bytes([*body[:at], (body[at] + 1) % 256, *body[at + 1 :]])
                yield path, changed, headers
            case 2:  # signed by somebody else
                secret = chance.choice(
                    ["", "x", slack.signing_secret[:-1], slack.signing_secret.upper()]
                )
                yield path, body, raw(slack.signed(body, secret=secret or "another"))
            case 3:
                yield path, spent, spent_headers
            case _:
                nonsense, signed = signed_nonsense(chance, place)
                yield path, nonsense, signed


@pytest.mark.slow
def test_forged_replayed_and_malformed_callbacks_do_nothing(
    place: Workplace, small: tuple[str, Message], draws: Draws
) -> None:
    request, message = small
    count, chance = draws.count(sample=1_500, complete=10_000), draws.of("callbacks")
    before = place.everything()
    app = place.http.app

    async def all_of_them() -> dict[int, int]:
        statuses: dict[int, int] = {}
        for path, body, headers in forgeries(place, message.buttons, count=count, chance=chance):
            status = await call(app, path, headers, body)  # type: ignore[arg-type]
            statuses[status] = statuses.get(status, 0) + 1
            assert status == 401, (status, path, headers, body)
        return statuses

    statuses = asyncio.run(all_of_them())
    assert sum(statuses.values()) == count
    assert place.everything() == before
    assert place.state(request) == "pending"
    assert place.slack.answers == []
    # And the door still opens to who may come in.
    assert place.press("U0ADA", message, "approve").status_code == 200
    assert place.state(request) == "approved"


def test_with_the_signing_secret_stolen_nothing_approves_where_a_passkey_is_asked(
    place: Workplace, draws: Draws
) -> None:
    place.link("ada", "ben")
    place.rules(RULES)
    place.deliver()
    requests = [place.running.opened(amount) for amount in ("20.00", "750.00")]
    place.deliver()
    before = place.everything()
    chance = draws.of("stolen signing secret")
    slack = place.slack
    for number in range(draws.count(sample=250, complete=1_500)):
        request = chance.choice(requests)
        account = chance.choice(["U0ADA", "U0BEN", "U0NEW", "W0ADA"])
        payload = slack.click(
            account,
            {
                "action_id": chance.choice(
                    ["assent.approve", "assent.open", "approve", "assent.deny "]
                ),
                "value": chance.choice([request, f"{request} ", request.upper()]),
                "decision": "approve",
                "step_up": "passkey",
            },
            person=chance.choice(["ada", "ben"]),
            step_up="hardware-passkey",
        )
        match number % 4:
            case 1:
                payload["team"]["id"] = "T0OTHER"
            case 2:
                view = {
                    "callback_id": chance.choice(["assent.approve", "approve"]),
                    "private_metadata": request,
                }
                payload = slack.submit(account, view, "approve")
            case 3:
                payload["type"] = chance.choice(
                    ["message_action", "interactive_message", "shortcut"]
                )
            case _:
                pass
        assert place.interact(payload).status_code == 200
    for text in ("approve", f"approve {requests[0]}", "link AAAAAAAAAAAA"):
        assert place.command("U0ADA", text).status_code == 200
    assert place.everything() == before
    assert {place.state(request) for request in requests} == {"pending"}


def test_a_body_has_an_end(place: Workplace) -> None:
    body = b"payload=" + b"x" * LARGEST
    for headers in (place.slack.signed(body), {"Content-Type": FORM}):
        answer = place.post(INTERACTIONS, body, headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_only_posts_are_taken(place: Workplace, method: str) -> None:
    for path in (INTERACTIONS, COMMANDS):
        assert place.http.request(method, path).status_code == 405


def test_every_address_in_every_message_changes_nothing_when_it_is_fetched(
    place: Workplace, small: tuple[str, Message]
) -> None:
    _, message = small
    before = place.everything()
    found = {each["url"] for each in message.buttons.values() if "url" in each}
    found |= {f"{URL}{path}" for path in (INTERACTIONS, COMMANDS, "/me", "/")}
    assert len(found) == 5
    for url in found:
        for method in ("GET", "HEAD"):
            assert place.http.request(method, url, follow_redirects=True).status_code < 500
    assert place.everything() == before


def test_the_rules_of_these_tests_are_what_they_say(place: Workplace) -> None:
    with place.running.service.store.read() as tx:
        bundle = place.running.service.current_bundle(tx, "default").bundle
    assert isinstance(bundle, Bundle)
    assert bundle.people["ada"].channels == ("slack",)
