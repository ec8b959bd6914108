"""One value as the cloud's ledger has it."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.emission import Scalar


@dataclass(frozen=True, slots=True)
class Delivered:
    """One value in the cloud's ledger."""

    seq: tuple[str, int]
    source: str
    signal: str
    at_ms: int
    value: Scalar
