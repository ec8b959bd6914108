"""The directories of configuration and state are missing, in the way, or come late."""

from __future__ import annotations

import time

import pytest

from tests.faults.world import World

WHAT = "the configuration or the state directory is missing, then there"


@pytest.mark.fault("B13", WHAT)
def test_the_configuration_comes_late(world: World) -> None:
    text = world.config.read_text()
    world.config.unlink()
    world.spawn()
    assert world.ends() == 2
    assert str(world.config) in world.log() and "Traceback" not in world.log(), world.log()
    assert not world.state_dir.exists(), "nothing is written before it is known where"
    world.config.write_text(text)
    world.dial()
    began = time.monotonic()
    world.start()
    world.feed()
    world.accepts(20)
    assert world.settle(healed_at=began).dropped == 0


@pytest.mark.fault("B13", WHAT)
def test_something_is_in_the_way_of_the_state_directory(world: World) -> None:
    world.state_dir.write_text("not a directory")
    world.spawn()
    assert world.ends() == 1
    said = world.log().strip().splitlines()
    assert len(said) == 1 and str(world.state_dir) in said[0], said
    assert world.state_dir.read_text() == "not a directory"
    world.state_dir.unlink()
    world.dial()
    began = time.monotonic()
    world.start()
    world.feed()
    world.accepts(20)
    assert world.settle(healed_at=began).dropped == 0
