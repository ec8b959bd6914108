"""Raw bytes kept for bug reports: the last minute in RAM, and files on demand.

The driver's thread brings bytes, the verbs' thread asks for files; all that is kept is bounded.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.sdk import Scalar, boottime_ms

RING_MS, RING_BYTES = 60_000, 1_000_000
DUMP_MOST_S, RECORD_MOST_S = 60, 3_600
FILES_MOST, FOLDER_MOST_BYTES, FILE_MOST_BYTES = 5, 64_000_000, 16_000_000
VERBS = frozenset({"dump", "record"})
_TICK_S = 0.5


class Recorder:
    """The ring, and the captures in `folder` (made when there is one)."""

    def __init__(self, folder: Path, what: str, *, json: bool) -> None:
        self._folder = folder
        self._what = what
        self._json = json
        self._news = threading.Condition()
        self._ring: deque[tuple[int, bytes]] = deque()
        self._ring_bytes = 0
        self._waiting: deque[bytes] | None = None
        self._stopped = False

    def heard(self, data: bytes, at_ms: int) -> None:
        """Keep what came at `at_ms` of the boot clock; nothing older than a minute."""
        with self._news:
            self._ring.append((at_ms, data))
            self._ring_bytes += len(data)
            while self._ring and (
                self._ring[0][0] < at_ms - RING_MS or self._ring_bytes > RING_BYTES
            ):
                self._ring_bytes -= len(self._ring.popleft()[1])
            if self._waiting is not None:
                self._waiting.append(data)
                self._news.notify_all()

    def stop(self) -> None:
        """Let the recording that is going on end now."""
        with self._news:
            self._stopped = True
            self._news.notify_all()

    def command(self, verb: str, args: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
        """`dump` the last `seconds` or `record` the next ones; `mask` hides the place.

        Returns the file's `path`, and `lines`, `bytes` and `seconds` that are in it. A recording
        ends early when the driver stops or at 16 MB. Raises ValueError on bad arguments.
        """
        most_s = DUMP_MOST_S if verb == "dump" else RECORD_MOST_S
        seconds, mask = _checked(verb, args, most_s)
        masker = None
        if mask:
            from drivers.gnss_nmea0183.mask import Masker

            masker = Masker(json=self._json)
        how = "masked" if mask else "as they are"
        header = f"# {self._what}, {verb} of {seconds} s, positions {how}\n"
        with _File(self._folder, verb, header.encode()) as file:
            keep = file.write if masker is None else lambda data: file.write(masker.feed(data))
            span_ms = (
                self._dump(seconds, keep) if verb == "dump" else self._record(seconds, file, keep)
            )
        return {
            "path": str(file.path),
            "lines": file.lines,
            "bytes": file.bytes,
            "seconds": round(span_ms / 1000, 3),
        }

    def _dump(self, seconds: int, keep: Callable[[bytes], None]) -> int:
        now_ms = boottime_ms()
        with self._news:
            kept = [one for one in self._ring if one[0] >= now_ms - seconds * 1000]
        for _, data in kept:
            keep(data)
        return now_ms - kept[0][0] if kept else 0

    def _record(self, seconds: int, file: _File, keep: Callable[[bytes], None]) -> int:
        began = time.monotonic()
        with self._news:
            self._waiting, self._stopped = deque(), False
        try:
            while (left_s := began + seconds - time.monotonic()) > 0:
                with self._news:
                    self._news.wait_for(
                        lambda: self._waiting or self._stopped, min(left_s, _TICK_S)
                    )
                    pieces, self._waiting = self._waiting or deque(), deque()
                    stopped = self._stopped
                for data in pieces:
                    keep(data)
                if stopped or file.bytes > FILE_MOST_BYTES:
                    break
        finally:
            with self._news:
                self._waiting = None
        return round((time.monotonic() - began) * 1000)


class _File:
    """A capture that appears under its name when it is whole; the oldest make room for it."""

    def __init__(self, folder: Path, verb: str, header: bytes) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("*.part"):
            left.unlink(missing_ok=True)
        newest = max((_number(path) for path in folder.glob("*.log")), default=0)
        self.path = folder / f"{newest + 1:06d}-{verb}.log"
        self._part = self.path.with_suffix(".part")
        self._file = self._part.open("wb")
        self.bytes = self.lines = 0
        self.write(header)

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self.bytes += len(data)
        self.lines += data.count(b"\n")

    def __enter__(self) -> _File:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        if kind is not None:
            self._part.unlink(missing_ok=True)
            return
        self._part.rename(self.path)
        files = sorted(self.path.parent.glob("*.log"), key=_number)
        sizes = [path.stat().st_size for path in files]
        while len(files) > 1 and (len(files) > FILES_MOST or sum(sizes) > FOLDER_MOST_BYTES):
            files.pop(0).unlink(missing_ok=True)
            sizes.pop(0)


def _number(path: Path) -> int:
    digits = path.name.partition("-")[0]
    return int(digits) if digits.isascii() and digits.isdecimal() else 0


def _checked(verb: str, args: Mapping[str, Scalar], most_s: int) -> tuple[int, bool]:
    if verb not in VERBS:
        raise ValueError(f"unknown verb {verb!r:.40}, expected dump or record")
    unknown = args.keys() - {"seconds", "mask"}
    if unknown:
        raise ValueError(f"{verb}: unknown argument {min(unknown)!r:.40}, expected seconds, mask")
    seconds, mask = args.get("seconds", DUMP_MOST_S), args.get("mask", False)
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 1 <= seconds <= most_s:
        raise ValueError(f"{verb}: seconds is {seconds!r:.40}, expected a whole number 1..{most_s}")
    if not isinstance(mask, bool):
        raise ValueError(f"{verb}: mask is {mask!r:.40}, expected true or false")
    return seconds, mask
