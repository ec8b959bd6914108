"""What `brain` prints: results to stdout, errors to stderr, one line each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TextIO

from agent.cli.exits import ClosedPipe

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "bold": "1"}


def line(text: str = "") -> None:
    """One line of the result."""
    write(text + "\n")


def lines(texts: Iterable[str]) -> None:
    """Lines of the result."""
    for text in texts:
        line(text)


def write(text: str) -> None:
    """Raw text of the result. Raises ClosedPipe."""
    _guard(lambda: sys.stdout.write(text))


def flush() -> None:
    """Make what was written visible now. Raises ClosedPipe."""
    _guard(sys.stdout.flush)


def json_text(value: object, *, pretty: bool = True) -> None:
    """One JSON document; `pretty` False puts it on one line."""
    import msgspec

    encoded = msgspec.json.encode(value)
    line((msgspec.json.format(encoded, indent=2) if pretty else encoded).decode())


def error(text: str) -> None:
    """One line on stderr, whatever `text` holds; an error to the journal where that listens."""
    priority = "<3>" if "JOURNAL_STREAM" in os.environ else ""
    sys.stderr.write(priority + " ".join(text.split("\n")) + "\n")


def coloured(text: str, colour: str, stream: TextIO | None = None) -> str:
    """`text` in a colour where a person looks at a terminal that has them."""
    if not has_colours(stream or sys.stdout):
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def has_colours(stream: TextIO) -> bool:
    """A terminal, and neither NO_COLOR nor TERM=dumb."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows in columns under a header; the last column is as long as it is."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]


def _guard(act: Callable[[], object]) -> None:
    try:
        act()
    except BrokenPipeError as error:
        # Else the interpreter flushes at its end, fails again and says so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ClosedPipe from error
