"""The TOML files of a configuration: read, merged, each value with the place it came from.

From weak to strong: the vehicle overlay, the main file, then `conf.d/*.toml` beside it by name.
Needs nothing but the standard library: a driver's process reads its section with this alone.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.config_problems import Problem, dotted, nearest
from agent.config_text import KeyPath, locate, syntax_error

DEFAULT_FILE = Path("/etc/brain/brain.toml")
_SECRET = re.compile(r"(?i)(?:password|username|secret|token|credential)[a-z_]*")
MAX_BYTES = 1 << 20
DROP_INS = "conf.d"
OVERLAY_KEY: KeyPath = ("vehicle", "overlay")
PATH_KEYS: tuple[KeyPath, ...] = (
    ("agent", "run_dir"),
    ("agent", "state_dir"),
    ("uplink", "ca_file"),
    ("uplink", "cert_file"),
    ("uplink", "key_file"),
    ("uplink", "files_ca_file"),
)
"""Relative paths in these keys start at the folder of the file that states them."""
SECRET_KEYS: tuple[KeyPath, ...] = (
    ("uplink", "username"),
    ("uplink", "password"),
    ("commands", "reply_key"),
)
_FILE = "file:"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands; `line` None means the file as a whole."""

    file: Path
    line: int | None = None

    def __str__(self) -> str:
        return str(self.file) if self.line is None else f"{self.file}:{self.line}"


@dataclass(slots=True)
class Tree:
    """All files merged. `broken` means that a file is missing or no TOML, so keys may lack."""

    main: Path
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    broken: bool = False

    def place(self, path: KeyPath) -> Place:
        """Where a key stands, else the nearest table around it, else the main file."""
        for depth in range(len(path), 0, -1):
            if path[:depth] in self.places:
                return self.places[path[:depth]]
        return Place(self.main)

    def problem(self, path: KeyPath, text: str, suggestion: str = "") -> Problem:
        """A problem of the key at `path`."""
        place = self.place(path)
        return Problem(str(place.file), place.line, dotted(path), text, suggestion)

    def get(self, path: KeyPath) -> object:
        """The value at `path`, None where nothing is."""
        value: object = self.values
        for key in path:
            if not isinstance(value, dict):
                return None
            value = value.get(key)
        return value

    def section(self, path: KeyPath) -> Section | None:
        """The table at `path`, None where none is."""
        values = self.get(path)
        return Section(self, path, values) if isinstance(values, dict) else None


@dataclass(frozen=True, slots=True)
class Section:
    """One table of a tree, e.g. that of a driver."""

    tree: Tree
    path: KeyPath
    values: dict[str, Any]

    def problem(self, path: KeyPath, text: str, suggestion: str = "") -> Problem:
        """A problem of the key at `path` within the section."""
        return self.tree.problem((*self.path, *path), text, suggestion)


def read(main: Path, contents: Mapping[Path, str] | None = None) -> Tree:
    """Read the main file, its drop-ins and the overlay that they name. Never raises.

    `contents` are texts that stand for the files of that name: a change before it is written.
    """
    tree = Tree(main)
    contents = contents or {}
    parts = [_parse(tree, main, contents)]
    try:
        found = set((main.parent / DROP_INS).glob("*.toml"))
    except OSError:
        found = set()
    drop_ins = sorted(found | {path for path in contents if path.parent == main.parent / DROP_INS})
    parts += [_parse(tree, path, contents) for path in drop_ins]
    for part in parts:
        _merge(tree, part)
    overlay = _overlay(tree)
    if overlay is not None:
        below = _parse(tree, overlay, contents)
        if below.get(OVERLAY_KEY) is not None:
            tree.problems.append(
                below.problem(OVERLAY_KEY, "an overlay names no other overlay", "remove it")
            )
        tree.values, tree.places = {}, {}
        for part in (below, *parts):
            _merge(tree, part)
    _make_absolute(tree)
    return tree


