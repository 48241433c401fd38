"""`assent evidence` and `assent verify`: a decision is checked with pinned keys alone."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from approvals.app import build_app
from approvals.config import load
from tests import service as services

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Ended, Shell


class Filed:
    """An approved transfer whose evidence and pins are on disk."""

    def __init__(self, assent: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.assent = assent
        home = tmp_path / "assent"
        home.mkdir(mode=0o700)
        monkeypatch.setenv("ASSENT_HOME", str(home))
        running = services.start(tmp_path, f"sqlite:///{home / 'assent.db'}")
        self.request = running.opened("750.00", user="uma")
        for person in ("ada", "ben"):
            running.decide(person, self.request)
        running.service.store.close()
        self.file = tmp_path / "evidence.json"
        self.pins = tmp_path / "pins"
        assert assent("keys", "directory", "--out", self.pins).code == 0
        got = assent("evidence", self.request, "--enforcer", services.ENFORCER, "--out", self.file)
        assert got.code == 0, got.err

    def verify(self, *more: str | Path, file: Path | None = None) -> Ended:
        return self.assent(
            *("verify", file or self.file, "--jwks", self.pins / "jwks.json"),
            *("--log-key", self.pins / "log.vkey", "--people", self.pins / "people.jwt"),
            *more,
        )


@pytest.fixture
def filed(assent: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Filed:
    return Filed(assent, tmp_path, monkeypatch)


def test_evidence_holds_against_pinned_keys(filed: Filed) -> None:
    ended = filed.verify("--issuer", "http://localhost:8420", "--json")
    assert ended.code == 0, ended.out
    assert ended.document["ok"] is True
    assert len(ended.document["steps"]) > 5
    assert all(step["ok"] for step in ended.document["steps"])
    told = filed.verify()
    assert told.code == 0
    assert "holds" in told.out


def test_the_log_key_may_be_written_out(filed: Filed) -> None:
    vkey = (filed.pins / "log.vkey").read_text().strip()
    pins = ("--jwks", filed.pins / "jwks.json", "--log-key", vkey)
    assert filed.assent("verify", filed.file, *pins).code == 0


def test_a_changed_digit_is_found_and_its_place_is_named(filed: Filed) -> None:
    altered = filed.file.with_name("altered.json")
    altered.write_bytes(filed.file.read_bytes().replace(b"750.00", b"950.00", 1))
    ended = filed.verify("--json", file=altered)
    assert ended.code == 1
    assert ended.document["ok"] is False
    wrong = [step for step in ended.document["steps"] if not step["ok"]]
    assert wrong
    assert all(step["place"] for step in wrong)
    told = filed.verify(file=altered)
    assert told.code == 1
    assert wrong[0]["place"] in told.out


def test_keys_of_another_service_do_not_verify_it(filed: Filed, tmp_path: Path) -> None:
    assent, other = filed.assent, tmp_path / "other"
    assert (
        assent("init", "--home", other, "--bundle", assent.write_bundle(), "--by", "ops").code == 0
    )
    pins = tmp_path / "other-pins"
    assert assent("keys", "directory", "--home", other, "--out", pins).code == 0
    for name, option in (("jwks.json", "--jwks"), ("log.vkey", "--log-key")):
        pinned = {"--jwks": filed.pins / "jwks.json", "--log-key": filed.pins / "log.vkey"}
        pinned[option] = pins / name
        flat = [part for pair in pinned.items() for part in pair]
        assert assent("verify", filed.file, *flat).code == 1, option


def test_the_wrong_issuer_is_a_finding(filed: Filed) -> None:
    assert filed.verify("--issuer", "https://other.example").code == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"typ":"x","typ":"x"}'])
def test_what_is_no_evidence_is_a_finding_and_no_traceback(filed: Filed, content: bytes) -> None:
    path = filed.file.with_name("odd.json")
    path.write_bytes(content)
    ended = filed.verify("--json", file=path)
    assert ended.code == 1
    assert ended.document["ok"] is False


def test_pins_that_are_none_are_bad_input(filed: Filed) -> None:
    bad = filed.file.with_name("bad.json")
    bad.write_text(json.dumps({"keys": [{"kty": "oct", "k": "AA"}]}))
    none = filed.file.with_name("none.json")
    none.write_text(json.dumps({"keys": []}))
    log_key = ("--log-key", filed.pins / "log.vkey")
    for jwks in (bad, none, filed.file.with_name("gone.json"), filed.pins / "people.jwt"):
        ended = filed.assent("verify", filed.file, "--jwks", jwks, *log_key, "--json")
        assert ended.code == 2, jwks
        assert ended.error["code"]
    pinned = ("--jwks", filed.pins / "jwks.json")
    missing = filed.assent("verify", filed.file, *pinned, "--log-key", "nonsense", "--json")
    assert (missing.code, missing.error["place"]) == (2, "nonsense")
    ended = filed.assent(
        *("verify", filed.file, *pinned, *log_key, "--people", filed.pins / "log.vkey", "--json")
    )
    assert ended.code == 2
    assert ended.error["place"].endswith("log.vkey")


def test_a_log_key_that_is_none_is_bad_input(filed: Filed) -> None:
    pins = ("--jwks", filed.pins / "jwks.json", "--log-key", "a+b+c")
    ended = filed.assent("verify", filed.file, *pins, "--json")
    assert (ended.code, ended.error["code"], ended.error["place"]) == (2, "vkey", "--log-key")


def test_evidence_finds_the_enforcer_itself(filed: Filed) -> None:
    out = filed.file.with_name("found.json")
    assert filed.assent("evidence", filed.request, "--out", out).code == 0
    assert filed.verify(file=out).code == 0
    for subject in ("req_nothing", "vrd_nothing", "nothing"):
        ended = filed.assent("evidence", subject, "--out", out.with_name("no.json"), "--json")
        assert (ended.code, ended.error["code"]) == (2, "not_found")


def test_it_says_on_whose_word_it_is_complete(filed: Filed) -> None:
    steps = {step["step"]: step["detail"] for step in filed.verify("--json").document["steps"]}
    assert "log" not in steps
    assert steps["complete"].endswith("on the word of the service")
    assert "on the word of the service" in " ".join(filed.verify().out.split())


def test_what_nothing_shows_is_named(filed: Filed) -> None:
    document = json.loads(filed.file.read_text())
    for event in document["events"]:
        event["opening"].pop("reason", None)
    stripped = filed.file.with_name("stripped.json")
    stripped.write_text(json.dumps(document))
    ended = filed.verify("--json", file=stripped)
    assert (ended.code, ended.document["ok"]) == (0, True)
    assert set(ended.document["not_shown"]) == {
        *("events[1].reason", "events[2].reason"),
        *("votes[0].reason", "votes[1].reason"),
    }
    told = filed.verify(file=stripped).out
    assert "not shown: votes[0].reason, votes[1].reason" in " ".join(told.split())
    assert "4 values are not shown" in " ".join(told.split())


def test_completeness_is_checked_in_the_log_itself(filed: Filed, tmp_path: Path) -> None:
    """From a running service, and from a folder that was fetched from it."""
    home = filed.file.parent / "assent"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://localhost:{listening.getsockname()[1]}"
        settings = load(home=home, url=url, database=f"sqlite:///{home / 'assent.db'}")
        app = build_app(services.open_service(settings))
        with services.serving(app, listening):
            ended = filed.verify("--log", url, "--json")
            fetched = filed.assent("log", "fetch", "--url", url, "--out", tmp_path / "log")
            again = filed.assent("log", "fetch", "--url", url, "--out", tmp_path / "log", "--json")
    assert (fetched.code, again.code) == (0, 0), fetched.err
    assert ended.code == 0, ended.out
    assert ended.document["steps"][-1]["step"] == "log"
    assert ended.document["not_shown"] == []
    offline = filed.verify("--log", tmp_path / "log", "--json")
    assert offline.document["steps"][-1] == ended.document["steps"][-1]
    assert again.document["size"] > 3
    bundle = next((tmp_path / "log" / "tile" / "entries").rglob("*.p/*"))
    bundle.write_bytes(bundle.read_bytes().replace(b"vote.approve", b"vote.approvd"))
    altered = filed.verify("--log", tmp_path / "log", "--json")
    assert (altered.code, altered.document["steps"][-1]["ok"]) == (1, False)
    bundle.unlink()
    assert filed.verify("--log", tmp_path / "log", "--json").code == 2


def test_a_fetched_copy_is_not_replaced_by_a_log_that_does_not_go_on_from_it(
    filed: Filed, tmp_path: Path
) -> None:
    """It may be the only proof that the log was cut off or changed since."""
    home, copy = filed.file.parent / "assent", tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://localhost:{listening.getsockname()[1]}"
        settings = load(home=home, url=url, database=f"sqlite:///{home / 'assent.db'}")
        with services.serving(build_app(services.open_service(settings)), listening):
            fetch = ("log", "fetch", "--url", url, "--out", copy, "--json")
            assert filed.assent(*fetch).code == 0
            note = (copy / "checkpoint").read_text()
            origin, size, _, rest = note.split("\n", 3)
            for kept, code in (
                ([origin, str(int(size) + 1), "A" * 43 + "="], "log_truncated"),
                ([origin, size, "A" * 43 + "="], "log_forked"),
            ):
                (copy / "checkpoint").write_text("\n".join([*kept, rest]))
                ended = filed.assent(*fetch)
                assert (ended.code, ended.document["code"]) == (1, code)
                assert (copy / "checkpoint").read_text() == "\n".join([*kept, rest])
            (copy / "checkpoint").write_text(note)
            bundle = next((copy / "tile" / "entries").rglob("*.p/*"))
            bundle.write_bytes(bundle.read_bytes()[:-5])
            ended = filed.assent(*fetch)
            assert (ended.code, ended.document["code"]) == (1, "bundle")
            assert f"{bundle.relative_to(copy)}: cut off" in ended.document["message"]
            bundle.unlink()
            assert filed.assent(*fetch).code == 0


def test_a_log_that_is_nowhere_is_bad_input(filed: Filed, tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere", "ftp://localhost/", "http://example.com"):
        assert filed.verify("--log", place, "--json").code == 2, place


def test_evidence_of_somebody_elses_call_is_not_found(filed: Filed) -> None:
    out = filed.file.with_name("other.json")
    for subject, enforcer in ((filed.request, "gw"), ("req_nothing", services.ENFORCER)):
        ended = filed.assent("evidence", subject, "--enforcer", enforcer, "--out", out, "--json")
        assert (ended.code, ended.error["code"]) == (2, "not_found")
    assert not out.exists()
