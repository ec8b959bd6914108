"""What a run is made of: from the command line, on top of a scenario file where one is given.

A scenario is TOML: `seed`, `duration_s`, `speed`, `vehicle`, `gtfs` and the lists `faults` and
`quirks` in the form of --fault and --quirk.
"""

from __future__ import annotations

import argparse
import time
import tomllib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from simulator.faults import Fault, parse
from simulator.fms_table import KINDS, VehicleKind
from simulator.quirks import NAMES as QUIRKS

SOURCE_OF_REPLAY = {"can": "fms", "nmea": "gnss"}
FIRST_YEAR, LAST_YEAR = 2026, 2079
"""What a receiver and a tachograph can say with two digits of the year."""
_KEYS = {"seed", "duration_s", "speed", "faults", "quirks", "vehicle"}
_KEYS |= {"gtfs", "gtfs_route", "gtfs_trip"}


class Misuse(Exception):
    """The command line or the scenario cannot be used; the text says what was expected."""


@dataclass(frozen=True)
class Scenario:
    """A run. `duration_s` None: until Ctrl-C. `port` 0: any free one. Paths are as given."""

    seed: int
    duration_s: float | None
    speed: float
    faults: tuple[Fault, ...]
    replay: dict[str, Path]
    headless: bool
    report: Path | None
    run_dir: Path
    port: int
    keep: bool
    log_level: str = "info"
    vehicle: VehicleKind = "diesel"
    quirks: tuple[str, ...] = ()
    gtfs: Path | None = None
    gtfs_route: str | None = None
    gtfs_trip: str | None = None
    config: Path | None = None
    utc_start_ms: int | None = None
    """UTC of world second 0; None: the seed's."""

    @property
    def judged(self) -> bool:
        """Whether facts can be judged: real time, and a world that wrote them."""
        return self.speed == 1.0


def arguments(argv: list[str]) -> Scenario:
    """Parse the command line. Raises Misuse."""
    parser = argparse.ArgumentParser(
        prog="brain simulate",
        description="A whole vehicle, broker, cloud end and agent on this machine.",
    )
    parser.add_argument("--duration", type=float, metavar="S", help="world seconds; else to Ctrl-C")
    parser.add_argument("--seed", type=int, help="same seed, same bytes (7)")
    parser.add_argument("--scenario", type=Path, metavar="FILE", help="seed, duration_s, faults")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME[:DRIVER]@START[+SECONDS]",
        help="may be repeated",
    )
    parser.add_argument(
        "--replay",
        action="append",
        default=[],
        metavar="can=FILE|nmea=FILE",
        help="a capture through the same wire, instead of the simulated device: "
        "candump, ASC, BLF, TRC, MF4, CSV; a receiver's log; gzipped or not",
    )
    parser.add_argument("--vehicle", metavar="KIND", help=f"{' or '.join(KINDS)} ({KINDS[0]})")
    parser.add_argument(
        "--quirk",
        action="append",
        default=[],
        metavar="NAME",
        help=f"what real buses get wrong, may be repeated: {', '.join(QUIRKS)}",
    )
    parser.add_argument("--gtfs", type=Path, metavar="ZIP", help="route, stops and times of a feed")
    parser.add_argument("--gtfs-route", metavar="ID", help="route_id in it (one by the seed)")
    parser.add_argument("--gtfs-trip", metavar="ID", help="trip_id in it (one by the seed)")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML laid over the agent's configuration"
    )
    parser.add_argument(
        "--utc",
        metavar="now|TIME",
        help="date and time on the bus at the start, such as 2028-02-29T12:00Z, or now: this "
        "machine's, which signed commands need (one by the seed)",
    )
    parser.add_argument("--speed", type=float, metavar="X", help="world seconds per second (1)")
    parser.add_argument("--headless", action="store_true", help="no line a second")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report as JSON")
    parser.add_argument("--run-dir", type=Path, required=True, metavar="DIR")
    parser.add_argument("--port", type=int, default=0, help="broker port (any free one)")
    parser.add_argument("--keep", action="store_true", help="keep outbox, ledger and logs")
    levels = ("debug", "info", "warning", "error")
    parser.add_argument("--log-level", choices=levels, default="info", help="of the agent (info)")
    args = parser.parse_args(argv)
    base = _scenario(args.scenario) if args.scenario else {}
    try:
        texts = [*_list(base, "faults"), *args.fault]
        faults = tuple(parse(str(text)) for text in texts)
    except (ValueError, TypeError) as error:
        raise Misuse(f"--fault {error}") from None
    duration = args.duration if args.duration is not None else base.get("duration_s")
    speed = args.speed if args.speed is not None else base.get("speed", 1.0)
    if not isinstance(speed, (int, float)) or not 0.1 <= speed <= 100:
        raise Misuse(f"--speed {speed}: expected 0.1 to 100")
    if duration is not None and not (isinstance(duration, (int, float)) and duration >= 1):
        raise Misuse(f"--duration {duration}: expected at least 1 second")
    seed = args.seed if args.seed is not None else base.get("seed", 7)
    if not isinstance(seed, int):
        raise Misuse(f"seed {seed!r}: expected a whole number")
    if not 0 <= args.port <= 65_535:
        raise Misuse(f"--port {args.port}: expected 0 to 65535")
    if args.report is not None and not args.report.resolve().parent.is_dir():
        raise Misuse(f"--report {args.report}: no such directory; create it first")
    if args.config is not None and not args.config.is_file():
        raise Misuse(f"--config {args.config}: no such file; expected TOML for the agent")
    return Scenario(
        seed,
        float(duration) if duration is not None else None,
        float(speed),
        faults,
        _replay(args.replay),
        args.headless,
        args.report,
        args.run_dir,
        args.port,
        args.keep,
        args.log_level,
        _vehicle(args.vehicle if args.vehicle is not None else base.get("vehicle", KINDS[0])),
        _quirks([*_list(base, "quirks"), *args.quirk]),
        *_gtfs(args, base),
        config=args.config,
        utc_start_ms=_utc_ms(args.utc),
    )


