"""Where the compiled form of a DBC file stands, and whether it is that of the file.

Beside it as FILE.dbc.toml; where that folder cannot be written, in $XDG_DATA_HOME/brain/dbc of the
user that ran `brain check` (~/.local/share/brain/dbc), which is that of the driver on a laptop.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from pathlib import Path

FORM = 1
"""Version of what the compiler writes; another one is stale."""


def places(dbc: Path) -> tuple[Path, Path]:
    """Where the compiled form of `dbc` may stand, the first before the second."""
    shared = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    named = hashlib.sha256(str(dbc.absolute()).encode()).hexdigest()[:16]
    beside = dbc.with_name(f"{dbc.name}.toml")
    return beside, Path(shared) / "brain" / "dbc" / f"{dbc.stem}-{named}.dbc.toml"


def digest(dbc: Path) -> str:
    """SHA-256 of the DBC file. Raises OSError."""
    return hashlib.sha256(dbc.read_bytes()).hexdigest()


def current(dbc: Path) -> Path:
    """The compiled form of `dbc`. Raises ValueError where it is missing or stale.

    Where the DBC file itself is not there the compiled form is taken as it is.
    """
    found = [path for path in places(dbc) if path.is_file()]
    todo = "run brain check with this configuration to compile it"
    if not found:
        what = "was not compiled" if dbc.is_file() else "no such file, and no compiled form of it"
        raise ValueError(f"{dbc}: {what}; {todo}")
    if not dbc.is_file():
        return found[0]
    for path in found:
        if fresh(dbc, path):
            return path
    raise ValueError(f"{dbc}: changed since {found[0]} was made of it; {todo}")


def fresh(dbc: Path, path: Path) -> bool:
    """Whether `path` is the compiled form of `dbc` as that is now."""
    try:
        about = tomllib.loads(path.read_text(encoding="utf-8")).get("compiled", {})
        return bool(about == {**about, "form": FORM, "sha256": digest(dbc)})
    except (OSError, ValueError):
        return False
