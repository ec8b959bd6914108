"""`brain doctor`: touches every device and the network; each failure comes with its fix."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agent.cli import findings, output
from agent.cli.check import all_problems
from agent.cli.client import Control, NotRunning
from agent.cli.exits import DEGRADED, INVALID, OK, CliError
from agent.cli.findings import Finding, Level
from agent.cli.options import AsJson, ConfigFile, RunDir, StateDir
from agent.cli.places import places
from agent.config import Loaded, load
from agent.config_files import DEFAULT_FILE

PROBE_LIMIT_S = 5.0
_MARKS = {Level.OK: ("√", "green"), Level.WARNING: ("!", "yellow"), Level.FAILED: ("×", "red")}


def doctor(
    config: ConfigFile = DEFAULT_FILE,
    run_dir: RunDir = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> int:
    """Touch every device and the network. Exit code 0 well, 1 something failed, 2 bad config."""
    loaded = load(config)
    found = _configuration(loaded)
    if loaded.config is not None and not all_problems(loaded):
        where = places(loaded.tree, run_dir, state_dir)
        running, agent = _agent(where.run_dir)
        found += [agent, *findings.state_directory(loaded.config, where.state_dir)]
        found += _devices(loaded, running)
        found += [findings.broker(loaded.config.uplink), findings.clock(running)]
    failed = [finding for finding in found if finding.level is Level.FAILED]
    if as_json:
        output.json_text({"healthy": not failed, "findings": [asdict(f) for f in found]})
    else:
        _show(found)
    if any(finding.group == "configuration" for finding in failed):
        return INVALID
    return DEGRADED if failed else OK


def _configuration(loaded: Loaded) -> list[Finding]:
    group = "configuration"
    found = [
        Finding(group, p.place, Level.FAILED, f"{p.key}  {p.text}".strip(), p.suggestion)
        for p in all_problems(loaded)
    ]
    if not found:
        names = ", ".join(loaded.sections)
        text = f"valid, drivers: {names}" if names else "valid, no drivers"
        fix = "" if names else "brain config sample --list"
        level = Level.OK if names else Level.WARNING
        found.append(Finding(group, str(loaded.tree.main), level, text, fix))
    return found + [
        Finding(group, n.place, Level.WARNING, f"{n.key}  {n.text}") for n in loaded.notes
    ]


def _agent(run_dir: Path) -> tuple[Mapping[str, Any] | None, Finding]:
    """The status of the coordinator, None where it does not run."""
    try:
        running = Control(run_dir).ask("status")
    except NotRunning:
        return None, Finding("agent", "coordinator", Level.OK, f"not running in {run_dir}")
    except CliError as error:
        return None, Finding("agent", "coordinator", Level.FAILED, str(error), "read its log")
    problems = "; ".join(running.get("problems", ()))
    if running.get("health") == "ok":
        return running, Finding("agent", "coordinator", Level.OK, "running, healthy")
    return running, Finding("agent", "coordinator", Level.FAILED, problems, "brain status")


def _devices(loaded: Loaded, running: Mapping[str, Any] | None) -> list[Finding]:
    """A device that a running driver holds is asked of that driver: two readers lose bytes."""
    states: Mapping[str, Any] = running["drivers"] if running else {}
    found: dict[str, Finding] = {}
    probes: dict[str, subprocess.Popen[str]] = {}
    for name in loaded.sections:
        state = states.get(name)
        if state and state["connected"]:
            found[name] = _reported(name, state)
        else:
            probes[name] = _start(name, loaded.tree.main)
    deadline = time.monotonic() + PROBE_LIMIT_S
    try:
        for name, process in probes.items():
            found[name] = _probed(name, process, deadline)
    finally:
        for process in probes.values():
            process.kill()
            process.communicate()
    return [found[name] for name in loaded.sections]


def _reported(name: str, state: Mapping[str, Any]) -> Finding:
    if state["device"] == "ok":
        text = f"in use by its driver, {state['rate_hz']:.1f} records/s"
        return Finding("devices", name, Level.OK, text)
    return Finding("devices", name, Level.FAILED, str(state["device"]), _device_fix(name))


def _start(name: str, config: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "agent.cli.probe", name, "--config", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _probed(name: str, process: subprocess.Popen[str], deadline: float) -> Finding:
    fix = _device_fix(name)
    try:
        said, complaint = process.communicate(timeout=max(deadline - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        text = f"the device did not answer within {PROBE_LIMIT_S:g} s"
        return Finding("devices", name, Level.FAILED, text, fix)
    try:
        answer: Mapping[str, str] = json.loads(said.strip().rpartition("\n")[2])
    except ValueError:
        last = complaint.strip().rpartition("\n")[2] or f"exit code {process.returncode}"
        return Finding("devices", name, Level.FAILED, f"the probe ended early: {last}", fix)
    if "found" in answer:
        return Finding("devices", name, Level.OK, answer["found"])
    return Finding("devices", name, Level.FAILED, answer["failed"], fix)


def _device_fix(name: str) -> str:
    return f"plug it in, or correct what `brain config get drivers.{name}` shows"


def _show(found: list[Finding]) -> None:
    group = ""
    width = max(len(finding.name) for finding in found)
    for finding in found:
        if finding.group != group:
            group = finding.group
            output.line(group)
        mark = output.coloured(*_MARKS[finding.level])
        output.line(f"  {mark} {finding.name:<{width}}  {finding.text}")
        if finding.fix:
            output.line(f"    fix: {finding.fix}")
