"""What `brain check` says of certificates, roles and budget steps; a start is not so strict."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import load

HEAD = 'schema = 1\n[vehicle]\nid = "bus-1"\n'


def problems(folder: Path, text: str) -> list[dict[str, Any]]:
    file = folder / "brain.toml"
    file.write_text(HEAD + text)
    done = subprocess.run(
        [sys.executable, "-m", "agent.cli.main", "check", "--json", "--config", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    found = json.loads(done.stdout)
    assert done.returncode == (2 if found["problems"] else 0), done.stderr
    return list(found["problems"])


def pair(folder: Path, name: str) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", f"/CN={name}"),
            *("-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")),
        ],
        check=True,
        capture_output=True,
    )


def test_certificates(tmp_path: Path) -> None:
    for name in ("one", "two"):
        pair(tmp_path, name)
    (tmp_path / "no.pem").write_text("hello\n")
    good = 'ca_file = "one.pem"\ncert_file = "one.pem"\nkey_file = "one.key"\n'
    assert problems(tmp_path, f"[uplink]\n{good}") == []
    for change, key, said in (
        (('ca_file = "one.pem"', 'ca_file = "no.pem"'), "uplink.ca_file", "authorities in PEM"),
        (('ca_file = "one.pem"', 'ca_file = "one.key"'), "uplink.ca_file", "authorities in PEM"),
        (("one.key", "two.key"), "uplink.cert_file", "mismatch"),
        (('cert_file = "one.pem"', 'cert_file = "no.pem"'), "uplink.cert_file", "in PEM"),
    ):
        (problem,) = problems(tmp_path, f"[uplink]\n{good.replace(*change)}")
        assert problem["key"] == key and said in problem["text"] and problem["suggestion"]
        assert problem["line"] is not None
        # A damaged certificate must not keep a vehicle from recording.
        assert load(tmp_path / "brain.toml").problems == []


def test_operations_that_there_are_not(tmp_path: Path) -> None:
    text = '[commands.roles]\noperator = ["status", "reboot", "driver.restat"]\n'
    found = problems(tmp_path, text)
    assert [p["key"] for p in found] == ["commands.roles.operator"] * 2
    assert 'got "reboot", expected operations' in found[0]["text"]
    assert "bundle, config.set" in found[0]["suggestion"]
    assert found[1]["suggestion"] == 'did you mean "driver.restart"?'
    assert load(tmp_path / "brain.toml").problems == []


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("slow_percent = 50\nnewest_percent = 40\n", "budget.newest_percent", "got 40, "),
        ("newest_percent = 70\n", "budget.newest_percent", "expected at least slow_percent (80)"),
        ("slow_percent = 96\n", "budget.slow_percent", "expected at most newest_percent (95)"),
        ("alarms_percent = 90\n", "budget.alarms_percent", "expected at least newest_percent"),
    ],
)
def test_steps_that_would_be_jumped_over(tmp_path: Path, text: str, key: str, said: str) -> None:
    file = tmp_path / "brain.toml"
    file.write_text(HEAD + f"[budget]\n{text}")
    (problem,) = load(file).problems
    assert problem.key == key and said in problem.text
    assert "slow_percent <= newest_percent <= alarms_percent" in problem.suggestion


@given(st.lists(st.integers(1, 100), min_size=3, max_size=3))
@settings(max_examples=50, deadline=None)
def test_steps_in_order_are_taken_others_are_not(
    tmp_path_factory: pytest.TempPathFactory, percents: list[int]
) -> None:
    names = ("slow_percent", "newest_percent", "alarms_percent")
    file = tmp_path_factory.mktemp("steps") / "brain.toml"
    lines = [f"{name} = {percent}\n" for name, percent in zip(names, percents, strict=True)]
    file.write_text(HEAD + "[budget]\n" + "".join(lines))
    assert (load(file).problems == []) == (percents == sorted(percents))
