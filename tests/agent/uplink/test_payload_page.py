"""docs/payload.md is enough to read a message: a decoder written from it agrees with ours."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import page_decoder
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.clock import OffsetRow, OffsetSource
from agent.record import Kind, Record, Scalar, State, StorageClass
from agent.signals import Datatype, Group, Signal
from agent.store.rows import Drop
from agent.uplink.catalogue import shapes_of
from agent.uplink.codec import encode
from agent.uplink.payload import Payload, Run

PAGE = Path(__file__).parents[3] / "docs" / "payload.md"
EPOCH, BOOT, OTHER_BOOT = "0123456789abcdef" * 2, "a1" * 16, "b2" * 16
FIX = Group(
    "fix",
    (
        Signal("Vehicle.CurrentLocation.Latitude", Datatype.DOUBLE, "degrees", ""),
        Signal("Vehicle.Bus.Gnss.Satellites", Datatype.UINT8, "", "", steps_per_unit=1),
    ),
)
CCVS1 = Group("ccvs1", (Signal("Vehicle.Speed", Datatype.FLOAT, "km/h", "", steps_per_unit=256),))
DECLARED = {"gnss": FIX, "fms": CCVS1}
SHAPES = shapes_of(DECLARED.items())
assert SHAPES is not None


def group_of(source: str, paths: object) -> Group | None:
    return DECLARED.get(source)


def sample() -> Payload:
    records = [
        Record("gnss", 5_000, {"Vehicle.CurrentLocation.Latitude": 52.5200066}),
        Record("fms", 5_040, {"Vehicle.Speed": 12.5}),
        Record("gnss", 6_000, {"Vehicle.CurrentLocation.Latitude": 52.5201}, {}),
        Record("fms", 6_050, {}, {"Vehicle.Speed": State.ERROR}),
        Record("fms", 7_050, {"Vehicle.Speed": 11.75, "Vehicle.Bus.New": "undeclared"}),
    ]
    door = Record("doors", 900, {"Open": True, "Ratio": 1 / 3, "Count": -3}, kind=Kind.EVENT)
    return Payload(
        "bus-4021",
        EPOCH,
        [Run(7, BOOT, records), Run(20, OTHER_BOOT, [door])],
        [OffsetRow(BOOT, 0, 1_800_000_000_000, OffsetSource.GNSS)],
        [Drop(StorageClass.HISTORY, EPOCH, 1, 4, 4, "quota")],
    )


def as_page(payload: Payload) -> dict[str, Any]:
    """A payload in the words of the page's JSON."""
    boots = list(dict.fromkeys(run.boot for run in payload.runs))
    return {
        "vehicle": payload.vehicle,
        "epoch": payload.epoch,
        "boots": {
            boot: [
                [row.from_boottime_ms, row.utc_offset_ms, str(row.source)]
                for row in payload.offsets
                if row.boot == boot
            ]
            for boot in boots
        },
        "drops": [
            [str(d.storage_class), d.first, d.last, d.count, d.reason] for d in payload.drops
        ],
        "records": [
            {
                "seq": seq,
                "source": record.source,
                "group": DECLARED[record.source].name if record.source in DECLARED else "",
                "kind": str(record.kind),
                "boot": run.boot,
                "boottime_ms": record.boottime_ms,
                "values": dict(record.values),
                "states": {path: str(state) for path, state in record.states.items()},
            }
            for run in payload.runs
            for seq, record in enumerate(run.records, run.first)
        ],
    }


def block(kind: str) -> str:
    found = re.search(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found, f"{PAGE.name} has no block {kind!r}"
    return found[1]


def test_the_sample_of_the_page_says_what_the_page_says() -> None:
    catalogue, batch = (bytes.fromhex(block(f"text {name}")) for name in ("catalogue", "batch"))
    assert page_decoder.decode(batch, catalogue) == json.loads(block("json"))


def test_the_sample_is_what_the_agent_sends() -> None:
    """Compared by meaning: zlib's bytes may differ from version to version."""
    catalogue, batch = (bytes.fromhex(block(f"text {name}")) for name in ("catalogue", "batch"))
    assert page_decoder.decode(batch, catalogue) == as_page(sample())
    assert page_decoder.unpacked(catalogue) == page_decoder.unpacked(SHAPES.payload)


SCALARS: st.SearchStrategy[Scalar] = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.text(max_size=5).filter(lambda text: text.isprintable()),
)
PATHS = st.sampled_from(["Vehicle.Speed", "Vehicle.Bus.Gnss.Satellites", "x", "y"])
RECORDS = st.builds(
    Record,
    st.sampled_from(["gnss", "fms", "doors"]),
    st.integers(0, 2**40),
    st.dictionaries(PATHS, SCALARS, min_size=1, max_size=3),
    st.just({}),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(RECORDS, min_size=1, max_size=12), st.booleans())
def test_any_payload_is_read_from_the_page(records: list[Record], referring: bool) -> None:
    payload = Payload("bus-1", EPOCH, [Run(3, BOOT, records)])
    shapes = SHAPES if referring else None
    data = encode(payload, group_of, shapes=shapes)
    read = page_decoder.decode(data, SHAPES.payload)
    assert repr(read["records"]) == repr(as_page(payload)["records"]) or _same(
        read["records"], as_page(payload)["records"]
    )


def _same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    """Equal with types; columns may come in another order than the record had them."""

    def exact(record: dict[str, Any]) -> object:
        return {**record, "values": {p: repr(v) for p, v in record["values"].items()}}

    return [exact(record) for record in one] == [exact(record) for record in other]
