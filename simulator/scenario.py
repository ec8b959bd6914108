"""What a run is made of: from the command line, on top of a scenario file where one is given.

A scenario is TOML: `seed`, `duration_s`, `speed` and `faults`, a list in the form of --fault.
"""

from __future__ import annotations

import argparse
import tomllib
from dataclasses import dataclass
from pathlib import Path

from simulator.faults import Fault, parse

SOURCE_OF_REPLAY = {"can": "fms", "nmea": "gnss"}
_KEYS = {"seed", "duration_s", "speed", "faults"}


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
    parser.add_argument("--speed", type=float, metavar="X", help="world seconds per second (1)")
    parser.add_argument("--headless", action="store_true", help="no line a second")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report as JSON")
    parser.add_argument("--run-dir", type=Path, required=True, metavar="DIR")
    parser.add_argument("--port", type=int, default=0, help="broker port (any free one)")
    parser.add_argument("--keep", action="store_true", help="keep outbox, ledger and logs")
    args = parser.parse_args(argv)
    base = _scenario(args.scenario) if args.scenario else {}
    try:
        texts = [*base.get("faults", []), *args.fault]  # type: ignore[misc]
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
    )


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
    if not isinstance(base.get("faults", []), list):
        raise Misuse(f"--scenario {path}: faults: expected a list of NAME@START")
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
