"""Bytes and time per record of the uplink's payload, against plain JSON lines.

One bus in traffic: the GNSS record of each second and the FMS groups at the rates that `thin` lets
through, of a made-up drive. Medians of 5 runs of 50 messages. JSON lines carry the same identity:
seq, source, group, time, values.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import secrets
import statistics
import time
import zlib
from collections.abc import Callable, Collection, Iterator

from agent.clock import OffsetRow, OffsetSource
from agent.record import Record, Scalar
from agent.signals import Datatype, Group, Signal
from agent.uplink import codec
from agent.uplink.catalogue import shapes_of
from agent.uplink.payload import Payload, Run
from benchmarks import bus_record as bus_record_17

RUNS = 5
REPEATS = 50
SIZES = (100, 600)
BOOT, EPOCH = "b" * 32, "e" * 32

# path, steps per unit; 0: as it comes.
GROUPS: dict[str, tuple[str, float, list[tuple[str, int]]]] = {
    "fix": (
        "gnss",
        1.0,
        [
            ("Vehicle.CurrentLocation.Latitude", 0),
            ("Vehicle.CurrentLocation.Longitude", 0),
            ("Vehicle.CurrentLocation.Heading", 100),
            ("Vehicle.Bus.Gnss.Speed", 1_000),
            ("Vehicle.Bus.Gnss.Satellites", 1),
        ],
    ),
    "eec1": (
        "fms",
        1.0,
        [
            ("Vehicle.Powertrain.CombustionEngine.Speed", 8),
            ("Vehicle.Bus.Engine.DemandTorquePercent", 1),
            ("Vehicle.Bus.Engine.TorquePercent", 1),
        ],
    ),
    "eec2": (
        "fms",
        1.0,
        [
            ("Vehicle.Chassis.Accelerator.PedalPosition", 0),
            ("Vehicle.Bus.Engine.LoadPercent", 1),
        ],
    ),
    "ccvs1": (
        "fms",
        1.0,
        [("Vehicle.Speed", 256), ("Vehicle.Bus.Chassis.BrakeSwitch", 0)],
    ),
    "tco1": (
        "fms",
        1.0,
        [
            ("Vehicle.Tachograph.Speed", 256),
            ("Vehicle.Tachograph.OutputShaftSpeed", 8),
        ],
    ),
    "lfe1": (
        "fms",
        5.0,
        [
            ("Vehicle.Bus.Fuel.RateLitrePerHour", 20),
            ("Vehicle.Powertrain.FuelSystem.InstantFuelEconomy", 512),
        ],
    ),
    "et1": (
        "fms",
        10.0,
        [
            ("Vehicle.Powertrain.CombustionEngine.EngineCoolant.Temperature", 1),
            ("Vehicle.Powertrain.CombustionEngine.EngineOil.Temperature", 32),
        ],
    ),
}
DECLARED = {
    name: Group(
        name, tuple(Signal(path, Datatype.DOUBLE, "", "", steps_per_unit=n) for path, n in paths)
    )
    for name, (_, _, paths) in GROUPS.items()
}


def group_of(source: str, paths: Collection[str]) -> Group | None:
    """The declared group that the first path belongs to."""
    first = next(iter(paths))
    return next((group for group in DECLARED.values() if first in group.index), None)


def drive() -> Iterator[Record]:
    """Records of a bus between stops, in order of time, with the wire's rounding."""
    chance = random.Random(7)
    due = dict.fromkeys(GROUPS, 0.0)
    while True:
        name = min(due, key=lambda name: due[name])
        at_s = due[name]
        source, every_s, paths = GROUPS[name]
        due[name] += every_s * chance.uniform(1.0, 1.02)
        speed_kmh = max(0.0, 30 + 30 * math.sin(at_s / 20) + chance.gauss(0, 0.4))
        values: dict[str, Scalar] = {}
        for path, steps in paths:
            if path.endswith("Latitude"):
                values[path] = round(52.52 + 0.02 * math.sin(at_s / 300), 7)
            elif path.endswith("Longitude"):
                values[path] = round(13.4 + 0.03 * math.cos(at_s / 300), 7)
            elif path.endswith("Satellites"):
                values[path] = chance.choice((9, 10, 10, 11))
            elif path.endswith("Switch"):
                values[path] = math.cos(at_s / 20) < -0.5
            elif path.endswith("PedalPosition"):
                values[path] = round(chance.uniform(0, 250)) * 0.4
            elif path.endswith("Temperature"):
                values[path] = round((85 + math.sin(at_s / 90)) * steps) / steps
            else:
                scale = 25.0 if "Engine.Speed" in path or "Shaft" in path else 1.0
                values[path] = round(speed_kmh * scale * steps) / steps
        yield Record(source, 100_000 + round(at_s * 1_000), values)


