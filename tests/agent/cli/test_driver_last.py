"""A driver whose configuration cannot be read goes on with what ran last; a real process each."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.config_last import FILE

from .conftest import BRAIN

GOOD = '[vehicle]\nid = "bus-1"\n[drivers.gnss]\ntype = "gnss_nmea0183"\nport = "/nowhere/gnss"\n'
USED = "the last one that ran is used"


class Bench:
    """Folders of one driver."""

    def __init__(self, folder: Path) -> None:
        self.config, self.log = folder / "brain.toml", folder / "log"
        self._where = ["--config", str(self.config), "--run-dir", str(folder / "run")]
        self._where += ["--state-dir", str(folder / "state")]
        self.kept = folder / "state" / "drivers" / "gnss" / FILE
        self.config.write_text(GOOD)

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        with self.log.open("wb") as log:
            driver = subprocess.Popen([BRAIN, "driver", "gnss", *self._where], stderr=log)
        try:
            yield driver
        finally:
            driver.kill()
            driver.wait()

    def until(self, text: str) -> None:
        deadline = time.monotonic() + 20
        while text not in self.log.read_text():
            assert time.monotonic() < deadline, self.log.read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("spoilt", [GOOD[:40], "\0" * 100, None])
def test_a_file_that_cannot_be_read(spoilt: str | None, bench: Bench) -> None:
    with bench.running():
        bench.until("/nowhere/gnss")
    assert bench.kept.stat().st_mode & 0o777 == 0o600
    bench.config.unlink()
    if spoilt is not None:
        bench.config.write_text(spoilt)
    with bench.running() as driver:
        bench.until("/nowhere/gnss: ")
        assert USED in bench.log.read_text()
        assert driver.poll() is None


def test_without_one_that_ran_it_refuses(bench: Bench) -> None:
    bench.config.write_text(GOOD[:40])
    with bench.running() as driver:
        assert driver.wait(20) == 2
    assert "brain.toml" in bench.log.read_text()


def test_a_section_that_is_wrong_is_refused_all_the_same(bench: Bench) -> None:
    """Somebody wrote that: it is told at once, and nothing else is guessed."""
    with bench.running():
        bench.until("/nowhere/gnss")
    bench.config.write_text(GOOD + "baud = 9601\n")
    with bench.running() as driver:
        assert driver.wait(20) == 2
    assert "drivers.gnss.baud" in bench.log.read_text()
