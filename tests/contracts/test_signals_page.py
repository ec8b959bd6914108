"""docs/signals.md and the READMEs' tables are what docs/signals.py writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
    from agent import registry

    page = (ROOT / "docs" / "signals.md").read_text()
    for name in registry.available():
        for group in registry.load(name).groups:
            for signal in group.signals:
                row = next(line for line in page.splitlines() if f"| `{signal.path}` |" in line)
                assert signal.source in row
                assert signal.meaning.replace("|", "/") in row
