"""What would be wrong with a configuration if one of its files had another text.

    python -P -m agent.cli.candidate CONFIG FILE < text

In a process of its own, since drivers' classes judge their sections and the coordinator loads none.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.cli import output
from agent.cli.check import all_problems
from agent.config import load
from agent.config_problems import log_lines

LIMIT_S = 40.0


def judge(config: Path, file: Path, text: str) -> Sequence[str]:
    """The problems that `text` in `file` adds to those that there are; none where it is valid."""
    argv = [sys.executable, "-P", "-m", "agent.cli.candidate", str(config), str(file)]
    try:
        done = subprocess.run(
            argv, input=text.encode(), capture_output=True, timeout=LIMIT_S, check=False
        )
        found = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        return [f"it could not be checked: {type(error).__name__}"]
    return [str(line) for line in found]


def main(config: Path, file: Path, text: str) -> int:
    """Print the new problems as a JSON list of lines."""
    before = {(p.key, p.text) for p in all_problems(load(config))}
    after = all_problems(load(config, contents={file: text}))
    output.json_text(log_lines(p for p in after if (p.key, p.text) not in before))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.stdin.read()))
