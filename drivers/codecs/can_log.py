"""Reads a capture of a CAN bus in whatever format it has; told by its content, not by its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from drivers.codecs import (
    asc,
    blf,
    can_csv,
    candump,
    candump_screen,
    log_lines,
    mf4,
    trc,
)
from drivers.codecs.logged_frame import LoggedFrame

FORMATS = (
    "candump (-L, -l, or what it prints), Vector ASC and BLF, PEAK TRC, MF4, "
    "CSV of python-can, SavvyCAN and CSS; all but MF4 also gzipped"
)

_HEAD_LINES = 100
"""Lines, after comments, within which a text format must show."""

_CANDUMP = re.compile(rb"\(\d+\.\d+\)[ \t]+\S+[ \t]+[0-9A-Fa-f]+#")
_SCREEN = re.compile(
    rb"[ \t]*(?:\([-\d :.]+\))?[ \t]*(?:\x1b\[[0-9;]*m)?[ \t]*\S+[ \t]+(?:[TR]X \S \S[ \t]+)?"
    rb"(?:\x1b\[[0-9;]*m)?[ \t]*[0-9A-Fa-f]{3,8}[ \t]+(?:\[\d+\]|\{\w+\})"
)
_ASC = re.compile(
    rb"date[ \t]+\S+|base[ \t]+(?:hex|dec)|begin[ \t]+triggerblock|[ \t]*\d+\.\d+[ \t]+"
    rb"(?:start of measurement|(?:canfd[ \t]+)?\d+[ \t]+(?:\S+[ \t]+(?:rx|tx)|(?:rx|tx)[ \t]+\S))",
    re.I,
)
_TRC = re.compile(rb";\$FILEVERSION|;\$STARTTIME|[ \t]*\d+\)[ \t]+\d+")

Reader = Callable[[Path], Iterator[LoggedFrame]]

_TEXTS: tuple[tuple[Callable[[bytes], object], Reader], ...] = (
    (_CANDUMP.match, candump.read),
    (_TRC.match, trc.read),
    (_ASC.match, asc.read),
    (can_csv.is_header, can_csv.read),
    (_SCREEN.match, candump_screen.read),
)


def read(path: Path) -> Iterator[LoggedFrame]:
    """The frames of a capture, in order; a file that is empty, or only of comments, has none.

    Frames of all kinds are given: CAN FD, remote requests and error frames are marked as such.
    Raises ValueError with file and line or offset where the format is not known or the file is
    damaged, after all frames of a text log and those before the place in a binary one; OSError
    where it cannot be read.
    """
    reader = _recognised(path)
    if reader is not None:
        yield from reader(path)


def _recognised(path: Path) -> Reader | None:
    """The reader for a file; None where it has nothing to read."""
    with path.open("rb") as raw:
        plain = raw.read(8)
        raw.seek(0)
        try:
            head = log_lines.unpacked(raw).read(8)
        except log_lines.DAMAGED_GZIP as error:
            raise ValueError(f"{path}:1: gzip data is damaged: {error}") from error
    if head.startswith(blf.SIGNATURE):
        return blf.read
    if head in mf4.SIGNATURES:
        if head != plain:
            raise ValueError(
                f"{path}: an MF4 log that is gzipped is not read; unpack it with gunzip"
            )
        return mf4.read
    first: tuple[int, bytes] | None = None
    damage: ValueError | None = None
    try:
        texts = (found for found in log_lines.lines(path) if not found[1].startswith(b"#"))
        for number, text, _ in islice(texts, _HEAD_LINES):
            for matches, reader in _TEXTS:
                if matches(text):
                    return reader
            first = first or (number, text)
    except ValueError as error:
        damage = error
    if first is None and damage is None:
        return None
    number, text = first or (1, head)
    raise ValueError(
        f"{path}:{number}: no known format of a capture: {log_lines.shown(text)}. "
        f"What is read: {FORMATS}"
    ) from damage
