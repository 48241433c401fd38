"""Somebody is away: who fills their place, and that nobody else can say they do."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from approvals.core.decision.requirement import Requirement
from approvals.core.errors import ApprovalRejected, Invalid
from approvals.policy import Deny, DenyCode, Escalate, evaluate, record, replay
from approvals.policy.bundle import Bundle
from approvals.verifier import Verifier
from tests import small_bundle as small
from tests.company import AUDIENCE, CALL, ISSUER, NOW, TWO_FROM_FINANCE, Company

if TYPE_CHECKING:
    from approvals.core.directory import Directory
    from approvals.core.requests import RequestDocument

COMPANY = Company()


def at(moment: str) -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp())


DURING = at("2026-11-22T12:00:00")


def bundle(
    people: dict[str, dict[str, Any]], *, rules: str = small.PERMIT + small.LARGE, **files: str
) -> Bundle:
    """The small bundle, with more about its people."""
    everybody = {
        name: {"name": name, **people.get(name, {})} for name in ["ada", "ben", "cleo", "dan"]
    }
    groups = {"finance": ["ada", "ben", "cleo"], "managers": ["cleo", "dan"]}
    text = json.dumps({"people": everybody, "groups": groups})
    return small.load(people=text, rules=rules, **files)


def away(
    stand_in: str, *others: str, first: str = "2026-11-20", last: str = "2026-11-25"
) -> dict[str, Any]:
    """Away for some days, with one who stands in and others who sometimes might."""
    absent = [{"from": first, "until": last, "stand_in": stand_in}]
    return {"stand_ins": [stand_in, *others], "absent": absent}


def asked(
    people: dict[str, dict[str, Any]], *, user: str = "ben", now: int = DURING, **files: str
) -> Requirement:
    verdict = evaluate(
        bundle(people, **files), small.facts({"amount": "500.00"}, user=user, now=now)
    )
    assert isinstance(verdict, Escalate), verdict
    (requirement,) = verdict.requirements
    return requirement


def denied(people: dict[str, dict[str, Any]], *, user: str = "ben") -> str:
    verdict = evaluate(bundle(people), small.facts({"amount": "500.00"}, user=user, now=DURING))
    assert isinstance(verdict, Deny), verdict
    return verdict.code


# ---------------------------------------------------------------- who is asked


@pytest.mark.parametrize(
    ("moment", "eligible"),
    [
        ("2026-11-19T23:59:59", ("ada", "cleo")),
        ("2026-11-20T00:00:00", ("cleo", "dan")),
        ("2026-11-25T23:59:59", ("cleo", "dan")),
        ("2026-11-26T00:00:00", ("ada", "cleo")),
    ],
)
def test_a_stand_in_is_asked_on_all_days_of_the_absence(
    moment: str, eligible: tuple[str, ...]
) -> None:
    requirement = asked({"ada": away("dan")}, now=at(moment))
    assert requirement.eligible == eligible
    assert requirement.stand_ins == ((("dan", "ada"),) if "dan" in eligible else ())


def test_one_stand_in_of_two_people_is_one_person() -> None:
    people = {"ada": away("dan"), "cleo": away("dan")}
    assert denied(people) == DenyCode.NOBODY_ELIGIBLE  # two places, and only dan
    assert denied({"ada": away("cleo")}) == DenyCode.NOBODY_ELIGIBLE  # cleo has a place of her own
    one = small.PERMIT + small.LARGE.replace('@quorum("2")', "")
    assert asked(people, rules=one).stand_ins == (("dan", "ada"), ("dan", "cleo"))


def test_a_stand_in_who_is_away_passes_the_place_on() -> None:
    one = small.PERMIT + small.LARGE.replace('@quorum("2")', "")
    people = {"ada": away("ben", "dan"), "ben": away("dan")}
    requirement = asked(people, user="cleo", rules=one)
    assert requirement.eligible == ("dan",)
    assert requirement.stand_ins == (("dan", "ada"), ("dan", "ben"))


def test_the_place_goes_to_nobody_whom_the_absent_person_does_not_list() -> None:
    """What an enforcer pins is the list of the person who is away; a longer way would not count."""
    people = {"ada": away("dan"), "dan": away("ben")}
    assert denied(people, user="ben") == DenyCode.NOBODY_ELIGIBLE
    assert bundle(people).acting_for("ada", DURING) is None
    assert bundle(people).acting_for("dan", DURING) == "ben"


def test_a_circle_of_people_who_are_all_away_is_nobody() -> None:
    people = {"ada": away("dan", "cleo"), "dan": away("cleo", "ada"), "cleo": away("ada", "dan")}
    assert [bundle(people).acting_for(who, DURING) for who in ("ada", "cleo", "dan")] == [None] * 3
    assert denied(people) == DenyCode.NOBODY_ELIGIBLE


def test_nobody_stands_in_for_an_approval_of_what_is_done_for_themselves() -> None:
    assert denied({"ada": away("ben")}, user="ben") == DenyCode.NOBODY_ELIGIBLE


def test_who_may_not_approve_has_no_stand_in_and_names_none() -> None:
    """By going away the user of a call would otherwise choose who approves it."""
    own = asked({"ada": away("dan")}, user="ada")
    assert own.eligible == ("ben", "cleo")
    assert own.stand_ins == ()
    through = {"ada": away("ben", "dan"), "ben": away("dan")}
    assert denied(through, user="ben") == DenyCode.NOBODY_ELIGIBLE


def test_an_owner_who_is_excluded_is_nobodys_stand_in_and_has_none() -> None:
    rules = small.PERMIT + small.LARGE.replace('@quorum("2")', '@exclude("owner")')
    for people in ({"cleo": away("ada")}, {"ada": away("dan")}):
        found = evaluate(
            bundle(people, rules=rules),
            small.facts({"amount": "500.00"}, user="ben", now=DURING),
        )
        if "cleo" in people:
            assert isinstance(found, Deny)  # ada owns the agent, cleo is away, ben is the user
            assert found.code == DenyCode.NOBODY_ELIGIBLE
        else:
            assert isinstance(found, Escalate)
            assert found.requirements[0].eligible == ("cleo",)


def test_an_opaque_tools_owner_has_a_stand_in_too() -> None:
    tools = small.TOOLS.replace("owner: dan", "owner: dan\n    opaque: true")
    found = evaluate(
        bundle({"dan": away("cleo")}, rules=small.PERMIT, tools=tools), small.facts(now=DURING)
    )
    assert isinstance(found, Escalate)
    assert found.requirements[0].eligible == ("cleo",)
    assert found.requirements[0].stand_ins == (("cleo", "dan"),)


def test_a_verdict_with_stand_ins_is_replayed_exactly() -> None:
    it = bundle({"ada": away("dan")})
    facts = small.facts({"amount": "500.00"}, now=DURING)
    kept = record(it, facts, evaluate(it, facts))
    assert kept["verdict"]["requirements"][0]["stand_ins"] == [["dan", "ada"]]  # type: ignore[index,call-overload]
    assert replay(Bundle.load(it.files), kept)
    later = {**kept, "facts": {**kept["facts"], "now": at("2026-12-01T00:00:00")}}  # type: ignore[dict-item]
    assert not replay(it, later)


# ---------------------------------------------------------------- the document

STOOD_IN = replace(TWO_FROM_FINANCE, eligible=("ada", "dora"), stand_ins=(("dora", "ben"),))


def test_a_requirement_names_its_stand_ins_and_reads_back_as_itself() -> None:
    document = STOOD_IN.document()
    assert document["stand_ins"] == [["dora", "ben"]]
    assert Requirement.from_document(document) == STOOD_IN
    assert replace(STOOD_IN, stand_ins=()).document() != document


@pytest.mark.parametrize(
    "stand_ins",
    [
        None,
        [["dora"]],
        [["dora", "ben", "x"]],
        [["dora", 7]],
        ["dora"],
        [["dora", "ben"], ["dora", "ben"]],
        [["dora", "ben"], ["ada", "ben"]],  # not sorted
        [["zoe", "ben"]],  # not eligible
        [["dora", "ada"]],  # not away: eligible as well
        [["dora", "dora"]],
    ],
    ids=repr,
)
def test_stand_ins_that_say_nothing_are_refused(stand_ins: Any) -> None:
    with pytest.raises(Invalid):
        Requirement.from_document({**STOOD_IN.document(), "stand_ins": stand_ins})


def test_who_is_meant_by_a_group_is_its_members_and_who_stands_in_for_them() -> None:
    assert STOOD_IN.among({"ada", "ben"}) == {"ada", "dora"}
    assert STOOD_IN.among({"ben"}) == {"dora"}
    assert STOOD_IN.among({"ada", "cleo"}) == {"ada"}
    assert STOOD_IN.among(()) == frozenset()


# ---------------------------------------------------------------- what an enforcer believes


def directory(**stand_ins: tuple[str, ...]) -> Directory:
    """The company's directory, with these stand-ins."""
    people = COMPANY.directory.people
    return replace(
        COMPANY.directory,
        people=tuple(replace(one, stand_ins=stand_ins.get(one.id, ())) for one in people),
    )


