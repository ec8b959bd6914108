"""Which run and state directory a command means, from its options and the configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from agent.config_files import Tree, read
from agent.config_places import run_directory, state_directory


class Places(NamedTuple):
    """Where the agent lives; neither directory need exist."""

    run_dir: Path
    state_dir: Path


def places(tree: Tree | None, run_dir: Path | None, state_dir: Path | None) -> Places:
    """Options win over the configuration, that over the defaults of this machine."""
    stated_run = run_dir or _text(tree, "run_dir")
    stated_state = state_dir or _text(tree, "state_dir")
    run = run_directory(stated_run, os.environ)
    return Places(run, state_directory(stated_state, run, own_run_dir=run_dir is not None))


def places_of(config: Path, run_dir: Path | None, state_dir: Path | None = None) -> Places:
    """For commands that look at a running agent; they do not judge its configuration."""
    return places(read(config) if config.exists() else None, run_dir, state_dir)


def _text(tree: Tree | None, key: str) -> str | None:
    value = tree.get(("agent", key)) if tree else None
    return value if isinstance(value, str) and value else None