def _utc_ms(text: str | None) -> int | None:
    if text is None:
        return None
    if text == "now":
        return time.time_ns() // 1_000_000
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = datetime.min
    if found.tzinfo is None or not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise Misuse(
            f"--utc {text}: expected now, or a time with its offset such as 2028-02-29T12:00Z, "
            f"{FIRST_YEAR} to {LAST_YEAR}"
        )
    return round(found.timestamp() * 1000)


def _vehicle(name: object) -> VehicleKind:
    for kind in KINDS:
        if name == kind:
            return kind
    raise Misuse(f"--vehicle {name}: there are {', '.join(KINDS)}")


def _quirks(names: list[object]) -> tuple[str, ...]:
    for name in names:
        if name not in QUIRKS:
            raise Misuse(f"--quirk {name}: there are {', '.join(QUIRKS)}")
    return tuple(sorted({str(name) for name in names}))


def _gtfs(
    args: argparse.Namespace, base: dict[str, object]
) -> tuple[Path | None, str | None, str | None]:
    """Feed, route_id and trip_id; a scenario's feed is relative to the current directory."""
    feed = args.gtfs or (Path(str(base["gtfs"])) if "gtfs" in base else None)
    route = args.gtfs_route or base.get("gtfs_route")
    trip = args.gtfs_trip or base.get("gtfs_trip")
    if feed is None and (route or trip):
        raise Misuse("--gtfs-route and --gtfs-trip choose in a feed; add --gtfs ZIP")
    return feed, str(route) if route else None, str(trip) if trip else None


def _list(base: dict[str, object], key: str) -> list[object]:
    entries = base.get(key, [])
    return entries if isinstance(entries, list) else []


def _scenario(path: Path) -> dict[str, object]:
    try:
        base = tomllib.loads(path.read_text())
    except OSError as error:
        raise Misuse(f"--scenario {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misuse(f"--scenario {path}: not TOML: {error}") from None
    unknown = sorted(base.keys() - _KEYS)
    if unknown:
        raise Misuse(f"--scenario {path}: unknown key {unknown[0]}; expected {sorted(_KEYS)}")
    for key, form in (("faults", "NAME@START"), ("quirks", "NAME")):
        if not isinstance(base.get(key, []), list):
            raise Misuse(f"--scenario {path}: {key}: expected a list of {form}")
    for key in ("vehicle", "gtfs", "gtfs_route", "gtfs_trip"):
        if not isinstance(base.get(key, ""), str):
            raise Misuse(f"--scenario {path}: {key}: expected text")
    return base


def _replay(texts: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for text in texts:
        kind, _, name = text.partition("=")
        if kind not in SOURCE_OF_REPLAY or not name:
            raise Misuse(
                f"--replay {text!r}: expected can=FILE (candump, ASC, BLF, TRC, MF4, CSV) "
                "or nmea=FILE (a receiver's log)"
            )
        path = Path(name)
        if not path.is_file():
            raise Misuse(f"--replay {text}: {path}: no such file")
        found[kind] = path
    return found
