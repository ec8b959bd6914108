"""The table as one driver's configuration has it: spns.toml, a compiled DBC file, an overlay."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from drivers.fms_j1939 import table
from drivers.fms_j1939.driver_ids import Identity
from drivers.fms_j1939.spn import Pgn


def parameter_groups(
    *, electric: bool, identity: Identity, overlay_file: str = "", dbc_file: str = ""
) -> Mapping[int, Pgn]:
    """The parameter groups by PGN; "" is no file. An overlay has the last word.

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
            table.parameter_groups(listed, electric=electric, identity=identity)
        except ValueError as error:
            text = str(error)
            raise ValueError(f"{key}: {text if name in text else f'{name}: {text}'}") from None
    return table.parameter_groups(listed, electric=electric, identity=identity)
