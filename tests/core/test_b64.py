"""Base64url: one text for given bytes, read only as it is written."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from approvals.core import b64


@given(st.binary())
def test_base64url_has_one_text_for_given_bytes(raw: bytes) -> None:
    text = b64.encode(raw)
    assert b64.decode(text) == raw
    assert not {"=", "+", "/"} & set(text)


@given(st.text(st.sampled_from("AZaz09-_+/= \n"), max_size=9))
@example("AB")
@example("AAB")
@example("A")
@example("AA==")
@example("AAA=")
@example("AA=A")
@example("é")
@example("\ud800")
def test_base64url_is_read_only_as_it_is_written(text: str) -> None:
    """Would catch unused bits, padding, line breaks and the other alphabet."""
    try:
        raw = b64.decode(text)
    except ValueError:
        return
    assert b64.encode(raw) == text
