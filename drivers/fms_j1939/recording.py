"""Writes what a bus said into files for bug reports, as `candump -L` does, and keeps a few."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from agent.sdk import Scalar, boottime_ms
from drivers.fms_j1939.frames import Frame
from drivers.fms_j1939.masking import Mask
from drivers.fms_j1939.raw_ring import Chunk, RawRing

FOLDER = "captures"
MAX_FILES = 5
MAX_BYTES = 64_000_000
"""Of all captures that are kept; the oldest go first."""

DUMP_S = range(1, 61)
RECORD_S = range(1, 3601)

_NAME = re.compile(r"(\d{6})-.*\.log")
_PAUSE_S = 0.5


class Capture:
    """One file being written. Use it in a `with`: what fails half-way is removed.

    Frames carry the wall time of their boot time, by the offset between the two clocks when the
    capture began: their distances are true even where the wall clock steps meanwhile.
    """

    def __init__(self, folder: Path, interface: str, verb: str, *, mask: bool) -> None:
        self.path = _make_room(folder, f"{interface}-{verb}")
        self.lines = 0
        self.bytes = 0
        self._folder = folder
        self._interface = interface.encode("ascii", "replace")
        self._mask = Mask() if mask else None
        self._offset_ms = time.time_ns() // 1_000_000 - boottime_ms()
        self._first_ms: int | None = None
        self._last_ms = 0
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        self._file: BinaryIO = os.fdopen(fd, "wb")

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._file.close()
        finally:
            if kind is not None:
                self.path.unlink(missing_ok=True)

    def add(self, chunks: Iterable[Chunk], until_ms: int) -> bool:
        """Write the frames up to `until_ms` boot time; False where the file is full."""
        room = True
        for chunk in chunks:
            text = [
                self._line(at_ms, frame) for at_ms, frame in chunk.frames() if at_ms <= until_ms
            ]
            whole = b"".join(text)
            room = self.bytes + len(whole) <= MAX_BYTES
            if not room:
                break
            self.lines += len(text)
            self.bytes += len(whole)
            self._file.write(whole)
        self._file.flush()
        _prune(self._folder, MAX_FILES, MAX_BYTES, spare=self.path)
        return room

    def result(self) -> Mapping[str, Scalar]:
        """What was written, as the answer to the verb."""
        span_ms = self._last_ms - self._first_ms if self._first_ms is not None else 0
        return {
            "path": str(self.path),
            "lines": self.lines,
            "bytes": self.bytes,
            "seconds": span_ms / 1000,
        }

    def _line(self, at_ms: int, frame: Frame) -> bytes:
        if self._mask is not None:
            frame = self._mask.frame(frame, at_ms)
        if self._first_ms is None:
            self._first_ms = at_ms
        self._last_ms = at_ms
        seconds, ms = divmod(max(at_ms + self._offset_ms, 0), 1000)
        identifier = b"%08X" if frame.extended else b"%03X"
        said = b"R" if frame.remote else frame.payload.hex().upper().encode()
        return b"(%010d.%03d000) %s %s#%s\n" % (
            seconds, ms, self._interface, identifier % frame.can_id, said,
        )  # fmt: skip


def dump(
    ring: RawRing, folder: Path, interface: str, args: Mapping[str, Scalar]
) -> Mapping[str, Scalar]:
    """Write the last seconds of the ring: `seconds` (60), `mask` (false).

    Raises ValueError on bad arguments, OSError where the file cannot be written.
    """
    seconds, mask = arguments(args, DUMP_S)
    now_ms = boottime_ms()
    _, chunks = ring.since(ring.begin(now_ms - seconds * 1000))
    with Capture(folder, interface, "dump", mask=mask) as capture:
        capture.add(chunks, now_ms)
    return capture.result()


def record(
    ring: RawRing,
    folder: Path,
    interface: str,
    args: Mapping[str, Scalar],
    stopped: threading.Event,
) -> Mapping[str, Scalar]:
    """Write what comes in the next `seconds` (60); `mask` (false).

    Ends early where the file is full or `stopped` is set. Raises ValueError on bad arguments,
    OSError where the file cannot be written.
    """
    seconds, mask = arguments(args, RECORD_S)
    begin_ms = boottime_ms()
    end_ms = begin_ms + seconds * 1000
    number = ring.begin(begin_ms)
    with Capture(folder, interface, "record", mask=mask) as capture:
        running = True
        while running:
            left_s = (end_ms - boottime_ms()) / 1000
            running = left_s > 0 and not stopped.wait(min(left_s, _PAUSE_S))
            number, chunks = ring.since(number)
            if not capture.add(chunks, end_ms):
                break
    return capture.result()


def arguments(args: Mapping[str, Scalar], allowed: range) -> tuple[int, bool]:
    """`seconds` and `mask`. Raises ValueError naming the key and what was expected."""
    unknown = sorted(set(args) - {"seconds", "mask"})
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no argument; there are seconds and mask")
    seconds, mask = args.get("seconds", 60), args.get("mask", False)
    if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds not in allowed:
        raise ValueError(f"seconds: {seconds!r} is not one of {allowed[0]} to {allowed[-1]}")
    if not isinstance(mask, bool):
        raise ValueError(f"mask: {mask!r} is neither true nor false")
    return seconds, mask


def _make_room(folder: Path, name: str) -> Path:
    """A path for one more capture, which bears the highest number."""
    folder.mkdir(parents=True, exist_ok=True)
    _prune(folder, MAX_FILES - 1, MAX_BYTES)
    numbers = [int(path.name[:6]) for path in _captures(folder)]
    return folder / f"{max(numbers, default=0) + 1:06}-{name}.log"


def _captures(folder: Path) -> list[Path]:
    """All captures, oldest first: by number, since the clock may have been wrong."""
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def _prune(folder: Path, files: int, size: int, spare: Path | None = None) -> None:
    kept = _captures(folder)
    while kept and (len(kept) > files or sum(path.stat().st_size for path in kept) > size):
        oldest = kept.pop(0)
        if oldest != spare:
            oldest.unlink()
