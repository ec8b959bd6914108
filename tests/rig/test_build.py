"""Where there can be no rig: one line says why, its tests are "not run". Needs no guest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rig.place import CANNOT_BE_BUILT, CHECKOUT, HERE

REASON = "User-Mode Linux exists for x86_64, this is armv7l"


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine of another kind, with a rig directory of its own."""
    uname = tmp_path / "bin" / "uname"
    uname.parent.mkdir()
    uname.write_text("#!/bin/sh\necho armv7l\n")
    uname.chmod(0o755)
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "BRAIN_RIG"))}
    path = f"{uname.parent}:{ours.get('PATH', '')}"
    return {**ours, "PATH": path, "BRAIN_RIG": str(tmp_path / "rig")}


def build(*arguments: str, env: dict[str, str] | None = None) -> str:
    """Run tests/rig/build where it must not work; what it says."""
    done = subprocess.run(
        ["bash", str(HERE / "build"), *arguments],
        capture_output=True, text=True, timeout=60, check=False, env=env,
    )  # fmt: skip
    assert done.returncode == CANNOT_BE_BUILT, done
    assert done.stdout == ""
    return done.stderr


def test_it_says_in_one_line_why_not(elsewhere: dict[str, str]) -> None:
    for arguments in ([], ["--kernel"]):
        assert build(*arguments, env=elsewhere) == f"rig: not built: {REASON}\n"
    assert not Path(elsewhere["BRAIN_RIG"]).exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_it_needs_root(tmp_path: Path) -> None:
    # Read by us: the checkout may be where nobody else may look.
    argv = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "bash", "-s"]
    with (HERE / "build").open() as script:
        done = subprocess.run(
            [*argv, str(tmp_path / "rig")],
            stdin=script, capture_output=True, text=True, timeout=60, check=False, cwd="/",
        )  # fmt: skip
    assert done.returncode == CANNOT_BE_BUILT, done
    said = done.stderr
    assert said == "rig: not built: root is needed to install packages and make device nodes\n"


def test_its_tests_are_reported_as_not_run(tmp_path: Path, elsewhere: dict[str, str]) -> None:
    report = tmp_path / "report.json"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
         str(HERE / "test_machine.py"), "-k", "test_runs_programs"],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=100, check=False,
        env={**elsewhere, "BRAIN_RIG_ALL": "1", "BRAIN_RIG_REPORT": str(report)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "1 skipped" in done.stdout and "passed" not in done.stdout.splitlines()[-1]
    (check,) = json.loads(report.read_text())["checks"]
    assert (check["id"], check["verdict"]) == ("R1", "not run")
    assert check["reason"] == f"rig: not run: {REASON}"
    assert (check["runs"], check["lost"], check["invented"]) == (None, None, None)


def test_a_test_that_runs_is_not_reported_as_not_run() -> None:
    """The other way round: only what was skipped for want of a rig is "not run"."""
    from tests.report import Report

    report = Report()
    report.enter("X1", "what", {"runs": 1}, "passed")
    report.enter("X1", "what", {}, "not run", "no kernel")
    report.enter("X2", "what", {"lost": 0}, "not run", "no kernel")
    report.enter("X2", "what", {"lost": 1}, "failed")
    lines = report.lines()
    assert lines[0].startswith("X1           not run: no kernel  runs 1")
    assert lines[1].startswith("X2           failed  lost 1")


def test_the_page_names_all_that_the_checks_show() -> None:
    from tests.rig.ids import sandbox_shown, shown
    from tests.rig.sandbox import markdown

    ours = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    made = subprocess.run(
        [sys.executable, "-m", "tests.rig.ids", "--print"],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=True, env=ours,
    )  # fmt: skip
    assert made.stdout.count("\n| ") > 10
    assert shown() == made.stdout, "python -m tests.rig.ids writes it anew"
    assert sandbox_shown() == markdown(), "python -m tests.rig.ids writes it anew"
