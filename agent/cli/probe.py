"""A process that touches the device of one driver once, for `brain doctor`.

Its own process, because a device may hang or crash the code that opens it. The answer is one JSON
line: `{"found": text}` or `{"failed": text}`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.cli.driver import own_section
from agent.cli.driver_types import resolve
from agent.config_drivers import driver_config
from agent.config_files import read
from agent.sdk import DeviceUnavailable


def probe(name: str, config: Path) -> Mapping[str, str]:
    """What the device of driver `name` says. The configuration is valid."""
    section = own_section(read(config), name)
    found, _ = resolve(section)
    assert found is not None
    try:
        return {"found": found(driver_config(section, found.config_model)).probe()}
    except DeviceUnavailable as error:
        return {"failed": str(error)}
    # A probe is a driver's code: whatever it raises is the finding.
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}


def main(arguments: Sequence[str]) -> int:
    """NAME --config FILE, as `brain doctor` gives them."""
    name, _, config = arguments
    sys.stdout.write(json.dumps(probe(name, Path(config))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
