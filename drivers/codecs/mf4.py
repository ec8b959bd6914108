"""Reads captures in the MF4 format (ASAM MDF 4, CAN bus logging) through asammdf.

asammdf is heavy: it is the extra `mf4`, imported when such a file is read. Columns and names are
those of the ASAM standard for bus logging; loggers leave some of them out.
"""

from __future__ import annotations

import gc
import heapq
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from drivers.codecs.logged_frame import (
    ERROR_FLAG,
    FD_LENGTHS,
    LARGEST_BASE_ID,
    LARGEST_ID,
    LoggedFrame,
    checked,
)

SIGNATURES = (b"MDF     ", b"UnFinMF ")

_EXTENDED = 0x80000000
_CHUNK = 10_000
"""Records that asammdf unpacks at a time."""


def read(path: Path) -> Iterator[LoggedFrame]:
    """The frames of a log in the order of their stamps, which count from 1970.

    Raises ValueError naming the file where it is damaged, after the frames before it, and where
    asammdf is not installed; OSError where the file cannot be read.
    """
    # Opened first: what cannot be read is an OSError of the file and not of a library.
    with path.open("rb"):
        pass
    try:
        import asammdf
    except ImportError as error:
        raise ValueError(
            f"{path}: an MF4 log needs asammdf: pip install 'computing-brain[mf4]' ({error})"
        ) from error
    count = 0
    # A damaged file makes the library raise whatever its bytes lead it to.
    try:
        with asammdf.MDF(path) as log:
            for frame in heapq.merge(*_groups(log), key=lambda frame: frame.t):
                yield frame
                count += 1
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        _bury(error)
        raise ValueError(f"{path}: damaged behind frame {count}: {reason}") from None


def _groups(log: Any) -> Iterator[Iterator[LoggedFrame]]:
    zero = log.header.start_time.timestamp()
    for index, group in enumerate(log.groups):
        names = {channel.name for channel in group.channels}
        for kind in ("CAN_DataFrame", "CAN_RemoteFrame", "CAN_ErrorFrame"):
            if kind in names:
                yield _frames(log, index, kind, zero)


def _frames(log: Any, index: int, kind: str, zero: float) -> Iterator[LoggedFrame]:
    for offset in range(0, log.groups[index].channel_group.cycles_nr, _CHUNK):
        signal = log.get(kind, group=index, record_offset=offset, record_count=_CHUNK, raw=True)
        yield from _records(signal, kind, zero)


def _records(signal: Any, kind: str, zero: float) -> Iterator[LoggedFrame]:
    table = _Table(signal.samples, kind)
    times = (signal.timestamps + zero).tolist()
    error, remote = kind == "CAN_ErrorFrame", kind == "CAN_RemoteFrame"
    buses = table.numbers("BusChannel", 1)
    ids, wide = table.numbers("ID", 0), table.numbers("IDE", 0)
    fds, requests = table.numbers("EDL", 0), table.numbers("RTR", 0)
    lengths = table.numbers("DataLength", -1)
    codes = table.numbers("DLC", 0)
    for n, t in enumerate(times):
        # Some loggers put the bit for 29 bits into the identifier, some forget it.
        can_id = ids[n] & LARGEST_ID
        extended = bool(wide[n]) or bool(ids[n] & _EXTENDED) or can_id > LARGEST_BASE_ID
        request = remote or bool(requests[n])
        size = lengths[n] if lengths[n] >= 0 else FD_LENGTHS[codes[n] & 15]
        # What an error frame holds differs by logger: nothing of it is needed.
        payload = b"" if request or error else table.payload(n, size)
        yield checked(
            LoggedFrame(
                round(t, 6),
                str(buses[n]),
                can_id | ERROR_FLAG if error else can_id,
                payload,
                extended and not error,
                request and not error,
                bool(fds[n]),
                error,
            )
        )


class _Table:
    """Columns of a chunk of records, which may be missing."""

    def __init__(self, samples: Any, kind: str) -> None:
        self._samples, self._kind = samples, kind
        self._names = samples.dtype.names or ()
        self._bytes = b""
        self._width = 0
        if f"{kind}.DataBytes" in self._names and kind == "CAN_DataFrame":
            column = samples[f"{kind}.DataBytes"]
            self._bytes = column.tobytes()
            self._width = len(self._bytes) // max(1, len(samples))

    def numbers(self, name: str, default: int) -> list[int]:
        """A column of whole numbers."""
        name = f"{self._kind}.{name}"
        if name not in self._names:
            return [default] * len(self._samples)
        return [int(number) for number in self._samples[name].tolist()]

    def payload(self, n: int, size: int) -> bytes:
        """The first `size` bytes of record `n`. Raises ValueError where it has fewer."""
        if size > self._width:
            raise ValueError(f"a frame of {size} bytes has {self._width}")
        return self._bytes[n * self._width : n * self._width + size]


def _bury(error: Exception) -> None:
    """Let go of what `error` holds: half-made objects of asammdf raise when they are deleted."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = error.__context__ = error.__cause__ = None
        gc.collect()
    finally:
        sys.unraisablehook = hook
