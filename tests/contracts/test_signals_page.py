"""docs/signals.md and the READMEs' tables are what docs/signals.py writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from agent import registry
from agent.alarm_events import ALARM
from agent.health import AGENT
from agent.processors.arbitrated import ARBITRATED

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "docs" / "signals.py"


def test_the_page_is_what_is_declared() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_each_declared_signal_is_on_it() -> None:
    page = (ROOT / "docs" / "signals.md").read_text().splitlines()
    groups = [AGENT, ALARM, ARBITRATED]
    for name in registry.available():
        groups += registry.load(name).groups
    for group in groups:
        for signal in group.signals:
            rows = [line for line in page if f"| `{signal.path}` |" in line]
            meaning = signal.meaning.replace("|", "/")
            assert any(signal.source in row and meaning in row for row in rows), signal.path