def timed(encode: Callable[[], bytes], n: int) -> tuple[float, float]:
    """Bytes and microseconds per record."""
    took_us = []
    data = encode()
    for _ in range(RUNS):
        began = time.perf_counter()
        for _ in range(REPEATS):
            data = encode()
        took_us.append((time.perf_counter() - began) * 1e6 / REPEATS)
    return len(data) / n, statistics.median(took_us) / n


def bus_record() -> None:
    """Bytes of the 17-field record at 1 Hz by the number of records in a message."""
    epoch, boot = secrets.token_hex(16), secrets.token_hex(16)
    shapes = shapes_of([(bus_record_17.SOURCE, bus_record_17.GROUP)])
    assert shapes is not None
    print(f"17 fields at 1 Hz, bytes/record; the catalogue is {len(shapes.payload)} bytes, once")
    print(f"  {'records a message':>18}{'referring':>11}{'naming':>9}{'JSON lines':>12}")
    for n in (1, 10, 60, 100, 500):
        records = list(itertools.islice(bus_record_17.drive(), n))
        offsets = [OffsetRow(boot, 0, 1_800_000_000_123, OffsetSource.GNSS)]
        payload = Payload("bus-4021", epoch, [Run(1_234_567, boot, records)], offsets)
        short = codec.encode(payload, bus_record_17.group_of, shapes=shapes)
        named = codec.encode(payload, bus_record_17.group_of)
        assert codec.decode(short, shapes).runs == codec.decode(named).runs == payload.runs
        lines = sum(len(json.dumps(dict(r.values), separators=(",", ":"))) for r in records)
        print(f"  {n:>18}{len(short) / n:>11.1f}{len(named) / n:>9.1f}{lines / n:>12.1f}")
    print()


def main() -> None:
    """Print the record of a bus by size of batch, then one table per size of mixed traffic."""
    bus_record()
    for n in SIZES:
        records = list(itertools.islice(drive(), n))
        offsets = [OffsetRow(BOOT, 0, 1_800_000_000_000, OffsetSource.GNSS)]
        payload = Payload("bus-4021", EPOCH, [Run(1, BOOT, records)], offsets)

        def lines(records: list[Record] = records) -> bytes:
            rows = []
            for seq, record in enumerate(records, 1):
                group = group_of(record.source, record.values.keys())
                name = group.name if group else ""
                row = [seq, record.source, name, record.boottime_ms, dict(record.values)]
                rows.append(json.dumps(row, separators=(",", ":")))
            return "\n".join(rows).encode()

        def protobuf(payload: Payload = payload) -> bytes:
            return codec.encode(payload, group_of)

        def plain(payload: Payload = payload) -> bytes:
            return codec.encode(payload, group_of, "json")

        def packed(lines: Callable[[], bytes] = lines) -> bytes:
            return zlib.compress(lines(), codec.ZLIB_LEVEL)

        assert codec.decode(protobuf()).runs == payload.runs
        ways = {
            "protobuf columns, zlib": protobuf,
            'format = "json"': plain,
            "JSON lines": lines,
            "JSON lines, zlib": packed,
        }
        figures = {way: timed(encode, n) for way, encode in ways.items()}
        own_bytes, own_us = figures["protobuf columns, zlib"]
        signals = sum(len(record.values) for record in records) / n
        print(f"{n} records of {signals:.1f} signals")
        print(f"  {'':24}{'bytes/record':>13}{'ratio':>8}{'us/record':>12}{'ratio':>8}")
        for way, (nbytes, us) in figures.items():
            print(f"  {way:24}{nbytes:13.1f}{nbytes / own_bytes:8.1f}{us:12.1f}{us / own_us:8.1f}")


if __name__ == "__main__":
    main()
