"""GTFS feeds: the files of a ZIP as rows, read in a stream and within bounds.

GTFS Schedule reference, gtfs.org. Every error names the feed, the file in it, the line and the
field, and says what was expected. What a hostile archive may claim or unpack to is bounded.
"""

from __future__ import annotations

import csv
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

FILE_MAX_BYTES = 1 << 30
"""Unpacked, of one file: stop_times.txt of a large country has 500 MB."""
LINE_MAX = 65_536
MEMBERS_MAX = 1_000
DAY_MAX_H = 168
"""A trip may run past midnight, not for longer than a week."""


class GtfsError(Exception):
    """The feed cannot be used; the text says where, what was expected and what to do."""

    def __init__(self, text: str) -> None:
        # Names and identifiers come from the feed: quoted ones may hold line ends.
        super().__init__("".join(c if c.isprintable() else " " for c in text))


class Row(NamedTuple):
    """One line of a file of the feed; fields are stripped, those that are absent are empty."""

    feed: Path
    file: str
    line: int
    fields: dict[str, str]

    def problem(self, field: str, expected: str) -> GtfsError:
        """The error about one field of this line."""
        got = self.fields.get(field, "")
        shown = repr(got[:40]) if got else "nothing"
        return GtfsError(
            f"{self.feed}: {self.file} line {self.line}, {field}: expected {expected}, got {shown}"
        )

    def text(self, field: str) -> str:
        """A field, empty where it is absent."""
        return self.fields.get(field, "")

    def required(self, field: str) -> str:
        """A field that must not be empty. Raises GtfsError."""
        value = self.text(field)
        if not value:
            raise self.problem(field, "a value")
        return value

    def number(self, field: str, low: float, high: float) -> float:
        """A finite number within bounds. Raises GtfsError."""
        expected = f"a number from {low:g} to {high:g}"
        try:
            value = float(self.text(field))
        except ValueError:
            raise self.problem(field, expected) from None
        if not (math.isfinite(value) and low <= value <= high):
            raise self.problem(field, expected)
        return value

    def whole(self, field: str, low: int, high: int) -> int:
        """A whole number within bounds. Raises GtfsError."""
        text = self.text(field)
        expected = f"a whole number from {low} to {high}"
        if not (text.isascii() and text.isdigit() and len(text) < 12):
            raise self.problem(field, expected)
        value = int(text)
        if not low <= value <= high:
            raise self.problem(field, expected)
        return value

    def time_s(self, field: str) -> int | None:
        """H:MM:SS as seconds of the service day, which may exceed 24 h; None where empty."""
        text = self.text(field)
        if not text:
            return None
        parts = text.split(":")
        numeric = all(part.isascii() and part.isdigit() and len(part) <= 3 for part in parts)
        if len(parts) != 3 or not numeric:
            raise self.problem(field, "a time H:MM:SS")
        hours, minutes, seconds = (int(part) for part in parts)
        if hours > DAY_MAX_H or minutes > 59 or seconds > 59:
            raise self.problem(field, "a time H:MM:SS")
        return hours * 3_600 + minutes * 60 + seconds


class Feed:
    """A GTFS feed in a ZIP file. Use it in a `with`. Raises GtfsError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except FileNotFoundError:
            raise GtfsError(f"--gtfs {path}: no such file") from None
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
            raise GtfsError(f"--gtfs {path}: expected a ZIP file with a feed: {error}") from None
        names = self._zip.namelist()
        if len(names) > MEMBERS_MAX:
            self._zip.close()
            raise GtfsError(f"--gtfs {path}: holds {len(names)} files; a feed has some twenty")
        # Some feeds lie in a folder of their name within the archive.
        self._names = {name.rpartition("/")[2]: name for name in sorted(names, reverse=True)}

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def has(self, file: str) -> bool:
        """Whether the feed holds that file."""
        return file in self._names

    def rows(self, file: str, *required: str) -> Iterator[Row]:
        """The lines of a file, which must have the `required` fields. Raises GtfsError."""
        if file not in self._names:
            held = ", ".join(sorted(n for n in self._names if n.endswith(".txt"))[:20]) or "nothing"
            raise GtfsError(f"{self.path}: has no {file}; it holds {held}")
        try:
            yield from self._read(file, required)
        except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
            raise GtfsError(f"{self.path}: {file} cannot be unpacked: {error}") from None
        except UnicodeDecodeError as error:
            raise GtfsError(f"{self.path}: {file}: expected UTF-8: {error.reason}") from None

    def _read(self, file: str, required: tuple[str, ...]) -> Iterator[Row]:
        with self._zip.open(self._names[file]) as packed:
            reader = csv.reader(self._lines(file, packed))
            try:
                header = [name.strip() for name in next(reader, [])]
                absent = [name for name in required if name not in header]
                if absent:
                    raise GtfsError(
                        f"{self.path}: {file} line 1: expected a column {absent[0]}, "
                        f"got {', '.join(header)[:200] or 'nothing'}"
                    )
                for values in reader:
                    if any(values):
                        fields = dict(zip(header, (v.strip() for v in values), strict=False))
                        yield Row(self.path, file, reader.line_num, fields)
            except csv.Error as error:
                raise GtfsError(
                    f"{self.path}: {file} line {reader.line_num}: expected CSV: {error}"
                ) from None

    def _lines(self, file: str, packed: IO[bytes]) -> Iterator[str]:
        """Lines as text; bounded whatever the archive says of itself."""
        total = number = 0
        while line := packed.readline(LINE_MAX):
            number += 1
            total += len(line)
            # zipfile may return somewhat more than was asked for.
            if len(line) >= LINE_MAX and not line.endswith(b"\n"):
                raise GtfsError(
                    f"{self.path}: {file} line {number}: longer than {LINE_MAX} bytes; is it CSV?"
                )
            if total > FILE_MAX_BYTES:
                raise GtfsError(
                    f"{self.path}: {file}: unpacks to more than {FILE_MAX_BYTES >> 20} MB"
                )
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
