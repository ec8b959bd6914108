"""Storage to broker, side by side: this agent, thingsboard-gateway from PyPI, a mosquitto bridge.

Each gets the same records of a bus (17 fields, one a second), already accepted and in its storage,
and a mosquitto; a far end of its own counts what arrives. Rounds alternate, since machines are
noisy: only the ratios of one run mean something. The gateway goes into a virtual environment that
this script makes ($TB_VENV names one that is there). Its settings are its fastest that we know:
SQLite storage, 1,000 records a read, no rate limits. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks import brain_side, bridge_side, gateway_side
from benchmarks.measured import BESIDE, Child, free_port, listening, wait
from benchmarks.side import Figures, Side

MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")


def drain(side: Side, directory: Path, n: int) -> Figures:
    """Let one side deliver `n` records that it has in its storage."""
    directory.mkdir()
    filled_bytes = side.fill(directory, n)
    port = free_port()
    config = directory / "broker.conf"
    # What its clients are given of it: no limit of its own that would slow one of them down.
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
        "max_inflight_messages 0\nset_tcp_nodelay true\n"
    )
    with ExitStack() as stack:
        stack.enter_context(Child([str(MOSQUITTO), "-c", str(config)], directory / "broker.log"))
        wait(lambda: listening(port), "the broker listens")
        argv = [sys.executable, "-m", "benchmarks.consumer", side.name, str(port), str(n)]
        far = stack.enter_context(Child(argv, directory / "far.log", cwd=BESIDE, said=True))
        assert far.line() == "ready", (directory / "far.log").read_text()
        started = time.monotonic()
        sender = stack.enter_context(side.start(directory, port))
        assert far.line() == "first", (directory / "far.log").read_text()
        cpu_s = sender.cpu_s()
        assert far.line() == "done", (directory / "far.log").read_text()
        cpu_s = sender.cpu_s() - cpu_s
        found = json.loads(far.line())
        return Figures(
            records_s=n / found["seconds"],
            cpu_us=1e6 * cpu_s / n,
            peak_mb=sender.peak_mb(),
            payload_b=found["bytes"] / n,
            written_b=(filled_bytes + sender.written()) / n,
            duplicates=found["duplicates"],
            missing=n - found["records"],
            messages=found["messages"],
            first_s=found["first_at"] - started,
        )


def survivors(side: Side, directory: Path, n: int) -> int:
    """How many of `n` accepted records are in the storage after a kill -9 right after the last."""
    directory.mkdir()
    return side.killed(directory, n)


def median(rounds: list[Figures], value: Callable[[Figures], float]) -> float:
    return statistics.median(value(figures) for figures in rounds)


ROWS: tuple[tuple[str, str, Callable[[Figures], float]], ...] = (
    ("records a second", "{:,.0f}", lambda f: f.records_s),
    ("CPU us a record", "{:,.1f}", lambda f: f.cpu_us),
    ("peak RSS MB", "{:.0f}", lambda f: f.peak_mb),
    ("payload B a record", "{:.1f}", lambda f: f.payload_b),
    ("written B a record", "{:.0f}", lambda f: f.written_b),
    ("messages", "{:,.0f}", lambda f: f.messages),
    ("duplicates", "{:,.0f}", lambda f: f.duplicates),
    ("missing", "{:,.0f}", lambda f: f.missing),
    ("s to the first", "{:.1f}", lambda f: f.first_s),
)


def show(rounds: dict[str, list[Figures]], kept: dict[str, tuple[int, int]]) -> None:
    """A column a side; ratios are the other's figure to this agent's."""
    names = list(rounds)
    others = names[1:]
    print(f"{'':22}" + "".join(f"{name:>16}" for name in names), end="")
    print("".join(f"{name + ':brain':>16}" for name in others))
    for what, form, value in ROWS:
        medians = [median(rounds[name], value) for name in names]
        cells = "".join(f"{form.format(number):>16}" for number in medians)
        ratios = ""
        for number in medians[1:]:
            ratios += f"{number / medians[0]:>16.2f}" if medians[0] else f"{'-':>16}"
        print(f"{what:22}{cells}{ratios}")
    cells = "".join(f"{f'{kept[name][0]:,} of {kept[name][1]:,}':>16}" for name in names)
    print(f"{'after kill -9':22}{cells}")
    own = rounds[names[0]]
    for name in others:
        drained = median(own, lambda f: f.records_s) / median(rounds[name], lambda f: f.records_s)
        cpu = median(rounds[name], lambda f: f.cpu_us) / median(own, lambda f: f.cpu_us)
        nbytes = median(rounds[name], lambda f: f.payload_b) / median(own, lambda f: f.payload_b)
        print(
            f"brain against {name}: {drained:.1f} x the rate, 1/{cpu:.1f} of the CPU, "
            f"1/{nbytes:.1f} of the payload"
        )


def gateway_python(directory: Path) -> Path:
    """The interpreter of a virtual environment with thingsboard-gateway."""
    given = os.environ.get("TB_VENV")
    venv = Path(given) if given else directory / "venv"
    if not given:
        print("installing thingsboard-gateway beside, for this run ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        pip = [str(venv / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "thingsboard-gateway"], check=True, stderr=subprocess.DEVNULL)
    return venv / "bin" / "python"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--without", nargs="*", default=[], choices=["gateway", "bridge"])
    args = parser.parse_args()
    if MOSQUITTO is None:
        raise SystemExit("mosquitto is missing: apt install mosquitto")
    with tempfile.TemporaryDirectory(prefix=".against-", dir=BESIDE) as name:
        directory = Path(name)
        sides: list[Side] = [brain_side.Brain()]
        if "gateway" not in args.without:
            sides.append(gateway_side.Gateway(gateway_python(directory)))
        if "bridge" not in args.without:
            sides.append(bridge_side.Bridge(MOSQUITTO))
        rounds: dict[str, list[Figures]] = {side.name: [] for side in sides}
        for number in range(args.rounds):
            for side in sides:
                figures = drain(side, directory / f"{side.name}-{number}", args.records)
                rounds[side.name].append(figures)
                print(f"round {number + 1} {side.name}: {figures}", flush=True)
        kept = {
            side.name: (survivors(side, directory / f"{side.name}-killed", 20_000), 20_000)
            for side in sides
        }
    print(f"\n{args.records:,} records of 17 fields, medians of {args.rounds} rounds")
    show(rounds, kept)


if __name__ == "__main__":
    main()
