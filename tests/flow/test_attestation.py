"""hardware-passkey: a maker whom the operator trusts says so, never the key itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from approvals.core import b64, directory
from approvals.core.decision.ceremony import StepUp
from approvals.core.errors import AssentError, BundleError, TransitionError
from approvals.core.requests import State
from approvals.flow.operating.activate import activate
from approvals.flow.people import enrol
from approvals.flow.people.directory import directory as signed_directory
from approvals.keys.authenticators import read_authenticators
from tests.attesting import AAGUID, OTHER, Maker, MetadataService, certify
from tests.service import RULES, bundle_files, start
from tests.softkey import SoftKey

if TYPE_CHECKING:
    from pathlib import Path

    from tests.service import Running
    from tests.softkey import Attest

MAKER = Maker()
METADATA = MetadataService()
HARDWARE = RULES.replace(
    '@quorum("1") @step_up("passkey")', '@quorum("1") @step_up("hardware-passkey")'
)
ATTESTED: dict[str, Any] = {"aaguid": AAGUID.bytes, "attest": MAKER.packed()}


@pytest.fixture
def running(tmp_path: Path, sqlite_url: str) -> Running:
    roots = MAKER.write_root(tmp_path / "roots")
    return start(tmp_path, sqlite_url, people=(), attestation_roots=roots)


def level(running: Running, person: str = "ada", **options: Any) -> StepUp:
    running.enrol(person, **{"aaguid": AAGUID.bytes, **options})
    with running.service.store.read() as tx:
        (held,) = tx.passkeys.active(tenant="default", person=person)
    assert (held.attestation is not None) is (held.step_up is StepUp.HARDWARE)
    return held.step_up


def enrolled_event(running: Running) -> dict[str, Any]:
    with running.service.store.read() as tx:
        placed, waiting = tx.log.leaves(0, tx.log.leaf_count()), tx.log.staged(limit=1000)
    rows = [(row.leaf, row.opening) for row in placed] + [
        (row.leaf, row.opening) for row in waiting
    ]
    found = [(orjson.loads(leaf), orjson.loads(opening)) for leaf, opening in rows]
    _, opening = next(each for each in found if each[0]["type"] == "passkey.enrolled")
    return {name: each["value"] for name, each in opening.items()}


def test_a_key_that_its_maker_attests_to_is_hardware_and_fills_a_hardware_place(
    running: Running,
) -> None:
    key = running.enforcer_key.public_jwk()
    files = bundle_files(key, policies_payments_cedar=HARDWARE)
    activate(running.service, tenant="default", files=files, by="ops")
    assert level(running, **ATTESTED) is StepUp.HARDWARE
    request = running.opened("20.00")
    assert running.decide("ada", request) is State.APPROVED


def test_a_key_in_software_that_says_what_hardware_says_fills_no_hardware_place(
    running: Running,
) -> None:
    """Not backed up, device-bound, the AAGUID of a trusted model: all of it is only said."""
    key = running.enforcer_key.public_jwk()
    files = bundle_files(key, policies_payments_cedar=HARDWARE)
    activate(running.service, tenant="default", files=files, by="ops")
    assert level(running) is StepUp.PASSKEY
    request = running.opened("20.00")
    with pytest.raises(TransitionError) as caught:
        running.decide("ada", request)
    assert caught.value.code == "step_up_too_low"


STRANGER = Maker()


@pytest.mark.parametrize(
    ("attest", "options", "why"),
    [
        (None, {}, "no maker attests"),
        (STRANGER.packed(), {}, "under its model's roots"),
        (MAKER.packed(signer=certify("Thief")), {}, "under its model's roots"),
        (MAKER.packed(aaguid=OTHER), {}, "of another model"),
        (MAKER.packed(aaguid=None), {}, "not one for attestation"),
        (MAKER.packed(critical=True), {}, "of another model"),
        (MAKER.packed(days=(-30, -1)), {}, "not valid at this time"),
        (MAKER.packed(days=(1, 30)), {}, "not valid at this time"),
        (MAKER.packed(ca=True), {}, "not one for attestation"),
        (MAKER.packed(unit="Sales"), {}, "not one for attestation"),
        (MAKER.packed(), {"aaguid": OTHER.bytes}, "not one that the operator trusts"),
        (MAKER.packed(aaguid=OTHER), {"aaguid": OTHER.bytes}, "not one that the operator trusts"),
        (MAKER.packed(), {"aaguid": bytes(16)}, "not one that the operator trusts"),
        (MAKER.packed(), {"backup_eligible": True}, "synced"),
        (
            MAKER.packed(by=certify("Leaf", by=MAKER.root, aaguid=AAGUID)),
            {},
            "under its model's roots",
        ),
        (lambda *_: ("packed", {"alg": -7, "sig": b"", "x5c": []}), {}, "no maker attests"),
        (
            lambda *_: ("packed", {"alg": -7, "sig": b"x", "x5c": [b"not a certificate"]}),
            {},
            "not one for attestation",
        ),
        (lambda *_: ("packed", {"alg": -7, "sig": b"x", "x5c": "no list"}), {}, "no maker attests"),
        (lambda *_: ("packed", {"alg": -7, "sig": b"x", "x5c": [b"x"] * 9}), {}, "too long"),
        (
            lambda *_: ("android-key", {"alg": -7, "sig": b"x", "x5c": [MAKER.root.der]}),
            {},
            "no maker attests",
        ),
        (lambda *_: ("tpm", {"ver": "2.0"}), {}, "no maker attests"),
    ],
    ids=[
        "no attestation",
        "a root that is not trusted",
        "signed by another key",
        "a certificate of another model",
        "a certificate of no model",
        "the model as a critical extension",
        "expired",
        "not yet valid",
        "a certificate of an authority",
        "a certificate for something else",
        "another model with its certificate",
        "a model for which no root is configured",
        "no model",
        "synced between devices",
        "an attestation certificate that certifies another",
        "no certificates",
        "no certificate",
        "no list",
        "a long chain",
        "another format",
        "a format that is not taken",
    ],
)
def test_what_is_not_attested_in_every_part_is_a_passkey_like_any_other(
    running: Running, attest: Attest | None, options: dict[str, Any], why: str
) -> None:
    assert level(running, attest=attest, **options) is StepUp.PASSKEY
    told = enrolled_event(running)
    assert told["step_up"] == "passkey"
    assert told["not_hardware"].startswith("not a hardware passkey: ")
    assert why in told["not_hardware"]


def test_a_self_attestation_is_none(running: Running) -> None:
    running_key: list[Any] = []

    def by_itself(data: bytes, digest: bytes) -> tuple[str, dict[str, Any]]:
        return "packed", {"alg": -7, "sig": running_key[0]._sign(data + digest)}

    invited = enrol.invite(running.service, tenant="default", person="ada")
    begun = enrol.begin(running.service, invited.url.rsplit("/", 1)[1])
    assert begun.options["attestation"] == "direct"
    key = SoftKey("self", aaguid=AAGUID.bytes, attest=by_itself)
    running_key.append(key)
    enrol.finish(running.service, begun.id, key.register(begun.options))
    with running.service.store.read() as tx:
        (held,) = tx.passkeys.active(tenant="default", person="ada")
    assert held.step_up is StepUp.PASSKEY


def test_the_level_and_its_evidence_travel_with_the_passkey(running: Running) -> None:
    assert level(running, **ATTESTED) is StepUp.HARDWARE
    level(running, "ben")
    token = signed_directory(running.service, "default")
    listed = directory.verify(token, keys=running.service.keys.jwks(int(time.time())))
    ada, ben = listed.person("ada"), listed.person("ben")
    assert ada is not None
    assert ben is not None
    assert [key.step_up for key in (*ada.keys, *ben.keys)] == [StepUp.HARDWARE, StepUp.PASSKEY]
    with running.service.store.read() as tx:
        (held,) = tx.passkeys.active(tenant="default", person="ada")
    document = orjson.loads(held.attestation or "")
    assert document["typ"] == "assent/attestation/1"
    assert MAKER.aaguid.bytes in b64.decode(document["attestation_object"])
    told = enrolled_event(running)
    assert (told["step_up"], told["aaguid"]) == (
        "hardware-passkey",
        b64.encode(AAGUID.bytes),
    )
    assert told["attestation"] is not None


def test_no_browser_is_asked_for_an_attestation_where_none_could_count(
    tmp_path: Path, sqlite_url: str
) -> None:
    running = start(tmp_path, sqlite_url, people=())
    invited = enrol.invite(running.service, tenant="default", person="ada")
    begun = enrol.begin(running.service, invited.url.rsplit("/", 1)[1])
    assert begun.options["attestation"] == "none"
    assert level(running, **ATTESTED) is StepUp.PASSKEY


def test_a_rule_that_nobody_could_satisfy_is_not_activated(tmp_path: Path, sqlite_url: str) -> None:
    running = start(tmp_path, sqlite_url, people=())
    files = bundle_files(running.enforcer_key.public_jwk(), policies_payments_cedar=HARDWARE)
    with pytest.raises(BundleError) as caught:
        activate(running.service, tenant="default", files=files, by="ops")
    assert (caught.value.code, caught.value.file) == ("attestation", "policies/payments.cedar")
    assert "ASSENT_ATTESTATION_ROOTS" in caught.value.message


def read(folder: Path) -> set[bytes]:
    return set(read_authenticators(folder, now=int(time.time())).models)


def test_the_metadata_services_list_names_the_models(tmp_path: Path) -> None:
    other = Maker(aaguid=OTHER)
    folder = METADATA.write(tmp_path / "roots", METADATA.entry(MAKER), METADATA.entry(other))
    assert read(folder) == {AAGUID.bytes, OTHER.bytes}


@pytest.mark.parametrize(
    "changes",
    [
        {"status": ["FIDO_CERTIFIED_L1", "REVOKED"]},
        {"status": ["ATTESTATION_KEY_COMPROMISE", "UPDATE_AVAILABLE"]},
        {"status": ["USER_KEY_REMOTE_COMPROMISE"]},
        {"status": ["USER_KEY_PHYSICAL_COMPROMISE"]},
        {"status": ["USER_VERIFICATION_BYPASS"]},
        {"protection": ["software"]},
        {"protection": ["hardware", "software"]},
    ],
    ids=str,
)
def test_a_model_that_is_broken_or_no_hardware_counts_as_none(
    tmp_path: Path, sqlite_url: str, changes: dict[str, Any]
) -> None:
    entries = METADATA.entry(MAKER, **changes), METADATA.entry(Maker(aaguid=OTHER))
    folder = METADATA.write(tmp_path / "roots", *entries)
    assert read(folder) == {OTHER.bytes}
    running = start(tmp_path, sqlite_url, people=(), attestation_roots=folder)
    assert level(running, **ATTESTED) is StepUp.PASSKEY


def test_a_root_put_there_by_hand_does_not_outweigh_a_report(tmp_path: Path) -> None:
    entries = METADATA.entry(MAKER, status=["REVOKED"]), METADATA.entry(Maker(aaguid=OTHER))
    folder = METADATA.write(tmp_path / "roots", *entries)
    MAKER.write_root(folder)
    assert read(folder) == {OTHER.bytes}


@pytest.mark.parametrize(
    "wrong",
    [
        {"forged": True},
        {"dns": "mds.example"},
        {"due": -1},
        {"by": certify("Another root", ca=True, unit="Trust")},
    ],
    ids=["forged", "signed by somebody else", "out of date", "under another root"],
)
def test_a_list_that_does_not_hold_counts_for_nothing(
    tmp_path: Path, sqlite_url: str, wrong: dict[str, Any]
) -> None:
    folder = METADATA.write(tmp_path / "roots", METADATA.entry(MAKER), **wrong)
    with pytest.raises(AssentError) as caught:
        read(folder)
    assert (caught.value.code, caught.value.place) == (
        "attestation_roots",
        str(folder / "metadata.jwt"),
    )
    running = start(tmp_path, sqlite_url, people=(), attestation_roots=folder)
    assert level(running, **ATTESTED) is StepUp.PASSKEY


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("notes.txt", "x"),
        ("key.pem", "x"),
        (f"{OTHER}.pem", "not a certificate"),
        ("00000000-0000-0000-0000-000000000000.pem", "x"),
        ("metadata.jwt", "x"),
    ],
)
def test_every_file_in_the_folder_is_read_or_named_as_an_error(
    tmp_path: Path, name: str, text: str
) -> None:
    folder = MAKER.write_root(tmp_path / "roots")
    assert read(folder) == {AAGUID.bytes}
    (folder / name).write_text(text)
    with pytest.raises(AssentError) as caught:
        read(folder)
    assert caught.value.code == "attestation_roots"


@pytest.mark.parametrize("mode", [0o775, 0o777, 0o1775, 0o1777])
def test_a_folder_to_which_others_can_add_a_root_is_refused(tmp_path: Path, mode: int) -> None:
    """Every file in it counts. So the sticky bit, which keeps each as it is, is not enough."""
    folder = MAKER.write_root(tmp_path / "roots")
    folder.chmod(mode)
    with pytest.raises(AssentError) as caught:
        read(folder)
    assert caught.value.code == "attestation_roots"
    assert f"chmod go-w {folder}" in caught.value.message


def test_transports_are_kept_and_offered(running: Running) -> None:
    """So that a browser offers the security key, and not a code to scan with a telephone."""
    invited = enrol.invite(running.service, tenant="default", person="ada")
    begun = enrol.begin(running.service, invited.url.rsplit("/", 1)[1])
    key = SoftKey("usb")
    answer = key.register(begun.options, transports=["usb", "nfc", "nfc", "teleport", 7])
    enrol.finish(running.service, begun.id, answer)
    with running.service.store.read() as tx:
        (held,) = tx.passkeys.active(tenant="default", person="ada")
    assert held.transports == ("nfc", "usb")
    again = enrol.invite(running.service, tenant="default", person="ada", replaces=False)
    further = enrol.begin(running.service, again.url.rsplit("/", 1)[1])
    (excluded,) = further.options["excludeCredentials"]
    assert excluded["transports"] == ["nfc", "usb"]
