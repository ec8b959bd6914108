"""Lines of a text log, plain or gzipped, and the frames that a format's parser sees in them."""

from __future__ import annotations

import copy
import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

from drivers.codecs.logged_frame import LoggedFrame

LONGEST_LINE = 4096
"""A CAN FD frame of an ASC log has about 400 characters, a comment of a logger more."""

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_COMMENTS = (b";", b"//", b"end trigger", b"date", b"base")

MOST_DAMAGED = 1000
"""Lines after which a file is not read on."""


class Unreadable(ValueError):
    """A line without which those after it mean something else."""


Parser = Callable[[bytes], LoggedFrame | None]
"""One line without its end -> its frame, None where it is none. Raises ValueError."""


def unpacked(raw: IO[bytes]) -> IO[bytes]:
    """The content of a file that is open at its beginning: what gzip has packed is unpacked."""
    packed = raw.read(2) == _GZIP_MAGIC
    raw.seek(0)
    # GzipFile is an IO[bytes] in all but its type.
    return cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if packed else raw


DAMAGED_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)
"""What reading from `unpacked` raises where the compression is damaged or cut off."""


def lines(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """Number, text without its end, and whether it had an end, of each line that is not blank.

    Raises ValueError with file and line for damaged compression and for a line without an end,
    OSError where the file cannot be read.
    """
    with path.open("rb") as raw:
        content = unpacked(raw)
        number = 0
        while True:
            try:
                line = content.readline(LONGEST_LINE)
            except DAMAGED_GZIP as error:
                raise ValueError(f"{path}:{number + 1}: gzip data is damaged: {error}") from error
            if not line:
                return
            number += 1
            text = line.rstrip(b"\r\n")
            if len(text) == len(line) >= LONGEST_LINE:
                raise ValueError(
                    f"{path}:{number}: a line of more than {LONGEST_LINE} bytes, "
                    f"which begins with {shown(text)}"
                )
            if number == 1:
                text = text.removeprefix(_BYTE_ORDER_MARK)
            if text.strip():
                yield number, text, len(text) < len(line)


class Damaged(ValueError):
    """Some lines of a log are no frames; all others were given."""


def frames(path: Path, parse: Parser) -> Iterator[LoggedFrame]:
    """What `parse` makes of the lines of a log, in order; lines that begin with `#` are skipped.

    A damaged line costs its own frame only: the others are given, then Damaged is raised with
    the file, the first such line and how many there are. A last line without an end counts where
    nothing can be missing from it. Unreadable and more than MOST_DAMAGED lines end it at once.
    """
    first = ""
    damaged = 0
    for number, text, ended in lines(path):
        if text.startswith(b"#"):
            continue
        before = parse if ended else copy.copy(parse)
        try:
            frame = parse(text)
            if not ended and not _whole(before, text, frame):
                raise ValueError(f"the log is cut off: its last line ends with {shown(text[-24:])}")
        except Unreadable as error:
            raise ValueError(f"{path}:{number}: {error}") from error
        except ValueError as error:
            damaged += 1
            first = first or f"{path}:{number}: {error}"
            if damaged > MOST_DAMAGED:
                raise ValueError(f"{first}; so are {MOST_DAMAGED} more lines, given up") from error
            continue
        if frame is not None:
            yield frame
    if damaged:
        rest = "all other lines were read"
        raise Damaged(f"{first} ({damaged} damaged lines, {rest})" if damaged > 1 else first)


def _whole(parse: Parser, text: bytes, frame: LoggedFrame | None) -> bool:
    """Whether more digits would have made no other frame of a line that has no end."""
    if frame is None:
        return text.strip().lower().startswith(_COMMENTS)
    for more in (b"1", b"11"):
        try:
            if copy.copy(parse)(text + more) != frame:
                return False
        except ValueError:
            continue
    return True


def shown(text: bytes) -> str:
    """Foreign bytes for a message: at most 60, quoted."""
    return repr(text[:60].decode("ascii", "backslashreplace"))
