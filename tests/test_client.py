"""The client against the real service, and against servers that misbehave."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from approvals.client import (
    Allowed,
    Approved,
    Cancelled,
    Client,
    Denied,
    Pending,
    Refused,
    ServiceAway,
    ServiceError,
    mint_token,
)
from approvals.client.plans import ATTEMPTS
from approvals.core import jws
from approvals.core.calls import ToolCall, call_hash
from approvals.core.decision.ceremony import Decision
from approvals.core.errors import AssentError, KeySetError
from approvals.core.receipt import sign
from tests.api.running import BALANCE, TARGET, TRANSFER, Running, served
from tests.company import CALL, Company, make_signing_key, new_key, public_jwk
from tests.company import NOW as COMPANY_NOW
from tests.progress import PATIENCE
from tests.vectors.make_receipt_vectors import receipt_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMPANY, STRANGER = Company(), make_signing_key()
HELD = COMPANY.verifier().verify(COMPANY.token(COMPANY.approval()), CALL, now=COMPANY_NOW)
WHO: dict[str, Any] = {"agent": "billing-agent", "user": "uma"}
NOW = 1_800_000_000


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with served(tmp_path_factory.mktemp("client") / "home") as made:
        yield made


@pytest.fixture
def client(company: Running) -> Client:
    return company.client()


def transfer(amount: int) -> ToolCall:
    return ToolCall(TARGET, "transfer", {**TRANSFER.args, "amount": amount})


def test_policy_allows_refuses_and_asks(client: Client, company: Running) -> None:
    allowed = client.submit(BALANCE, **WHO)
    assert isinstance(allowed, Allowed)
    company.verifier().verify(allowed.approval, BALANCE, now=company.now())
    refused = client.submit(ToolCall(TARGET, "wipe", {}), **WHO)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.rules) == ("not_permitted", ())
    assert refused.reasons
    asked = client.submit(transfer(1), **WHO)
    assert isinstance(asked, Pending)
    assert asked.url.startswith(company.url)


def test_everything_that_can_be_said_is_taken(client: Client) -> None:
    submitted = client.submit(
        transfer(2),
        **WHO,
        task="t-1",
        precondition='"etag"',
        explanation="Because.\nReally.",
        provenance={"model": "m", "prompt_hash": "h", "context_refs": ["doc:1"]},
        idempotency_key="key-1",
    )
    assert isinstance(submitted, Pending)


def test_waiting_ends_with_the_decision(client: Client, company: Running) -> None:
    approved = client.submit(transfer(3), **WHO)
    company.approve(approved.id)
    outcome = client.wait(approved.id, timeout=PATIENCE)
    assert isinstance(outcome, Approved)
    company.verifier().verify(outcome.token, transfer(3), now=company.now())
    denied = client.submit(transfer(4), **WHO)
    company.decide("ada", denied.id, decision=Decision.DENY, reason="no")
    assert client.wait(denied.id, timeout=PATIENCE) == Denied(denied.id, "ada", "no", 0)
    cancelled = client.submit(transfer(5), **WHO)
    client.cancel(cancelled.id)
    assert client.wait(cancelled.id, timeout=PATIENCE) == Cancelled(cancelled.id)


def test_a_wait_that_is_over_is_pending(client: Client) -> None:
    asked = client.submit(transfer(6), **WHO)
    assert isinstance(client.wait(asked.id, timeout=0), Pending)
    assert isinstance(client.wait(asked.id, timeout=1.2), Pending)


def test_an_approval_is_spent_once_and_its_outcome_told_once(
    client: Client, company: Running
) -> None:
    allowed = client.submit(BALANCE, **WHO)
    assert isinstance(allowed, Allowed)
    verifier = company.verifier()
    approval = verifier.verify(allowed.approval, BALANCE, now=company.now())
    jti = approval.jti
    with pytest.raises(ServiceError) as early:
        client.report(jti, status="ok")
    assert (early.value.status, early.value.code) == (409, "not_consumed")
    hashed = call_hash(BALANCE)
    receipt = client.consume(approval, verifier=verifier, use_id="one")
    assert (receipt.jti, receipt.use_id, receipt.call_hash) == (jti, "one", hashed)
    assert client.consume(approval, verifier=verifier, use_id="one") == receipt
    with pytest.raises(ServiceError) as spent:
        client.consume(approval, verifier=verifier, use_id="two")
    assert (spent.value.status, spent.value.code) == (409, "consumed")
    client.report(jti, status="ok", output_hash=hashed)
    client.report(jti, status="ok", output_hash=hashed)
    with pytest.raises(ServiceError) as other:
        client.report(jti, status="error")
    assert other.value.code == "already_reported"


def test_an_id_cannot_reach_another_route(client: Client) -> None:
    for name in ("", ".", "..", "../v1/calls", "req_/cancel", "a?wait=1", "a#", "%2e", "\u00fc"):
        for use in (client.look, client.cancel, client.evidence):
            with pytest.raises(ValueError, match="not an id"):
                use(name)
    with pytest.raises(ServiceError) as unknown:
        client.look("req_unknown")
    assert (unknown.value.status, unknown.value.code) == (404, "not_found")


def test_a_refusal_has_the_services_code_and_place(client: Client) -> None:
    with pytest.raises(ServiceError) as refused:
        client.submit(BALANCE, agent="billing-agent", user="u\x00")
    assert (refused.value.status, refused.value.code, refused.value.place) == (
        422,
        "invalid",
        "/user",
    )


def test_an_unknown_enforcer_is_not_let_in(company: Running) -> None:
    with (
        Client(company.url, enforcer="gateway", key=new_key()) as stranger,
        pytest.raises(ServiceError) as refused,
    ):
        stranger.submit(BALANCE, **WHO)
    assert (refused.value.status, refused.value.code) == (401, "unauthenticated")


def test_keys_and_directory_can_be_fetched(client: Client, company: Running) -> None:
    company.session("ada")
    _, directory = jws.verify(client.directory(), keys=client.jwks(), typ="assent-directory+jwt")
    assert directory["issuer"] == company.url


def test_a_token_is_what_the_protocol_says() -> None:
    key = new_key()
    token = mint_token(enforcer="e", key=key, audience="https://a.example", now=NOW)
    header, claims = jws.verify(token, keys={"keys": [public_jwk(key)]}, typ="JWT")
    assert set(header) == {"alg", "kid", "typ"}
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("e", "e", "https://a.example")
    assert (claims["iat"], claims["exp"]) == (NOW, NOW + 300)
    again = mint_token(enforcer="e", key=key, audience="https://a.example", now=NOW)
    assert jws.verify(again, keys={"keys": [public_jwk(key)]}, typ="JWT")[1]["jti"] != claims["jti"]


@pytest.mark.parametrize(
    "url",
    [
        "http://assent.example",
        "http://127.0.0.1.example",
        "https://user@assent.example",
        "https://:secret@assent.example",
        "https://assent.example?x=1",
        "https://assent.example#x",
        "ftp://localhost",
        "https://",
        "https://[::1",
        "assent.example",
        "",
    ],
)
def test_an_address_that_would_show_the_token_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"https|not an address"):
        Client(url, enforcer="e", key=new_key())


def test_a_key_that_cannot_sign_is_refused_at_once() -> None:
    with pytest.raises(KeySetError):
        Client("https://assent.example", enforcer="e", key=public_jwk(new_key()))


class Server(ThreadingHTTPServer):
    """A server that answers as it is told, and remembers what it was asked."""

    def __init__(self, answer: Callable[[Handler], None]) -> None:
        self.seen: list[dict[str, str]] = []
        self.answer = answer
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def client(self, **options: Any) -> Client:
        return Client(self.url, enforcer="e", key=new_key(), **options)


class Handler(BaseHTTPRequestHandler):
    server: Server
    body: bytes

    def handle_any(self) -> None:
        # Its own: many are answered at a time.
        self.body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen.append({name.lower(): value for name, value in self.headers.items()})
        self.server.answer(self)

    do_GET = do_POST = handle_any  # noqa: N815 - the names that the base class looks for

    def log_message(self, *_: object) -> None:
        pass


def give(status: int, body: bytes, **headers: str) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        with contextlib.suppress(ConnectionError):  # a client that stops reading is the point
            handler.wfile.write(body)

    return answer


@contextlib.contextmanager
def serving(answer: Callable[[Handler], None]) -> Iterator[Server]:
    with Server(answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        give(200, b"x" * (2 * 1024 * 1024 + 1)),
        give(200, gzip.compress(b"{}"), Content_Encoding="gzip"),
        give(200, b"not json"),
        give(200, b"[]"),
        give(200, b'{"state":"pending","state":"approved"}'),
        give(200, b'{"id":"req_x","state":"approved","approval":null}'),
        give(200, b'{"id":"req_x","state":"blessed"}'),
        give(200, b'{"id":"req_x","state":"pending","url":"u","expires":true}'),
        give(200, b'{"id":"req_x","state":"denied","denied":null}'),
        give(200, b"{}"),
    ],
)
def test_an_answer_that_is_not_as_it_should_be_is_an_error(
    answer: Callable[[Handler], None],
) -> None:
    with serving(answer) as server, server.client() as client:
        with pytest.raises(ServiceError) as refused:
            client.look("req_x")
        assert refused.value.code == "answer"


def test_no_redirect_is_followed() -> None:
    with serving(give(200, b"{}")) as elsewhere:
        moved = give(307, b"", Location=f"{elsewhere.url}/v1/requests/x")
        with serving(moved) as server, server.client() as client:
            with pytest.raises(ServiceError) as refused:
                client.look("x")
            assert refused.value.status == 307
        assert elsewhere.seen == []


def test_a_page_of_a_proxy_is_an_error_without_a_code_of_ours() -> None:
    with serving(give(403, b"<html>")) as server, server.client() as client:
        with pytest.raises(ServiceError) as refused:
            client.look("x")
        assert (refused.value.code, refused.value.status) == ("unexpected", 403)


def test_whatever_is_sent_can_be_repeated_and_is_a_few_times() -> None:
    with serving(give(503, b'{"code":"unavailable"}')) as server, server.client() as client:
        attempts: dict[str, Callable[[], object]] = {
            "no key": lambda: client.submit(BALANCE, **WHO),
            "a key": lambda: client.submit(BALANCE, **WHO, idempotency_key="k"),
            "a use": lambda: client.consume(HELD, verifier=COMPANY.verifier(), use_id="u"),
            "a report": lambda: client.report("apr_x", status="ok"),
        }
        tried = {}
        for name, attempt in attempts.items():
            before = len(server.seen)
            with pytest.raises(ServiceAway):
                attempt()
            tried[name] = len(server.seen) - before
        assert set(tried.values()) == {ATTEMPTS}
        keys = [seen.get("idempotency-key") for seen in server.seen[: 2 * ATTEMPTS]]
        # Without a key of the caller's own a submission has a fresh one, and keeps it.
        assert keys == [keys[0]] * ATTEMPTS + ["k"] * ATTEMPTS
        assert len(keys[0] or "") > 20


NO_RECEIPTS: dict[str, Callable[[], object]] = {
    "nothing": dict,
    "the old form": lambda: {**receipt_for(COMPANY, use_id="u").claims()},
    "not text": lambda: {"receipt": {}},
    "no token": lambda: {"receipt": "granted"},
    "another use": lambda: {"receipt": sign(receipt_for(COMPANY), key=COMPANY.key)},
    "another key": lambda: {"receipt": sign(receipt_for(COMPANY, use_id="u"), key=STRANGER)},
    "the approval": lambda: {"receipt": COMPANY.token(COMPANY.approval())},
}


@pytest.mark.parametrize("name", NO_RECEIPTS)
def test_no_other_answer_than_a_signed_receipt_for_this_use_counts_as_one(name: str) -> None:
    body = json.dumps(NO_RECEIPTS[name]()).encode()
    with serving(give(200, body)) as server, server.client() as client:
        with pytest.raises(AssentError) as refused:
            client.consume(HELD, verifier=COMPANY.verifier(), use_id="u")
        assert refused.value.code in {"receipt", "answer"}
        assert len(server.seen) == 1


def test_a_signed_receipt_for_this_use_is_one() -> None:
    receipt = receipt_for(COMPANY, use_id="u")
    body = json.dumps({"receipt": sign(receipt, key=COMPANY.key)}).encode()
    with serving(give(200, body)) as server, server.client() as client:
        assert client.consume(HELD, verifier=COMPANY.verifier(), use_id="u") == receipt


def test_a_service_that_comes_back_is_asked_again_while_waiting() -> None:
    answers = [
        give(503, b"{}"),
        give(200, b'{"id":"req_x","state":"pending","url":"u","expires":1}'),
        give(502, b"<html>"),
        give(200, b'{"id":"req_x","state":"approved","approval":"token"}'),
    ]

    def next_answer(handler: Handler) -> None:
        answers.pop(0)(handler)

    with serving(next_answer) as server, server.client() as client:
        assert client.wait("req_x", timeout=60) == Approved("req_x", "token")
    assert answers == []


def test_nobody_there_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}", enforcer="e", key=new_key()) as client:
        with pytest.raises(ServiceAway):
            client.submit(BALANCE, **WHO)
        with pytest.raises(ServiceAway):
            client.wait("req_x", timeout=0)


def test_a_token_is_used_again_until_it_is_old() -> None:
    now = [float(NOW)]
    pending = give(200, b'{"id":"req_x","state":"pending","url":"u","expires":1}')
    with serving(pending) as server, server.client(clock=lambda: now[0]) as client:
        for passed in (0, 200, 250, 250, -10_000):
            now[0] = NOW + passed
            client.look("req_x")
        sent = [seen["authorization"] for seen in server.seen]
    assert [sent.index(token) for token in sent] == [0, 0, 2, 2, 4]


def test_public_keys_are_fetched_without_showing_a_token() -> None:
    with serving(give(200, b'{"keys":[]}')) as server, server.client() as client:
        assert client.jwks() == {"keys": []}
        assert "authorization" not in server.seen[0]


def test_an_http_client_can_be_given(company: Running) -> None:
    with httpx2.Client() as http:
        client = company.client(http=http)
        assert isinstance(client.submit(BALANCE, **WHO), Allowed)