def verify(document: RequestDocument, people: Directory | None, *who: str) -> str | None:
    """Why an approval that these people really gave is refused, signed by the service's key."""
    votes = [COMPANY.vote(person, document) for person in who or ("ada", "dora")]
    token = COMPANY.token(COMPANY.approval(document, votes))
    verifier = Verifier(issuer=ISSUER, audience=AUDIENCE, keys=COMPANY.jwks, people=people)
    try:
        verifier.verify(token, CALL, now=NOW)
    except ApprovalRejected as error:
        return error.reason
    return None


def test_a_stand_in_whom_the_pinned_directory_lists_counts() -> None:
    assert verify(COMPANY.request(STOOD_IN), directory(ben=("dora",))) is None


def test_without_a_directory_the_services_word_is_enough() -> None:
    assert verify(COMPANY.request(STOOD_IN), None) is None


@pytest.mark.parametrize(
    ("stand_ins", "listed"),
    [
        ((("dora", "ben"),), {}),  # ben lists nobody
        ((("dora", "ben"),), {"ben": ("cleo",)}),  # ben lists somebody else
        ((("dora", "ben"),), {"ada": ("dora",)}),  # another member lists her
        ((("dora", "ben"),), {"dora": ("ben",)}),  # the wrong way round
        ((("dora", "cleo"),), {"cleo": ("dora",)}),  # cleo is not in finance
        ((("dora", "zoe"),), {"ben": ("dora",)}),  # zoe is nobody
        ((), {"ben": ("dora",)}),  # listed, but the request does not say that she stands in
    ],
    ids=str,
)
def test_who_holds_the_services_key_cannot_make_somebody_a_stand_in(
    stand_ins: tuple[tuple[str, str], ...], listed: dict[str, tuple[str, ...]]
) -> None:
    """Here the helper is real: dora signs with her own passkey what the stolen key made up."""
    document = COMPANY.request(replace(STOOD_IN, stand_ins=stand_ins))
    assert verify(document, directory(**listed)) == "quorum"


