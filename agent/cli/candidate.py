"""What would be wrong with a configuration if one of its files had another text.

    python -P -m agent.cli.candidate CONFIG FILE < text

In a process of its own, since drivers' classes judge their sections and the coordinator loads none.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.cli import output
from agent.cli.check import all_problems
from agent.cli.driver_types import resolve
from agent.config import Loaded, load
from agent.config_drivers import remote
from agent.config_problems import Problem, log_lines

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
    now, then = load(config), load(config, contents={file: text})
    before = {(p.key, p.text) for p in all_problems(now)}
    after = [*_not_remote(now, then), *all_problems(then)]
    output.json_text(log_lines(p for p in after if (p.key, p.text) not in before))
    return 0


def _not_remote(now: Loaded, then: Loaded) -> Iterator[Problem]:
    """The options of drivers that change and that their classes do not leave to commands."""
    for name, section in then.sections.items():
        old = now.sections[name].values if name in now.sections else {}
        driver = resolve(section)[0]
        allowed = remote(driver.config_model) if driver is not None else frozenset[str]()
        for key in section.values.keys() | old.keys():
            if section.values.get(key) != old.get(key) and key not in allowed:
                fix = f"there are: {', '.join(sorted(allowed)) or 'none'}"
                yield section.problem((key,), "cannot be set from afar", fix)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.stdin.read()))
