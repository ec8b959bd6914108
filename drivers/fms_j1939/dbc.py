"""A DBC file made into a table file: for `brain check`, through cantools (extra `dbc`).

J1939 only: a message is its PGN, priority and source address are dropped. Little endian and
unsigned, since J1939 has nothing else. Raw classes follow from the length, as in the table.
"""

from __future__ import annotations

import math
import os
import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from drivers.fms_j1939 import compiled, overlay, table
from drivers.fms_j1939.dbc_units import CONVERTED, UNITS

if TYPE_CHECKING:
    from cantools.database.can import Message, Signal

MAX_BYTES = 16 << 20
_MAX_DIGITS = 12
_KEEP = [1, 0]


class Compiled(NamedTuple):
    """The text of a table file, and what is worth knowing of how it came about."""

    text: str
    messages: int
    signals: int
    notes: list[str]


def prepare(dbc: Path) -> list[str]:
    """Compile `dbc` where its compiled form is missing or stale; notes for the user.

    Raises ValueError that names the file, the message or signal, what was expected, what to do.
    """
    for path in compiled.places(dbc):
        if path.is_file() and compiled.fresh(dbc, path):
            return []
    made = compile_dbc(dbc)
    path = _write(dbc, made.text)
    said = f"{dbc.name} compiled to {path}: {made.messages} messages, {made.signals} signals"
    return [said, *made.notes]


def compile_dbc(dbc: Path) -> Compiled:
    """The table file of a DBC file. Raises ValueError as `prepare` does."""
    database = _load(dbc)
    found = _Table()
    for message in database.messages:
        found.add(message)
    if found.wrong:
        more = f" (and {len(found.wrong) - 10} more)" if len(found.wrong) > 10 else ""
        raise ValueError(f"{dbc}: " + "; ".join(found.wrong[:10]) + more)
    if not found.signals:
        notes = "; ".join(found.notes[:10]) or "it has no messages"
        raise ValueError(f"{dbc}: no signal of a J1939 message is in it: {notes}")
    head = [
        f"# Compiled from {dbc.name} by `brain check`. Change that and check again, not this.",
        "",
        "[compiled]",
        f"form = {compiled.FORM}",
        f"sha256 = {_quoted(compiled.digest(dbc))}",
    ]
    return Compiled(
        "\n".join([*head, *found.lines, ""]), found.messages, found.signals, found.notes
    )


def _load(dbc: Path) -> Any:
    try:
        if dbc.stat().st_size > MAX_BYTES:
            raise ValueError(f"{dbc}: more than {MAX_BYTES} bytes is no DBC of a vehicle")
        import cantools.database
    except ImportError:
        raise ValueError(
            f"{dbc}: cantools is not installed, which reads DBC files; install the extra: "
            "pip install 'computing-brain[dbc]'"
        ) from None
    except OSError as error:
        raise ValueError(f"{dbc}: {error.strerror}; correct the path or the mode") from None
    try:
        return cantools.database.load_file(dbc, database_format="dbc")
    # Its parsers raise their own kinds, and ValueError, KeyError, TypeError on damaged files.
    except Exception as error:
        raise ValueError(f"{dbc}: cantools cannot read it: {error}") from None


