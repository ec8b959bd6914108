"""The last configuration that ran, kept in the state directory: flash may lose the one in /etc.

It holds what the files said, merged, and which file said it; where secrets are, never a secret.
Needs nothing but the standard library, as `config_files` does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.config_files import SECRET_KEYS, Place, Tree, leaves
from agent.config_problems import is_secret
from agent.config_secrets import is_reference
from agent.config_text import KeyPath

FILE = "config.last"
_FORMAT = 1
_NEW = ".new"


def keep(directory: Path, tree: Tree) -> bool:
    """Keep what `tree` says, durably and for this user alone; False where nothing was to be done.

    Unchanged, nothing is written. What states a secret by itself is not kept. Raises OSError.
    """
    if any(_states_a_secret(path, value) for path, value in leaves(tree.values)):
        return False
    try:
        text = json.dumps(
            {
                "format": _FORMAT,
                "files": [str(file) for file in tree.files],
                "values": tree.values,
                "places": [[p, str(at.file), at.line] for p, at in tree.places.items()],
            }
        )
    except TypeError:
        return False  # a date of TOML, which no key of ours wants
    path = directory / FILE
    try:
        if path.read_text() == text:
            return False
    except (OSError, UnicodeDecodeError):
        pass
    _replace(path, text)
    return True


def last(directory: Path, main: Path) -> Tree | None:
    """What was kept in `directory`, as if `main` had said it; None where there is nothing whole."""
    try:
        kept = json.loads((directory / FILE).read_text())
        if kept["format"] != _FORMAT or not isinstance(kept["values"], dict):
            return None
        places: dict[KeyPath, Place] = {
            tuple(path): Place(Path(file), line) for path, file, line in kept["places"]
        }
        files = [Path(file) for file in kept["files"]]
        return Tree(main, kept["values"], places, files)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def part(tree: Tree, *paths: tuple[str, ...]) -> Tree:
    """A tree that has only the tables at `paths`."""
    found = Tree(tree.main, files=tree.files)
    for path in paths:
        value = tree.get(path)
        if value is None:
            continue
        table = found.values
        for key in path[:-1]:
            table = table.setdefault(key, {})
        table[path[-1]] = value
        found.places |= dict(_within(tree, path))
    return found


def _within(tree: Tree, path: KeyPath) -> Iterator[tuple[KeyPath, Place]]:
    for key, place in tree.places.items():
        if key[: len(path)] == path or path[: len(key)] == key:
            yield key, place


def _states_a_secret(path: KeyPath, value: Any) -> bool:
    plain = isinstance(value, str) and bool(value) and not is_reference(value)
    return plain and (is_secret(path) or path in SECRET_KEYS[1:])  # a user name may be plain


def _replace(path: Path, text: str) -> None:
    new = path.with_name(path.name + _NEW)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(text.encode())
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)
    new.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
