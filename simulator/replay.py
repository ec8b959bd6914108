"""Real captures for the simulated wires: recorded buses and receivers as emissions.

They have no writings: nobody knows what they should have said. Each file is read to its end before
the first emission, so that a corrupt one is refused when the run starts, not in the middle of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from simulator.can_capture import FORMATS, CanCapture
from simulator.capture_file import ReplayError
from simulator.emission import Emission
from simulator.nmea_capture import bursts, require_sentences
from simulator.screen import say
from simulator.wires.nmea_pty import BYTES_PER_S

__all__ = ["ReplayError", "count_bursts", "count_frames", "replay_can", "replay_nmea"]

MARGIN = 1.05
"""Room that a burst longer than its second leaves before the next."""

UNTIMED_FRAME_S = 0.001
"""From one frame to the next of a log without stamps: half of what a bus can carry."""


def count_frames(path: Path) -> int:
    """Frames of a capture that a stick can carry. Raises ReplayError where it is damaged."""
    return sum(1 for _ in CanCapture(path))


def replay_can(path: Path, speed: float = 1.0, *, source: str = "fms") -> Iterator[Emission]:
    """The frames of a capture of any known format, plain or gzipped, in their original timing.

    Second 0 is the first frame; time that goes back stands still instead. `speed` 2 halves all
    intervals. Frames that no stick for classic CAN carries are left out, and it is said how many.
    Raises ReplayError for a file that is damaged, of no known format or without a frame.
    """
    capture = CanCapture(path)
    count = back = 0
    first = last = None
    for seconds, _ in capture:
        first = seconds if count == 0 else first
        back += last is not None and seconds is not None and seconds < last
        last = seconds
        count += 1
    if capture.left_out:
        left_out = sorted(capture.left_out.items())
        counts = ", ".join(f"{n} {what}{'s' * (n > 1)}" for what, n in left_out)
        say(f"{path}: left out, for a stick of classic CAN cannot carry them: {counts}")
    if count == 0:
        raise ReplayError(f"{path}: holds no frame. Expected one of: {FORMATS}.")
    # candump -td: its first stamp is 0, and only differences go up and down all the time.
    return _play_can(capture, speed, source, differences=first == 0 and back * 10 > count)


def _play_can(
    capture: CanCapture, speed: float, source: str, *, differences: bool
) -> Iterator[Emission]:
    first: float | None = None
    at_s = 0.0
    elapsed = 0.0
    for seconds, text in capture:
        if seconds is None:
            elapsed += UNTIMED_FRAME_S if first is not None else 0.0
        elif differences:
            elapsed += seconds
        else:
            elapsed = seconds - (seconds if first is None else first)
        if first is None:
            first = seconds or 0.0
        at_s = max(at_s, round(elapsed / speed, 6))
        yield Emission(source, at_s, text)


def count_bursts(path: Path) -> int:
    """Bursts in an NMEA log. Raises ReplayError where it cannot be read."""
    return sum(1 for _ in bursts(path))


def replay_nmea(path: Path, speed: float = 1.0, *, source: str = "gnss") -> Iterator[Emission]:
    """A receiver's log, plain or gzipped, in the timing of the logger's stamps where it has some.

    Without stamps it is one burst a second, whatever the receiver's rate was. A burst ends where
    the time of day changes. One that 9600 baud cannot carry until the next gets the time it needs.
    Bytes that are no sentence go out as they are. Raises ReplayError for a file that cannot be
    read or has no sentence.
    """
    require_sentences(path)
    return _play_nmea(path, speed, source)


def _play_nmea(path: Path, speed: float, source: str) -> Iterator[Emission]:
    first: float | None = None
    free_s = next_s = 0.0
    for seconds, data in bursts(path):
        at_s = next_s
        if seconds is not None:
            first = seconds if first is None else first
            at_s = max(free_s, seconds - first)
        yield Emission(source, round(at_s / speed, 6), data)
        free_s = at_s + MARGIN * len(data) / BYTES_PER_S
        next_s = max(at_s + 1.0, free_s)
