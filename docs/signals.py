"""Writes docs/signals.md, and the signal tables of driver READMEs that have a place for them.

    .venv/bin/python docs/signals.py           write
    .venv/bin/python docs/signals.py --check   exit 1 where a file is not what would be written

All comes from what is declared; of fms_j1939 also from its table of parameter groups.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from agent import registry
from agent.alarm_events import ALARM
from agent.commands.replies import COMMAND_FILE, REPLY
from agent.health import AGENT
from agent.processors.arbitrated import ARBITRATED
from agent.sdk import Driver, Group, Keep, Signal, State
from drivers.fms_j1939.pgn import Pgn
from drivers.fms_j1939.spn import Shape, Spn
from drivers.fms_j1939.table import PGNS, declared, parameter_groups

PAGE = Path(__file__).with_name("signals.md")
BEGIN, END = "<!-- signals: written by docs/signals.py -->", "<!-- end of signals -->"

_INTRO = """\
# Signals

Written by `docs/signals.py` from what the drivers declare; a test compares. `brain signals` prints
the same of the drivers that are configured, custom signals included; with `--format vspec` as an
overlay for the VSS tools.

* **kept**: `every` value; every `change`; or one value in so many seconds, beyond a deadband.
* **states**: what stands in place of a value: `not_available` (the sender has none), `error` (the
  sender says so), `missing` (not heard for five nominal periods, 0.5 s at least), `implausible` (a
  reserved code, a value outside the range, a jump).
* **range**: beyond it a value is `implausible`.
"""


def main() -> int:
    """Write, or with --check compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on a change")
    check = parser.parse_args().check
    stale = [path for path, text in pages() if not path.exists() or path.read_text() != text]
    if check:
        for path in stale:
            print(f"{path} is not what is declared. Run: {sys.executable} {__file__}")  # noqa: T201
        return 1 if stale else 0
    for path, text in pages():
        path.write_text(text)
    return 0


def pages() -> Iterator[tuple[Path, str]]:
    """Each file and its text."""
    yield PAGE, page()
    for name in registry.available():
        driver = registry.load(name)
        readme = Path(inspect.getfile(driver)).with_name("README.md")
        text = readme.read_text() if readme.exists() else ""
        if BEGIN in text:
            before, _, rest = text.partition(BEGIN)
            _, _, after = rest.partition(END)
            yield readme, f"{before}{BEGIN}\n\n{readme_tables(driver)}\n{END}{after}"


def page() -> str:
    """The text of docs/signals.md."""
    parts = [_INTRO]
    for name in registry.available():
        parts.append(f"## {name}\n")
        if name == "fms_j1939":
            parts += _fms(registry.load(name))
        else:
            parts += [_plain(group) for group in registry.load(name).groups]
    own = (ARBITRATED, AGENT, ALARM, REPLY, COMMAND_FILE)
    parts += ["## The agent itself\n", *map(_plain, own)]
    return "\n".join(parts)


def readme_tables(driver: type[Driver[Any]]) -> str:
    """One table a group, as the contract of drivers has it."""
    numbers = {pgn.group.name: pgn.number for pgn in PGNS.values()}
    parts = []
    for group in driver.groups:
        number = numbers.get(group.name)
        where = "" if number is None else f", PGN {number} (0x{number:04X})"
        rows = [
            [f"`{s.path}`", s.datatype.value, s.unit, _kept(s), s.source] for s in group.signals
        ]
        head = ["signal", "type", "unit", "kept", "source"]
        parts.append(f"Group `{group.name}`{where}:\n\n{_table(head, rows)}")
    return "\n".join(parts)


def _fms(driver: type[Driver[Any]]) -> Iterator[str]:
    known = parameter_groups(electric=True)
    for pgn in known.values():
        if pgn.group.signals:
            yield _parameter_group(pgn, electric=pgn.number not in PGNS)
    yield _fallbacks(known.values())
    told = {group.name for group in declared(known.values())}
    for group in driver.groups:
        if group.name not in told:
            yield _plain(group)


def _parameter_group(pgn: Pgn, *, electric: bool) -> str:
    often = "on change" if not pgn.period_ms else f"every {pgn.period_ms} ms"
    about = [f"PGN {pgn.number} (0x{pgn.number:04X}), {often}"]
    if electric:
        about.append("only with `electric = true`, unverified")
    if pgn.prefer:
        about.append(f"first believed: address {', '.join(map(str, pgn.prefer))}")
    rows = [_row(pgn, spn, signal) for spn, signal in _declared(pgn)]
    return f"### `{pgn.group.name}`: {'; '.join(about)}\n\n{_table(_HEAD, rows)}"


_HEAD = ["signal", "type", "unit", "range", "kept", "states", "source", "meaning"]


def _declared(pgn: Pgn) -> Iterator[tuple[Spn, Signal]]:
    """Each signal of a parameter group with the parameter that it is of."""
    by_path = {spn.path: spn for spn in (*pgn.spns, *pgn.whole)}
    templates = [spn for spn in pgn.spns if "{" in spn.path]
    for signal in pgn.group.signals:
        yield by_path.get(signal.path) or templates[0], signal


def _row(pgn: Pgn, spn: Spn, signal: Signal) -> list[str]:
    states = [State.NOT_AVAILABLE]
    if spn.bits != 1 and spn.shape is not Shape.TELLTALE and not spn.reserved:
        states.append(State.ERROR)
    if pgn.period_ms:
        states.append(State.MISSING)
    # The standard gives error the second highest code; where that is reserved there is none.
    bounded = signal.minimum is not None or spn.shape not in (Shape.SWITCH, Shape.CODE)
    if bounded or spn.reserved or spn.bits >= 8:
        states.append(State.IMPLAUSIBLE)
    return _cells(signal, ", ".join(states))


def _fallbacks(pgns: Iterable[Pgn]) -> str:
    rows = [
        [f"`{spn.path}`", spn.source or f"SPN {spn.number}", f"{pgn.number} (0x{pgn.number:04X})"]
        for pgn in pgns
        for spn in pgn.spns
        if spn.fallback
    ]
    head = ["signal", "parameter", "PGN"]
    return (
        "### Fallbacks\n\nStated in the group above that declares the signal, while that is not "
        f"heard:\n\n{_table(head, rows)}"
    )


def _plain(group: Group) -> str:
    head = [column for column in _HEAD if column != "states"]
    rows = [_cells(signal, None) for signal in group.signals]
    return f"### `{group.name}`\n\n{_table(head, rows)}"


def _cells(signal: Signal, states: str | None) -> list[str]:
    bounds = (signal.minimum, signal.maximum)
    span = "" if None in bounds else f"{bounds[0]:.16g} to {bounds[1]:.16g}"
    cells = [f"`{signal.path}`", signal.datatype.value, signal.unit, span, _kept(signal)]
    cells += [] if states is None else [states]
    return [*cells, signal.source, signal.meaning]


def _kept(signal: Signal) -> str:
    thinning = signal.thinning
    if thinning.keep is Keep.SAMPLED:
        return f"{thinning.interval_s:g} s, {thinning.deadband:g}"
    return thinning.keep.value


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
