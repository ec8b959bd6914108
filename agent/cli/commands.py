"""`brain commands`: who may command this vehicle, and what became of what came."""

from __future__ import annotations

from typing import Any

from agent.cli import output
from agent.cli.client import Control
from agent.cli.exits import DEGRADED, OK
from agent.cli.options import AsJson, ConfigFile, RunDir
from agent.cli.places import places_of
from agent.config_files import DEFAULT_FILE


def commands(
    config: ConfigFile = DEFAULT_FILE, run_dir: RunDir = None, as_json: AsJson = False
) -> int:
    """Who may command this vehicle, and what was refused.

    Also its key for replies, which `brain-cloud command --reply-key` wants.
    """
    found: dict[str, Any] = Control(places_of(config, run_dir).run_dir).ask("commands")
    if as_json:
        output.json_text(found)
    else:
        output.lines(_lines(found))
    return DEGRADED if found.get("problem") else OK


def _lines(found: dict[str, Any]) -> list[str]:
    if found.get("problem"):
        return [str(found["problem"])]
    if "keys" not in found:
        return ["Nobody may command this vehicle: [commands.keys] names no key."]
    lines = [f"reply key  {found['reply_key']}"]
    for kid, key in found["keys"].items():
        what = ", ".join(found["roles"].get(key["role"], ())) or "nothing"
        state = "revoked" if key["revoked"] else f"may {what}"
        lines.append(f"key        {kid}: {key['issuer']}, {key['role']}: {state}")
    lines.append(f"done       {found['done']}, under way {len(found['running'])}")
    refused = ", ".join(f"{n} {why}" for why, n in found["refused"].items()) or "none"
    lines.append(f"refused    {refused}")
    return lines
