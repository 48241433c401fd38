"""Verifiers of a made-up company, and what they say of a token."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st

from approvals.core import jws
from approvals.core.approval import TOKEN_TYPE, Approval, Counted
from approvals.core.calls import ToolCall, call_hash
from approvals.core.errors import REASONS
from approvals.verifier import ApprovalRejected, VerifiedApproval, Verifier
from tests.company import AUDIENCE, CALL, ISSUER, NOW, Company

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPANY = Company()


def verifier(company: Company = COMPANY, **changes: Any) -> Verifier:
    """One that pins everything it can."""
    known: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "keys": company.jwks,
        "people": company.directory,
    }
    return Verifier(**{**known, **changes})


TRUSTING = verifier(people=None)
PINNED = verifier()


def reason(token: str, call: ToolCall = CALL, *, by: Verifier = PINNED, **given: Any) -> str:
    with pytest.raises(ApprovalRejected) as caught:
        by.verify(token, call, **{"now": NOW, **given})
    assert caught.value.reason in REASONS
    return caught.value.reason


def accepted(
    token: str, call: ToolCall = CALL, *, by: Verifier = PINNED, **given: Any
) -> VerifiedApproval:
    verified = by.verify(token, call, **{"now": NOW, **given})
    assert verified.call_hash == call_hash(call)
    return verified


def reason_for(approval: Approval, *, by: Verifier = PINNED, **given: Any) -> str:
    return reason(COMPANY.token(approval), by=by, **given)


def resigned(claims: dict[str, Any]) -> str:
    return jws.sign(claims, key=COMPANY.key, typ=TOKEN_TYPE)


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a JSON value that holds no more places, and every empty container."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from leaves(item, (*path, name))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def put(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    value = deepcopy(value)
    if not path:
        return new
    at(value, path[:-1])[path[-1]] = new
    return value


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(-1e6, 1e6, allow_nan=False).filter(lambda x: x != 0)
    | st.text(max_size=5)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
arguments = st.dictionaries(st.text(max_size=4), values, min_size=1, max_size=3)


def same(one: Any, other: Any) -> bool:
    """Equal as JSON is: 1 is 1.0 and is not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


HUMAN: dict[str, Any] = COMPANY.approval(COMPANY.request(precondition="etag")).claims()


def with_votes(approval: Approval, *votes: Counted) -> Approval:
    return replace(approval, approvals=votes)
