"""Who may speak at the ingest door, and how `brain run` comes to its sockets under systemd."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent import clock
from agent.doors import may_speak_for


def test_a_dynamic_user_speaks_for_its_driver_alone(tmp_path: Path) -> None:
    # As systemd leaves it there; no NSS knows this user on a minimal Debian.
    (tmp_path / "direct:61627").symlink_to("brain-drv-gnss")
    assert may_speak_for(61627, "gnss", tmp_path)
    assert not may_speak_for(61627, "fms", tmp_path)
    assert not may_speak_for(61628, "gnss", tmp_path)


def test_one_user_on_a_laptop_speaks_for_all(tmp_path: Path) -> None:
    assert may_speak_for(os.getuid(), "gnss", tmp_path)


def test_a_user_that_a_user_name_space_hides_speaks_for_nobody(tmp_path: Path) -> None:
    assert not may_speak_for(65534, "gnss", tmp_path)


def test_the_boot_id_of_the_unit_is_that_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRAIN_BOOT_ID", raising=False)
    kernel = clock.boot_id()
    assert len(kernel) == 32
    assert clock.boot_id({"BRAIN_BOOT_ID": "0123456789abcdef" * 2}) == "0123456789abcdef" * 2
    assert clock.boot_id({"BRAIN_BOOT_ID": "%b"}) == kernel
