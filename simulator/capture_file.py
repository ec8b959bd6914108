"""The content of a recorded file, plain or gzipped; what is wrong with it is one line."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

LONGEST_LINE = 65_536
"""Bytes after which a line is cut: some logs are binary throughout."""


class ReplayError(ValueError):
    """A capture cannot be played; the text names file, line and what was expected."""


@contextmanager
def opened(path: Path, *, text: bool) -> Iterator[IO[Any]]:
    """The unpacked content. Raises ReplayError where it cannot be read or is damaged."""
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            content = cast("IO[bytes]", gzip.GzipFile(fileobj=plain)) if packed else plain
            if text:
                yield io.TextIOWrapper(cast("io.BufferedReader", content), encoding="latin-1")
            else:
                yield content
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise ReplayError(f"{path}: the compressed file is damaged or cut off ({e})") from e
    except OSError as e:
        raise ReplayError(f"{path}: {e.strerror or e}. Give a file that can be read.") from e


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbers from 1 and lines with their ends. Raises ReplayError, naming the line."""
    number = 0
    with opened(path, text=False) as log:
        while True:
            try:
                line = log.readline(LONGEST_LINE)
            except (EOFError, zlib.error, gzip.BadGzipFile) as e:
                raise ReplayError(
                    f"{path}: line {number + 1}: the compressed file is damaged or cut off ({e})"
                ) from e
            if not line:
                return
            number += 1
            yield number, line
