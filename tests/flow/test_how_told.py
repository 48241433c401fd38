"""What a person learns of how they are told: all of what decides it, and nobody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from approvals.flow.operating.activate import activate
from approvals.flow.people import linking
from approvals.flow.telling.how_told import Away, Reach, Way, how_told, masked
from tests.service import PEOPLE, bundle_files, start

if TYPE_CHECKING:
    from pathlib import Path

    from tests.service import Running

DAY = 86_400


def in_force(running: Running, ada: str, ben: str = "") -> None:
    people = PEOPLE.replace("Ada Okafor}", f"Ada Okafor{ada}}}").replace(
        "Ben Silva}", f"Ben Silva{ben}}}"
    )
    files = bundle_files(running.enforcer_key.public_jwk(), people_yaml=people)
    activate(running.service, tenant="default", files=files, by="ops")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("ada.okafor@example.com", "a…@example.com"),
        ("abc@example.com", "a…@example.com"),
        ("ab@example.com", "…@example.com"),
        ("a@example.com", "…@example.com"),
    ],
)
def test_an_address_is_masked(address: str, shown: str) -> None:
    assert masked(address) == shown


def test_channels_come_in_their_order_with_what_keeps_them_silent(running: Running) -> None:
    in_force(running, ", email: ada@example.com, slack: U0ADA, channels: [slack, email]")
    told = how_told(running.service, running.sessions["ada"])
    assert told.ways == (
        Way("slack", "U0ADA", Reach.NOT_SET_UP),
        Way("email", "a…@example.com", Reach.NOT_SET_UP),
    )
    assert how_told(running.service, running.sessions["ben"]).ways == ()


def test_a_service_that_can_send_says_whether_an_account_decides_or_listens(
    tmp_path: Path, database_url: str
) -> None:
    running = start(
        tmp_path,
        database_url,
        smtp_host="mail.example",
        mail_from="assent@example.com",
        slack_bot_token=SecretStr("xoxb-1"),
        slack_signing_secret=SecretStr("8f742231b10e8888"),
    )
    in_force(
        running,
        ", email: ada@example.com, slack: U0ADA, channels: [slack, email]",
        ", channels: [slack]",
    )
    told = how_told(running.service, running.sessions["ada"])
    assert told.ways == (
        Way("slack", "U0ADA", Reach.LISTENS_ONLY),
        Way("email", "a…@example.com", Reach.YES),
    )
    ben = running.sessions["ben"]
    assert how_told(running.service, ben).ways == (Way("slack", "", Reach.NO_ADDRESS),)
    begun = linking.begin_link(running.service, ben)
    code = linking.start_link(
        running.service,
        ben,
        "slack",
        begun.id,
        running.passkeys["ben"].authenticate(begun.options),
    ).code
    linking.finish_link(running.service, channel="slack", team="T0X", account="U0BEN", code=code)
    assert how_told(running.service, ben).ways == (Way("slack", "U0BEN", Reach.YES),)
    running.service.store.close()


def test_absences_that_are_over_are_left_out_and_stand_ins_go_both_ways(
    running: Running,
) -> None:
    in_force(
        running,
        ", stand_ins: [ben], absent: [{from: 2020-01-01, until: 2020-01-02, stand_in: ben}, "
        "{from: 2098-03-01, until: 2098-03-02, stand_in: ben}]",
    )
    ada = how_told(running.service, running.sessions["ada"])
    assert ada.stand_ins == ("Ben Silva",)
    (away,) = ada.away
    assert away == Away(away.start, away.start + 2 * DAY, "Ben Silva")
    assert how_told(running.service, running.sessions["ben"]).stands_in_for == ("Ada Okafor",)
    assert ada.stands_in_for == ()


def test_caps_and_the_digests_hour_are_those_in_force(running: Running) -> None:
    settings = running.service.settings
    told = how_told(running.service, running.sessions["ada"])
    assert (told.caps.hour, told.caps.enforcer_hour, told.caps.agent_hour) == (
        settings.notice_cap_hour,
        settings.notice_cap_enforcer_hour,
        settings.notice_cap_agent_hour,
    )
    with running.service.store.read() as tx:
        current = running.service.current_bundle(tx, "default").bundle
    assert told.bundle == current.version
