"""From rows to a message: damaged rows, rows that are gone, parts of rows."""

from __future__ import annotations

from dataclasses import replace

from uplink_rows import BOOT, EPOCH, cargo, drop, head

from agent.clock import OffsetRow, OffsetSource
from agent.record import Record, Scalar, StorageClass
from agent.store.rows import Row, RowDamaged, RowHead
from agent.uplink import codec
from agent.uplink.flight import Slice
from agent.uplink.loading import Loader
from agent.uplink.payload import nobody_declared

OTHER_BOOT = "c" * 32
OFFSETS = [
    OffsetRow(BOOT, 0, 1, OffsetSource.RTC),
    OffsetRow("d" * 32, 0, 2, OffsetSource.NTP),
]


class Store:
    def __init__(self, *, gone: set[int] | None = None, damaged: set[int] | None = None) -> None:
        self.gone, self.damaged = gone or set(), damaged or set()
        self.value: Scalar = 1.5

    def load(self, head: RowHead) -> Row:
        if head.first in self.gone:
            raise KeyError(head.first)
        if head.first in self.damaged:
            raise RowDamaged(head, "damaged")
        return Row(
            head,
            tuple(
                Record("fms", seq, {"v": self.value}) for seq in range(head.first, head.last + 1)
            ),
        )

    def offsets(self) -> list[OffsetRow]:
        return OFFSETS


def loader() -> Loader:
    return Loader("bus-1", "protobuf", nobody_declared)


def test_what_is_gone_is_left_out_and_what_is_damaged_is_named() -> None:
    heads = [head(31), head(11), head(1), head(21)]
    loaded = loader().load(cargo(*heads), Store(gone={11}, damaged={21}))
    assert [part.first for part in loaded.slices] == [1, 31]
    assert loaded.refused == ((head(21), "damaged"),)
    assert loaded.payload is not None
    back = codec.decode(loaded.payload)
    assert [run.range for run in back.runs] == [(1, 10), (31, 40)]
    assert [record.boottime_ms for record in back.runs[1].records] == list(range(31, 41))
    assert list(back.offsets) == OFFSETS[:1]
    assert (back.vehicle, back.epoch) == ("bus-1", EPOCH)


def test_neighbours_of_one_boot_are_one_run_and_parts_of_rows_keep_their_numbers() -> None:
    after_boot = replace(head(21), boot=OTHER_BOOT)
    what = replace(
        cargo(head(1), head(11), drops=(drop(90, 99),)),
        slices=(Slice(head(1), 8, 10), Slice(head(11), 11, 13), Slice(after_boot, 21, 30)),
    )
    loaded = loader().load(what, Store())
    assert loaded.payload is not None
    back = codec.decode(loaded.payload)
    assert [(run.range, run.boot) for run in back.runs] == [
        ((8, 13), BOOT),
        ((21, 30), OTHER_BOOT),
    ]
    assert [record.boottime_ms for record in back.runs[0].records] == list(range(8, 14))
    assert list(back.drops) == [drop(90, 99)]


def test_what_cannot_be_encoded_says_why() -> None:
    store = Store()
    store.value = 1 << 70
    loaded = loader().load(cargo(head(1)), store)
    assert loaded.payload is None and "beyond 64 bits" in loaded.reason
    assert [part.first for part in loaded.slices] == [1]


def test_it_learns_how_rows_expand_from_large_messages_only() -> None:
    one = loader()
    one.load(cargo(head(1, nbytes=100)), Store())
    assert not one.expansion
    loaded = one.load(cargo(head(1, nbytes=10_000)), Store())
    assert loaded.payload is not None
    learnt = one.expansion[StorageClass.HISTORY]
    assert learnt == len(loaded.payload) / 10_000
    one.load(cargo(head(1, nbytes=2_500)), Store())
    assert learnt < one.expansion[StorageClass.HISTORY] < 4 * learnt
