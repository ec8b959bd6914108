"""A driver in a package of its own is found, configured, run and stopped without a change."""

from __future__ import annotations

import json
import shutil
import site
import subprocess
import sys
import time
from pathlib import Path

from tests.hil.conftest import ROOT, processes_of

PACKAGE = ROOT / "tests" / "thirdparty" / "thermometer"


def make_venv(directory: Path) -> Path:
    """A venv that sees what this one has, and holds the third party's package."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True)
    packages = next(directory.glob("lib/python*/site-packages"))
    lines = [f"import site; site.addsitedir({path!r})" for path in site.getsitepackages()]
    (packages / "base.pth").write_text("\n".join(lines) + "\n")
    source = directory / "source"
    shutil.copytree(PACKAGE, source)
    python = directory / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    options = ["--no-index", "--no-deps", "--no-build-isolation"]
    command = [*pip, "--python", str(python), "install", *options, str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return python


def brain(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-m", "agent.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_installed_configured_run_and_stopped(run_dir: Path) -> None:
    python = make_venv(run_dir / "venv")
    sensor = run_dir / "temp1_input"
    sensor.write_text("21500\n")
    config = run_dir / "brain.toml"
    text = (
        'schema = 1\n[vehicle]\nid = "bus-1"\n[uplink]\nenabled = false\n'
        f'[drivers.saloon]\ntype = "thermometer"\npath = {json.dumps(str(sensor))}\n'
    )
    config.write_text(text + "perod_s = 2\n")
    wrong = brain(python, "check", "--config", str(config))
    assert wrong.returncode == 2
    assert f"{config}:9" in wrong.stdout + wrong.stderr
    assert 'did you mean "period_s"' in wrong.stdout + wrong.stderr
    config.write_text(text)
    right = brain(python, "check", "--config", str(config))
    assert right.returncode == 0, right.stdout + right.stderr

    where = ["--config", str(config), "--run-dir", str(run_dir)]
    up = subprocess.Popen([str(python), "-m", "agent.cli.main", "up", *where])
    try:
        deadline = time.monotonic() + 20
        accepted = 0
        while accepted < 1 and time.monotonic() < deadline:
            audit = brain(python, "audit", "--json", *where)
            accepted = json.loads(audit.stdout)["accepted"] if audit.returncode == 0 else 0
        status = json.loads(brain(python, "status", "--json", *where).stdout)
        assert status["drivers"]["saloon"]["type"] == "thermometer"
        assert status["drivers"]["saloon"]["connected"] is True
        assert accepted >= 1
    finally:
        up.terminate()
        assert up.wait(10) == 0
    assert processes_of(run_dir) == []
