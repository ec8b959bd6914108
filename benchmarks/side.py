"""What a system under comparison must be able to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.measured import Child


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one round; `cpu_us` and `records_s` from the first record that arrived on."""

    records_s: float
    cpu_us: float
    peak_mb: float
    payload_b: float
    written_b: float
    duplicates: int
    missing: int
    messages: int
    first_s: float


class Side(Protocol):
    """One system; `name` is also the kind of its consumer."""

    name: str

    def fill(self, directory: Path, n: int) -> int:
        """Let it accept `n` records with nobody to send to; bytes written to disks for that."""
        ...

    def start(self, directory: Path, port: int) -> Child:
        """The process that sends what is in the storage to the broker at `port`."""
        ...

    def killed(self, directory: Path, n: int) -> int:
        """Let it accept `n` records, kill it at once; how many its storage still has."""
        ...
