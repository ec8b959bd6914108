"""How densely a signal is to arrive: the form of the rows of the simulator's own table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Keep = Literal["every", "change", "sampled"]


@dataclass(frozen=True, slots=True)
class Expectation:
    """How densely a signal is to arrive.

    `interval_s` and `deadband` (in the signal's unit) apply to "sampled". `step` is the wire's
    resolution in that unit, 0 where values are no numbers or codes. `on_wire` is False for what a
    driver counts or concludes by itself. `tolerance`: how far a delivered value may be from the
    written one and still be the same: 0 (but for a float's error), except where the conversion
    from the standard's unit is irrational and each side rounds it in its own way. `pseudonym`: what
    is delivered stands for what was written, under a key that only the driver has.
    """

    source: str
    path: str
    keep: Keep
    interval_s: float = 0.0
    deadband: float = 0.0
    step: float = 0.0
    on_wire: bool = True
    tolerance: float = 0.0
    pseudonym: bool = False


def every(source: str, path: str, step: float) -> Expectation:
    """Each written value."""
    return Expectation(source, path, "every", step=step)


def change(source: str, *paths: str, step: float = 0.0) -> tuple[Expectation, ...]:
    """Each value that replaces another."""
    return tuple(Expectation(source, path, "change", step=step) for path in paths)


def sampled(
    source: str, path: str, interval_s: float, deadband: float, step: float, tolerance: float = 0.0
) -> Expectation:
    """One value an interval, if it has moved by more than the deadband."""
    return Expectation(source, path, "sampled", interval_s, deadband, step, tolerance=tolerance)


def counter(source: str, path: str) -> Expectation:
    """What a driver counts."""
    return Expectation(source, path, "sampled", 5.0, 0.0, 1.0, on_wire=False)
