"""Reads captures in the MF4 format (ASAM MDF 4, CAN bus logging) through python-can and asammdf.

asammdf is heavy: it is the extra `mf4`, imported when such a file is read.
"""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.codecs.logged_frame import ERROR_FLAG, LARGEST_BASE_ID, LoggedFrame, checked

if TYPE_CHECKING:
    import can

SIGNATURES = (b"MDF     ", b"UnFinMF ")


def read(path: Path) -> Iterator[LoggedFrame]:
    """The frames of a log in the order of their stamps, which count from 1970.

    Raises ValueError naming the file where it is damaged, after the frames before it, and where
    asammdf is not installed; OSError where the file cannot be read.
    """
    # Opened first: what cannot be read is an OSError of the file and not of a library.
    with path.open("rb"):
        pass
    try:
        import asammdf  # noqa: F401
        import can
    except ImportError as error:
        raise ValueError(
            f"{path}: an MF4 log needs asammdf: pip install 'computing-brain[mf4]' ({error})"
        ) from error
    count = 0
    # A damaged file makes the libraries raise whatever its bytes lead them to.
    try:
        with can.MF4Reader(path) as reader:
            for message in reader:
                yield _frame(message)
                count += 1
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        _bury(error)
        raise ValueError(f"{path}: damaged behind frame {count}: {reason}") from None


def _bury(error: Exception) -> None:
    """Let go of what `error` holds: half-made objects of asammdf raise when they are deleted."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = error.__context__ = error.__cause__ = None
        gc.collect()
    finally:
        sys.unraisablehook = hook


def _frame(message: can.Message) -> LoggedFrame:
    error, remote = message.is_error_frame, message.is_remote_frame
    can_id = message.arbitration_id | (ERROR_FLAG if error else 0)
    return checked(
        LoggedFrame(
            round(message.timestamp, 6),
            str(message.channel if message.channel is not None else 1),
            can_id,
            b"" if remote else bytes(message.data),
            # Some loggers forget the bit.
            (message.is_extended_id or can_id > LARGEST_BASE_ID) and not error,
            remote,
            message.is_fd,
            error,
        )
    )
