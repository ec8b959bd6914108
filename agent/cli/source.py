"""Where a coordinator has its configuration from: its files, else what ran last."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from agent import config_last
from agent.alarms import Alarm, of
from agent.cli.logs import configure
from agent.cli.places import places
from agent.commands.trial import BACKUP
from agent.config import Config, ConfigInvalid, Loaded, load, validated
from agent.config_files import DROP_INS, SECRET_KEYS, read
from agent.config_problems import log_lines
from agent.config_secrets import SecretUnavailable, reveal

log = logging.getLogger("brain")


class Source:
    """`loaded` is what counts just now; `refused` what was wrong with the files at the start."""

    def __init__(
        self, file: Path, state_dir: Path, loaded: Loaded, refused: Sequence[str] = ()
    ) -> None:
        self._file = file
        self._directory = state_dir
        self._loaded = loaded
        self.refused = refused

    def reread(self) -> Config:
        """The config as the file has it now, its log level applied. Raises ConfigInvalid."""
        self._loaded = valid(self._file)
        self.refused = ()
        config = self._loaded.require()
        configure(config.agent.log_level)
        return config

    def keep(self) -> None:
        """It runs: what counts now is good for the next start. Never raises.

        A change on trial is not: it may be taken back yet.
        """
        if self.refused or (self._file.absolute().parent / DROP_INS / BACKUP).exists():
            return
        try:
            config_last.keep(self._directory, self._loaded.tree)
        except OSError as error:
            path = self._directory / config_last.FILE
            log.warning("%s: %s; it is kept the next time", path, error.strerror or error)


def valid(file: Path) -> Loaded:
    """A config that is valid in this very process, secrets included. Raises ConfigInvalid."""
    return _with_secrets(load(file))


def last(
    file: Path, run_dir: Path | None, state_dir: Path | None, error: ConfigInvalid
) -> Loaded | None:
    """What ran last, where that is still valid; says that it counts, and why. None: nothing does.

    `error`: what is wrong with the files.
    """
    # Of a file that is no TOML nobody knows what it said about the state directory.
    where = places(read(file), run_dir, state_dir)
    tree = config_last.last(where.state_dir, file)
    if tree is None:
        return None
    try:
        loaded = _with_secrets(validated(tree))
    except ConfigInvalid:
        return None
    first, *others = log_lines(error.problems)
    text = "configuration refused, the last one that ran is used: %s"
    log.error(text, first, extra=of(Alarm.CONFIG_REFUSED))
    for other in others:
        log.warning("configuration refused: %s", other)
    return loaded


def _with_secrets(loaded: Loaded) -> Loaded:
    problems = list(loaded.problems)
    for path in SECRET_KEYS:
        reference = loaded.tree.get(path)
        try:
            reveal(reference if isinstance(reference, str) else "", os.environ)
        except SecretUnavailable as error:
            problem = loaded.tree.problem(path, str(error))
            if problem not in problems:
                problems.append(problem)
    if problems:
        raise ConfigInvalid(problems)
    return loaded