def _parse(tree: Tree, path: Path, contents: Mapping[Path, str]) -> Tree:
    """One file as a tree of its own; what is wrong with it goes to `tree`."""
    part = Tree(path)
    line: int | None = None
    try:
        text = contents[path] if path in contents else _text(path)
        part.values = tomllib.loads(text)
        located = locate(text)
    except tomllib.TOMLDecodeError as error:
        line, what = syntax_error(error, text)
        fix = f"line {line} reads: {_line(text, line)}" if _line(text, line) else ""
    except RecursionError:
        what, fix = "lists or tables are nested too deeply", "no key needs more than two levels"
    except _TooLarge:
        what, fix = f"larger than {MAX_BYTES >> 20} MiB", "a configuration has some KiB"
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        what, fix = "expected UTF-8 text", "save the file with the encoding UTF-8"
    except FileNotFoundError:
        what, fix = "no such file", f"make one with: brain config sample > {path}"
    except OSError as error:
        what, fix = f"cannot be read: {error.strerror}", "check its owner and mode"
    else:
        tree.files.append(path)
        part.places = {key: Place(path, at) for key, at in located.items()}
        return part
    tree.broken = True
    tree.problems.append(Problem(str(path), line, "", what, fix))
    return part


class _TooLarge(Exception):
    """Nobody wrote that by hand; reading it would cost the memory that recording needs."""


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise _TooLarge
    return content.decode("utf-8-sig")


def _line(text: str, line: int) -> str:
    lines = text.splitlines()
    shown = lines[line - 1].strip() if line <= len(lines) else ""
    # What is refused goes to the journal: a secret that stands there by mistake does not.
    secret = _SECRET.search(shown)
    return f"{shown[: secret.end()]} ..." if secret else shown


def _merge(tree: Tree, part: Tree) -> None:
    """Lay `part` over `tree`: tables key by key, everything else as a whole."""

    def lay(over: dict[str, Any], under: dict[str, Any], path: KeyPath) -> None:
        for key, value in over.items():
            at = (*path, key)
            place = part.place(at)
            if isinstance(value, dict) and isinstance(under.get(key, {}), dict):
                tree.places.setdefault(at, place)
                lay(value, under.setdefault(key, {}), at)
                continue
            for old in [known for known in tree.places if known[: len(at)] == at]:
                del tree.places[old]
            under[key] = value
            tree.places |= {k: p for k, p in part.places.items() if k[: len(at)] == at}
            tree.places[at] = place

    lay(part.values, tree.values, ())


def _overlay(tree: Tree) -> Path | None:
    """The file that `vehicle.overlay` means, None where it names none or none is found."""
    name = tree.get(OVERLAY_KEY)
    if not isinstance(name, str) or not name:
        return None
    if "/" in name or name.endswith(".toml"):
        path = tree.place(OVERLAY_KEY).file.parent / name
        what, fix = f"{path}: no such file", "correct the path of the overlay"
    else:
        # Here, not above: it costs a driver's process 4 ms that hardly any needs.
        from importlib.resources import files

        path = Path(str(files("config") / "vehicles" / f"{name}.toml"))
        packaged = sorted(found.stem for found in path.parent.glob("*.toml"))
        what = f'no vehicle overlay "{name}" is packaged'
        near = nearest(name, packaged)
        fix = f'did you mean "{near}"?' if near else "name one of: " + ", ".join(packaged)
        if not packaged:
            fix = "give the path of a TOML file"
    if path.is_file():
        return path
    tree.problems.append(tree.problem(OVERLAY_KEY, what, fix))
    return None


def _make_absolute(tree: Tree) -> None:
    """Relative paths count from the file that states them, not from where a process starts."""
    for path in (*PATH_KEYS, *SECRET_KEYS, *command_keys(tree)):
        value = tree.get(path)
        if not isinstance(value, str) or not value:
            continue
        start = tree.place(path).file.parent.absolute()
        table = tree.get(path[:-1])
        assert isinstance(table, dict)
        if path in PATH_KEYS:
            table[path[-1]] = str(start / value)
        elif value.startswith(_FILE):
            table[path[-1]] = _FILE + str(start / value.removeprefix(_FILE))


def command_keys(tree: Tree) -> list[KeyPath]:
    """The keys that state the public keys of commands."""
    keys = tree.get(("commands", "keys"))
    names = (
        [name for name, table in keys.items() if isinstance(table, dict)]
        if (isinstance(keys, dict))
        else []
    )
    return [("commands", "keys", name, "key") for name in names]


def leaves(values: Mapping[str, Any], path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """All keys that are no tables, with their values, in order; an empty table is a leaf."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value