class _Table:
    """Collects groups, what is wrong and what was left out."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.wrong: list[str] = []
        self.notes: list[str] = []
        self.messages = 0
        self.signals = 0
        self._pgns: dict[int, str] = {}
        self._paths: dict[str, str] = {}
        self._names: set[str] = set()
        self._known = {
            row[0]: row[1]
            for section in table.sections().values()
            for kind in ("switches", "codes", "integers", "numbers", "texts")
            for row in section.get(kind, ())
        }

    def add(self, message: Message) -> None:
        """Take one message of the DBC file."""
        if not message.is_extended_frame:
            self.notes.append(f"message {message.name}: 11-bit, no J1939; left out")
            return
        pgn = message.frame_id >> 8 & 0x3FFFF
        if pgn & 0xFF00 < 0xF000:
            pgn &= 0x3FF00
        if not overlay.is_pgn(pgn):
            self.notes.append(f"message {message.name}: PGN {pgn} is not for parameters; left out")
            return
        twin = self._pgns.setdefault(pgn, message.name)
        if twin != message.name:
            self.wrong.append(
                f"messages {twin} and {message.name} are both PGN {pgn}, as source addresses do "
                "not count; remove one of them"
            )
            return
        rows: dict[str, list[str]] = {}
        tables: dict[str, list[str]] = {}
        selectors = [signal for signal in message.signals if signal.is_multiplexer]
        if len(selectors) > 1:
            names = ", ".join(signal.name for signal in selectors)
            self.wrong.append(
                f"message {message.name}: more than one multiplexer ({names}); split the message"
            )
            return
        for signal in message.signals:
            fault = _fault(signal)
            if fault:
                self.wrong.append(f"message {message.name} signal {signal.name}: {fault}")
            elif not signal.is_multiplexer:
                self._row(message, signal, rows, tables)
        if rows:
            self._group(message, pgn, rows, selectors, tables)

    def _row(
        self,
        message: Message,
        signal: Signal,
        rows: dict[str, list[str]],
        tables: dict[str, list[str]],
    ) -> None:
        where = f"message {message.name} signal {signal.name}"
        spn = signal.spn or 0
        if spn and self._known.get(spn):
            self.notes.append(
                f"{where}: SPN {spn} is {self._known[spn]} already; left out (an overlay can "
                "change it)"
            )
            return
        path = f"Vehicle.Bus.Custom.{camel(message.name)}.{camel(signal.name)}"
        twin = self._paths.setdefault(path, where)
        if twin != where:
            self.wrong.append(f"{twin} and {where} are both {path}; rename one of them")
            return
        kind, cells = _cells(signal, where, self.notes)
        at = f"{signal.start // 8 + 1}.{signal.start % 8 + 1}:{signal.length}"
        meaning = (signal.comment or f"{message.name} {signal.name}").strip()[:300]
        row = [str(spn), _quoted(path), _quoted(at), *cells, _quoted(" ".join(meaning.split()))]
        rows.setdefault(kind, []).append(f"    [{', '.join(row)}],")
        if signal.multiplexer_ids:
            ids = sorted(signal.multiplexer_ids)
            tables.setdefault("when", []).append(f"{_quoted(path)} = {ids}")
        converted = CONVERTED.get((signal.unit or "").strip().lower())
        if kind == "numbers" and converted:
            factor, unit = map(_quoted, converted)
            tables.setdefault("stated", []).append(f"{_quoted(path)} = [{factor}, {unit}]")
        self.signals += 1

    def _group(
        self,
        message: Message,
        pgn: int,
        rows: dict[str, list[str]],
        selectors: list[Signal],
        tables: dict[str, list[str]],
    ) -> None:
        name = f"custom_{re.sub('[^a-z0-9]+', '_', message.name.lower())}"
        while name in self._names:
            name += "_"
        self._names.add(name)
        period_ms = message.cycle_time or 0
        self.messages += 1
        self.lines += ["", f"[{name}]", f"pgn = {pgn}", f"period_ms = {min(period_ms, 3_600_000)}"]
        if period_ms * 3.5 > 5000:
            self.lines.append(f"silence_s = {min(round(period_ms * 3.5 / 1000), 3600)}")
        for selector in selectors:
            at = f"{selector.start // 8 + 1}.{selector.start % 8 + 1}:{selector.length}"
            self.lines.append(f"multiplexer = {_quoted(at)}")
        for kind, lines in rows.items():
            self.lines += [f"{kind} = [", *lines, "]"]
        for key, lines in tables.items():
            self.lines += [f"[{name}.{key}]", *lines]


def _fault(signal: Signal) -> str:
    """Why a signal cannot be read as J1939 has it; empty where it can."""
    if signal.byte_order != "little_endian":
        return "Motorola byte order; J1939 is Intel (@1): correct it in the DBC or remove it"
    if signal.is_float:
        return "a float; J1939 has whole numbers with a scale: remove it"
    if signal.is_signed:
        return "signed; J1939 has an unsigned number with an offset: correct it (@1+) or remove it"
    if not 1 <= signal.length <= 64:
        return f"{signal.length} bits, expected 1 to 64"
    if signal.scale <= 0 or _fraction(signal.scale) is None or _fraction(signal.offset) is None:
        return (
            f"scale {signal.scale} and offset {signal.offset}: expected a scale above 0 and at "
            f"most {_MAX_DIGITS} digits"
        )
    return ""


def _cells(signal: Signal, where: str, notes: list[str]) -> tuple[str, list[str]]:
    """Kind of the row and what stands between place and meaning."""
    plain = signal.scale == 1 and signal.offset == 0
    if plain and signal.length <= 2 and len(signal.choices or {}) <= 4:
        return "switches", []
    if plain and signal.length <= 8 and signal.choices:
        return "codes", ["[]"]
    wanted = (signal.unit or "").strip()
    factor, unit = CONVERTED.get(wanted.lower(), ("1", UNITS.get(wanted.lower())))
    if factor != "1":
        unit = wanted
    if unit is None:
        notes.append(f"{where}: VSS has no unit {wanted!r}; it is stated without one")
    low, high = signal.minimum, signal.maximum
    limits = "[]"
    if low is not None and high is not None and low < high:
        times = math.degrees(1) if factor == "180/pi" else float(Fraction(factor))
        limits = f"[{low * times!r}, {high * times!r}]"
    scale, offset = _quoted(_fraction(signal.scale) or ""), _quoted(_fraction(signal.offset) or "")
    return "numbers", [scale, offset, _quoted(unit or ""), str(_KEEP), limits]


def _fraction(number: float) -> str | None:
    """A number as a fraction of at most 12 digits each; None where it is none."""
    exact = Fraction(Decimal(repr(number)))
    text = str(exact)
    digits = max(len(part.lstrip("-")) for part in text.split("/"))
    return text if digits <= _MAX_DIGITS else None


def camel(name: str) -> str:
    """A name of a DBC file as one of VSS: letters and digits, a capital first."""
    words = "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", name))
    return words if words[:1].isalpha() else f"N{words}"


def _quoted(text: str) -> str:
    """A TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04X}" for c in escaped) + '"'


def _write(dbc: Path, text: str) -> Path:
    """Write the compiled form where it may stand, whole or not at all."""
    failures: list[str] = []
    for path in compiled.places(dbc):
        part = path.with_name(f"{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(text, encoding="utf-8")
            os.replace(part, path)
            return path
        except OSError as error:
            failures.append(f"{path} ({error.strerror})")
    raise ValueError(
        f"{dbc}: its compiled form can be written to neither {' nor '.join(failures)}; "
        "run brain check as a user who may, or put the file elsewhere"
    )
