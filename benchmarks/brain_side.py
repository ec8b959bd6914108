"""This agent, as the comparison sees it: outbox filled commit by commit, `brain run` sends."""

from __future__ import annotations

import os
import sys
from itertools import islice
from pathlib import Path

from agent.ingest_check import encode_groups
from agent.protocol import declare
from agent.record import Record, StorageClass
from agent.store.outbox import Outbox
from agent.store.rows import Change
from benchmarks.bus_record import GROUP, SOURCE, drive
from benchmarks.measured import BESIDE, Child

A_COMMIT = 100
QUOTA = dict.fromkeys(StorageClass, 1 << 30)


def fill(directory: Path, n: int, *, a_commit: int = A_COMMIT) -> Outbox:
    """Accept `n` records, each commit on flash before the next is begun; still open."""
    outbox = Outbox.open(directory / "state", quota_bytes=QUOTA)
    catalogue: dict[str, bytes] | None = {SOURCE: encode_groups([declare(GROUP)])}
    boot = "b" * 32
    waiting: list[Record] = []
    for record in islice(drive(), n):
        waiting.append(record)
        if len(waiting) == a_commit:
            outbox.commit(Change(waiting, boot, catalogue=catalogue))
            waiting, catalogue = [], None
    if waiting:
        outbox.commit(Change(waiting, boot))
    return outbox


class Brain:
    """The agent of this checkout."""

    name = "brain"

    def fill(self, directory: Path, n: int) -> int:
        """See Side."""
        argv = [sys.executable, "-m", "benchmarks.brain_side", str(directory), str(n)]
        with Child(argv, directory / "fill.log", cwd=BESIDE, said=True) as child:
            return int(child.line())

    def start(self, directory: Path, port: int) -> Child:
        """See Side."""
        config = directory / "brain.toml"
        # As the gateway has no limits here: by default it keeps below those of a metered broker.
        config.write_text(
            f'schema = 1\n[vehicle]\nid = "bus-4021"\n[uplink]\nport = {port}\n'
            "kib_per_s = 10000\nmessages_per_s = 100\n"
        )
        argv = [sys.executable, "-P", "-m", "agent.cli.main", "run", "--config", str(config)]
        argv += ["--run-dir", str(directory / "run"), "--state-dir", str(directory / "state")]
        (directory / "run").mkdir(exist_ok=True)
        return Child(argv, directory / "brain.log", cwd=BESIDE)

    def killed(self, directory: Path, n: int) -> int:
        """See Side."""
        argv = [sys.executable, "-m", "benchmarks.brain_side", str(directory), str(n)]
        with Child(argv, directory / "fill.log", cwd=BESIDE, said=True) as child:
            child.line()
            child.kill()
        outbox = Outbox.open(directory / "state", quota_bytes=QUOTA)
        try:
            return sum(counters.queued for counters in outbox.counters().values())
        finally:
            outbox.close()


def main() -> None:
    """Fill, say what was written, and wait for the end."""
    fill(Path(sys.argv[1]), int(sys.argv[2]))
    lines = Path("/proc/self/io").read_text().splitlines()
    sys.stdout.write(next(line for line in lines if line.startswith("write_bytes")).split()[1])
    sys.stdout.write("\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
