"""The table as one driver's configuration has it: spns.toml, a compiled DBC file, an overlay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from agent.sdk import Group, paths
from drivers.fms_j1939 import table
from drivers.fms_j1939.driver_ids import Identity
from drivers.fms_j1939.pgn import Pgn


def parameter_groups(
    *,
    electric: bool,
    identity: Identity,
    overlay_file: str = "",
    dbc_file: str = "",
    own: Sequence[Group] = (),
) -> Mapping[int, Pgn]:
    """The parameter groups by PGN; "" is no file. An overlay has the last word.

    `own`: what the driver declares besides, whose names and signals are taken.
    Raises ValueError with "KEY: file: what", where the key of the configuration is `overlay` or
    `dbc`.
    """
    if not overlay_file and not dbc_file:
        return table.parameter_groups(electric=electric, identity=identity)
    from drivers.fms_j1939 import compiled, overlay

    listed: overlay.Listed = {name: dict(group) for name, group in table.sections().items()}
    for key, name in (("dbc", dbc_file), ("overlay", overlay_file)):
        if not name:
            continue
        path = Path(name)
        try:
            file = compiled.current(path) if key == "dbc" else path
            listed = overlay.laid_over(listed, overlay.read(file), path.name)
            # Again for each file: only here is known which one is to blame.
            found = table.parameter_groups(listed, electric=electric, identity=identity)
            _keep_apart(found.values(), own)
        except ValueError as error:
            text = str(error)
            raise ValueError(f"{key}: {text if name in text else f'{name}: {text}'}") from None
    return table.parameter_groups(listed, electric=electric, identity=identity)


def _keep_apart(pgns: Iterable[Pgn], own: Sequence[Group]) -> None:
    names = {group.name for group in own}
    for pgn in pgns:
        name = pgn.group.name
        if name in names:
            raise ValueError(f"[{name}]: the driver has a group of that name; choose another")
        for path in sorted(pgn.group.index.keys() & paths(own)):
            raise ValueError(f"[{name}] {path} is a signal of the driver's own; choose another")