def test_nobody_fills_the_place_of_the_person_whom_the_call_is_for() -> None:
    document = COMPANY.request(STOOD_IN, user="ben")
    assert verify(document, directory(ben=("dora",))) == "quorum"


def test_a_stand_in_of_a_stand_in_counts_only_if_the_member_lists_them() -> None:
    chain = replace(STOOD_IN, stand_ins=(("dora", "cleo"),))
    people = directory(ben=("cleo",), cleo=("dora",))
    assert verify(COMPANY.request(chain), people) == "quorum"
    assert verify(COMPANY.request(STOOD_IN), people) == "quorum"
    assert verify(COMPANY.request(STOOD_IN), directory(ben=("cleo", "dora"))) is None


def test_a_chain_put_in_after_the_signatures_breaks_them() -> None:
    honest = COMPANY.request(replace(STOOD_IN, stand_ins=()))
    votes = [COMPANY.vote(person, honest) for person in ("ada", "dora")]
    forged = replace(honest, requirements=(STOOD_IN,))
    token = COMPANY.token(COMPANY.approval(forged, votes))
    verifier = Verifier(
        issuer=ISSUER, audience=AUDIENCE, keys=COMPANY.jwks, people=directory(ben=("dora",))
    )
    with pytest.raises(ApprovalRejected) as caught:
        verifier.verify(token, CALL, now=NOW)
    assert caught.value.reason == "evidence"


def test_a_stand_in_with_somebody_elses_passkey_does_not_count() -> None:
    document = COMPANY.request(STOOD_IN)
    votes = [
        COMPANY.vote("ada", document),
        COMPANY.vote("dora", document, passkey=COMPANY.passkeys["ada"]),
    ]
    token = COMPANY.token(COMPANY.approval(document, votes))
    verifier = Verifier(
        issuer=ISSUER, audience=AUDIENCE, keys=COMPANY.jwks, people=directory(ben=("dora",))
    )
    with pytest.raises(ApprovalRejected) as caught:
        verifier.verify(token, CALL, now=NOW)
    assert caught.value.reason == "evidence"
