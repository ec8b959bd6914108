"""Bodies of rows: columns and back, those of format 1, and any bytes at all."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.record import Blob, Kind, Record, Scalar, State, StorageClass
from agent.store.block import Block
from agent.store.body import MAX_BODY_BYTES, MAX_RECORDS, Unit, bodies, content, packed, units
from agent.store.rawrow import RawRow

BOOT = "b" * 32
PATHS = ("Vehicle.Speed", "Vehicle.Bus.Doors.AnyOpen", "x", "y")


def row(body: bytes, n: int, first: int = 1, last: int = 0) -> RawRow:
    return RawRow(first, first, last or first + n - 1, n, "e", BOOT, 0, body)


def scalars() -> st.SearchStrategy[Scalar]:
    return st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    )


@st.composite
def records(draw: st.DrawFn) -> Record:
    values = draw(st.dictionaries(st.sampled_from(PATHS), scalars(), max_size=4))
    rest = [path for path in PATHS if path not in values]
    states: dict[str, State] = {}
    if rest:
        states = draw(st.dictionaries(st.sampled_from(rest), st.sampled_from(State), max_size=2))
    blob = draw(st.none() | st.just(Blob("/v/a.mp4", "video/mp4", 9, "ab" * 32)))
    source = draw(st.sampled_from(["gnss", "fms"]))
    at_ms = draw(st.integers(0, 2**40))
    return Record(source, at_ms, values, states, draw(st.sampled_from(Kind)), blob)


def typed(found: Sequence[Record]) -> list[object]:
    """Equal for equal values of equal types only: not 1, 1.0 and True, nor 0.0 and -0.0."""
    return [
        (r.source, r.boottime_ms, r.kind, r.blob, dict(r.states), list(map(repr, r.values.items())))
        for r in found
    ]


@given(st.lists(records(), max_size=12))
@settings(deadline=None)
def test_records_as_columns_and_back(given_records: list[Record]) -> None:
    assert typed(Block.of(given_records)) == typed(given_records)
    back: list[Record] = []
    for n, body in bodies(given_records):
        block, seqs = content(row(body, n))
        assert list(seqs) == list(range(1, n + 1))
        back += block
    assert typed(back) == typed(given_records)


@given(st.lists(records(), min_size=2, max_size=8), st.data())
@settings(deadline=None)
def test_a_slice_is_one_of_records(given_records: list[Record], data: st.DataObject) -> None:
    block = Block.of(given_records)
    begin, end = data.draw(st.integers(0, 8)), data.draw(st.integers(0, 8))
    assert list(block[begin:end]) == given_records[begin:end]
    assert block[-1] == given_records[-1]
    assert block[:] is block


def test_a_body_of_format_1() -> None:
    lines = (
        b'["gnss",5,"sample",{"x":1.5}]\n'
        b'["fms",7,"event",{"x":2},{"y":"missing"}]\n'
        b'["cam",9,"file",{},{},["/v/a.mp4","video/mp4",5,"abab"]]'
    )
    expected = [
        Record("gnss", 5, {"x": 1.5}),
        Record("fms", 7, {"x": 2}, {"y": State.MISSING}, Kind.EVENT),
        Record("cam", 9, {}, {}, Kind.FILE, Blob("/v/a.mp4", "video/mp4", 5, "abab")),
    ]
    assert units(row(zlib.compress(lines), 3)) == list(map(Unit, range(1, 4), expected))
    holed = zlib.compress(b"[1,4,2]\n" + lines)
    assert units(row(holed, 3, first=3, last=12)) == list(map(Unit, (3, 7, 9), expected))


def test_a_null_is_no_value() -> None:
    """JSON has no NaN; both formats hold null for it."""
    expected = [Unit(1, Record("a", 1, {"y": 1}, {"x": State.ERROR}))]
    ((n, body),) = bodies([Record("a", 1, {"x": float("nan"), "y": 1})])
    assert n == 1
    assert units(row(body, 1)) == expected
    assert units(row(zlib.compress(b'["a",1,"sample",{"x":null,"y":1}]'), 1)) == expected


def test_bounds() -> None:
    many = [Record("a", at, {"x": at}) for at in range(2 * MAX_RECORDS + 1)]
    assert [n for n, _ in bodies(many)] == [MAX_RECORDS, MAX_RECORDS, 1]
    noise = "".join(chr(33 + (at * at * 7919) % 90) for at in range(3_000))
    large = [Record("a", at, {"x": f"{at}{noise[at:]}{noise[:at]}"}) for at in range(200)]
    found = list(bodies(large))
    assert sum(n for n, _ in found) == 200 and len(found) > 1
    assert all(len(body) <= MAX_BODY_BYTES for _, body in found)
    alone = Record("a", 1, {"x": "".join(map(chr, range(0x4E00, 0x9000))) * 8})
    ((n, body),) = bodies([alone])
    assert n == 1 and units(row(body, 1))[0].record == alone


@given(st.binary(max_size=60), st.integers(1, 4), st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_body_or_a_value_error(noise: bytes, n: int, columns: bool) -> None:
    for plain in (noise, (b"\x02" if columns else b"") + noise):
        try:
            assert len(units(row(zlib.compress(plain), n))) == n
        except ValueError:
            continue


@pytest.mark.parametrize(
    "plain",
    [
        b'[[1,1],[["a","sample",["x"],[],[],[[1]],[]]],[],[]]',  # a column too short
        b'[[1,1],[["a","sample",["x","y"],[],[],[[1,2]],[]]],[],[]]',  # a column too few
        b'[[1,1],[["a","sample",["x"],[],[2],[[1]],[]]],[],[]]',  # a record of no part
        b'[[1,1],[["a","sample",["x"],[],[1,0],[[1,2]],[]]],[],[]]',  # one of two
        b'[[1,1],[["a","sample",["x"],[],[],[[1,2]],[]]],[1],[]]',  # fewer numbers
        b'[[1,1],[["a","sample",["x"],[],[],[[1,2]],[]]],[1,9],[]]',  # beyond the row
        b'[[1],[["a","sample",["x"],[],[],[[1]],[]]],[],[]]',  # fewer records
        b'[[1,1],[["a","sample",["x"],["y"],[],[[1,2]],[["lost","missing"]]]],[],[]]',
        b"[[1,1],[]]",
    ],
)
def test_columns_that_do_not_fit(plain: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        units(row(zlib.compress(b"\x02" + plain), 2))


def test_a_thinned_row_counts_its_holes() -> None:
    chosen = [Unit(seq, Record("a", seq, {"x": seq})) for seq in (4, 5, 9)]
    (packed_row,) = packed(StorageClass.HISTORY, 1, "e", BOOT, (3, 12), chosen)
    assert (packed_row.first, packed_row.last, packed_row.n) == (3, 12, 3)
    assert units(packed_row) == chosen
