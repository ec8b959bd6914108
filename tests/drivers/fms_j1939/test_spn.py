"""Raw classes, exact values, and one table per parameter group."""

from __future__ import annotations

import math
from fractions import Fraction

import cantools.database
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.sdk import Datatype, State
from drivers.fms_j1939.pgn import Pgn
from drivers.fms_j1939.raw_classes import raw_state
from drivers.fms_j1939.spn import Spn
from drivers.fms_j1939.table import GROUPS, PGNS
from tests.drivers.fms_j1939.parameters import ALL, RAW, SPNS

NA = State.NOT_AVAILABLE
ERROR = State.ERROR
IMPLAUSIBLE = State.IMPLAUSIBLE


@pytest.mark.parametrize(
    ("bits", "raw", "state"),
    [
        (2, 0, None), (2, 1, None), (2, 2, ERROR), (2, 3, NA),
        (3, 5, None), (3, 6, ERROR), (3, 7, NA),
        (4, 13, None), (4, 14, ERROR), (4, 15, NA),
        (5, 29, None), (5, 30, ERROR), (5, 31, NA),
        (8, 0xFA, None), (8, 0xFB, IMPLAUSIBLE), (8, 0xFD, IMPLAUSIBLE),
        (8, 0xFE, ERROR), (8, 0xFF, NA),
        (16, 0xFAFF, None), (16, 0xFB00, IMPLAUSIBLE), (16, 0xFDFF, IMPLAUSIBLE),
        (16, 0xFE00, ERROR), (16, 0xFEFF, ERROR), (16, 0xFF00, NA), (16, 0xFFFF, NA),
        (16, 0x00FF, None),
        (32, 0xFAFFFFFF, None), (32, 0xFB000000, IMPLAUSIBLE), (32, 0xFD123456, IMPLAUSIBLE),
        (32, 0xFE000000, ERROR), (32, 0xFF000000, NA), (32, 0xFFFFFFFF, NA),
    ],
)  # fmt: skip
def test_raw_classes_go_by_the_top_byte(bits: int, raw: int, state: State | None) -> None:
    assert raw_state(raw, bits) is state


@pytest.mark.parametrize("pgn", [p for p in ALL.values() if p.group.name not in ("vi", "telltale")])
def test_a_message_of_ones_says_nothing(pgn: Pgn) -> None:
    assert {reading.state for reading in pgn.read(b"\xff" * 8)} == {NA}


@pytest.mark.parametrize(
    ("payload", "want"),
    [
        (b"YV3S5P720DA000017*", ("YV3S5P720DA000017", None, True)),
        (b"1L06130RELP969468>,)]*", ("1L06130RELP969468", None, True)),  # a real tractor
        (b"YV3S5P720DA000017", ("YV3S5P720DA000017", None, True)),
        (b"YV3S5P720DA00001I*", ("YV3S5P720DA00001I", None, False)),  # I, O, Q are not used
        (b"ABC*DEFGHIJKLMNOPQRSTUVW", ("ABC", None, False)),
        (b"*", (None, NA, True)),
        (b"", (None, NA, True)),
        (b"\xff" * 18, (None, NA, True)),
        (bytes(18), (None, ERROR, True)),
    ],
)
def test_vehicle_identification(payload: bytes, want: tuple[object, ...]) -> None:
    (reading,) = PGNS[65260].read(payload)
    assert (reading.value, reading.state, reading.plausible) == want


KINDS = {
    Datatype.BOOLEAN: bool, Datatype.UINT8: int, Datatype.INT8: int, Datatype.INT32: int,
    Datatype.INT64: int, Datatype.FLOAT: float, Datatype.DOUBLE: float, Datatype.STRING: str,
}  # fmt: skip


@given(st.sampled_from(list(ALL.values())), st.binary(max_size=64))
def test_any_bytes_give_readings(pgn: Pgn, payload: bytes) -> None:
    composer = pgn.composer()
    readings = pgn.read(payload)
    for reading in readings + (composer.add(payload, readings) if composer else []):
        spn, value, state, plausible, path, stated = reading
        assert (value is None) == (state is not None)
        assert plausible or value is not None
        assert (stated is not None) or state is not None
        if path is not None and not spn.fallback:
            signal = pgn.group.signals[pgn.group.index[path]]
            assert stated is None or type(stated) is KINDS[signal.datatype]
    assert isinstance(pgn.key(payload), int)


@given(st.sampled_from(SPNS), st.data())
def test_numbers_are_the_correctly_rounded_rational(
    one: tuple[Pgn, Spn], data: st.DataObject
) -> None:
    _, spn = one
    raw = data.draw(st.integers(0, (1 << spn.bits) - 1))
    _, value, _, _, _, stated = spn.read(raw)
    if value is not None:
        exact = Fraction(raw * spn.num, spn.den) + spn.offset
        assert value == float(exact)
        if isinstance(spn.factor, float):
            assert stated == pytest.approx(math.degrees(exact), rel=1e-15)
            return
        assert stated == float(exact * spn.factor)
        if steps := spn.signal.steps_per_unit:
            assert (exact * spn.factor * steps).denominator == 1


def dbc() -> str:
    """Our table as a DBC for another decoder."""
    lines = ['VERSION ""', "NS_ :", "BS_:", "BU_: X", ""]
    for pgn in ALL.values():
        spns = [spn for one, spn in SPNS if one is pgn]
        if not spns:
            continue
        lines.append(f"BO_ {0x80000000 | pgn.number << 8} PGN{pgn.number}: 8 X")
        lines.extend(
            f" SG_ SPN{s.number} : {s.first_bit}|{s.bits}@1+"
            f' ({s.num / s.den!r},{float(s.offset)!r}) [0|0] "" X'
            for s in spns
        )
        lines.append("")
    return "\n".join(lines)


OTHER = cantools.database.load_string(dbc(), "dbc")


@given(st.sampled_from(SPNS), st.binary(min_size=8, max_size=8))
def test_cantools_reads_the_same(one: tuple[Pgn, Spn], payload: bytes) -> None:
    pgn, wanted = one
    theirs = OTHER.get_message_by_name(f"PGN{pgn.number}").decode(payload)
    seen = set()
    for reading in pgn.read(payload):
        if reading.spn.shape not in RAW:
            continue
        seen.add(reading.spn.number)
        if reading.state is None:
            assert reading.value == pytest.approx(
                theirs[f"SPN{reading.spn.number}"], rel=1e-12, abs=1e-12
            )
    assert wanted.number in seen


def test_the_declaration_is_what_the_contract_lists() -> None:
    signals = [signal for group in GROUPS for signal in group.signals]
    assert len({signal.path for signal in signals}) == len(signals) == 216
    for pgn in ALL.values():
        taken: set[int] = set()
        for spn in (spn for one, spn in SPNS if one is pgn):
            bits = set(range(spn.first_bit, spn.first_bit + spn.bits))
            assert not taken & bits, f"{spn.number} overlaps"
            taken |= bits


def test_a_fallback_is_declared_once_in_another_group() -> None:
    declared = {signal.path: pgn for pgn in ALL.values() for signal in pgn.group.signals}
    fallbacks = [(pgn, spn) for pgn in ALL.values() for spn in pgn.spns if spn.fallback]
    assert [spn.number for _, spn in fallbacks] == [182, 250, 245, 5464]
    for pgn, spn in fallbacks:
        preferred = declared[spn.path]
        assert preferred is not pgn
        unit = preferred.group.signals[preferred.group.index[spn.path]].unit
        assert unit == spn.signal_unit
