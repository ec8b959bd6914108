"""Which values a datatype allows."""

from __future__ import annotations

import enum
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.signals import Datatype
from agent.values import checked


class Word(enum.StrEnum):
    NONE = "NONE"


class Number(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("datatype", "value", "want"),
    [
        (Datatype.UINT8, 0, 0),
        (Datatype.UINT8, 255, 255),
        (Datatype.UINT8, Number.ONE, 1),
        (Datatype.INT8, -128, -128),
        (Datatype.UINT32, 4_294_967_295, 4_294_967_295),
        (Datatype.INT64, -(1 << 63), -(1 << 63)),
        (Datatype.FLOAT, 1, 1.0),
        (Datatype.DOUBLE, 47.25, 47.25),
        (Datatype.BOOLEAN, False, False),
        (Datatype.STRING, Word.NONE, "NONE"),
        (Datatype.STRING, "ü" * 4_096, "ü" * 4_096),
    ],
)
def test_allowed(datatype: Datatype, value: object, want: object) -> None:
    got = checked(datatype, value)
    assert got == want
    assert type(got) is type(want)


@pytest.mark.parametrize(
    ("datatype", "value", "text"),
    [
        (Datatype.UINT8, 256, r"expected uint8 \(0..255\), got int 256"),
        (Datatype.UINT8, -1, "got int -1"),
        (Datatype.UINT8, True, "got bool True"),
        (Datatype.UINT8, 1.0, "got float 1.0"),
        (Datatype.INT64, 1 << 63, "beyond 64 bits"),
        (Datatype.FLOAT, True, "expected finite float, got bool"),
        (Datatype.FLOAT, math.nan, "got float nan"),
        (Datatype.DOUBLE, -math.inf, "got float -inf"),
        (Datatype.DOUBLE, 10**400, "beyond 64 bits"),
        (Datatype.FLOAT, "1", "got str of 1 characters '1'"),
        (Datatype.BOOLEAN, 1, "expected true or false, got int 1"),
        (Datatype.STRING, "x" * 4_097, "at most 4096 characters, got str of 4097"),
        (Datatype.STRING, "\ud800", "expected string"),
        (Datatype.STRING, None, "got NoneType None"),
        (Datatype.STRING, b"x", "got bytes"),
    ],
)
def test_refused(datatype: Datatype, value: object, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        checked(datatype, value)


@given(
    st.sampled_from(list(Datatype)),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
)
def test_any_value_gives_a_plain_scalar_or_a_value_error(datatype: Datatype, value: object) -> None:
    try:
        assert type(checked(datatype, value)) in (float, int, str, bool)
    except ValueError as error:
        assert len(str(error)) < 200
