"""`brain run`: the coordinator."""

from __future__ import annotations

import gc
import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from agent.alarm_events import AlarmEvents
from agent.alarms import Alarm, of
from agent.cli.arguments import Arguments
from agent.cli.exits import DEGRADED, IN_USE, INVALID, CliError
from agent.cli.logs import configure
from agent.cli.places import Places, places
from agent.cli.source import Source, last, valid
from agent.config import Config, ConfigInvalid, Loaded
from agent.config_files import DROP_INS
from agent.config_places import PlaceUnusable, make_run_directory, make_state_directory
from agent.config_problems import log_lines
from agent.config_secrets import SecretUnavailable
from agent.protocol import Notifier, listen_fds

GC_THRESHOLDS = (20_000, 20, 20)
REFUSED_PAUSE_S = 30
"""Within TimeoutStartSec of the unit."""


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM."""
    parser = Arguments("run", "The coordinator alone; drivers are started beside it.")
    parser.places()
    options = parser.parse_args(arguments)
    alarms = AlarmEvents()
    alarms.attach()
    try:
        source, config, where = begin(options.config, options.run_dir, options.state_dir)
    except ConfigInvalid as error:
        if "LISTEN_PID" not in os.environ:
            raise
        return refuse_slowly(error)

    from agent.app import Coordinator
    from agent.cli.candidate import judge
    from agent.commanding import Remote
    from agent.commands.settable import FILE
    from agent.store.rows import OutboxFull, OutboxLocked, OutboxTooNew

    # What was imported stays: without it a collection costs little, and records are no cycles.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        main_file = options.config.absolute()
        remote = Remote(
            main_file.parent / DROP_INS / FILE,
            lambda file, text: judge(main_file, file, text),
        )
        return Coordinator(config, where.run_dir, where.state_dir, source, remote, alarms).run()
    except OutboxLocked as error:
        raise CliError(f"brain run: {error}", IN_USE) from error
    except (OutboxFull, OutboxTooNew, SecretUnavailable, OSError) as error:
        raise CliError(f"brain run: {error}", DEGRADED) from error


def begin(
    file: Path, run_dir: Path | None, state_dir: Path | None
) -> tuple[Source, Config, Places]:
    """The configuration to start with: that of the files, else the one that ran last.

    Raises ConfigInvalid where both are no good, CliError.
    """
    refused: Sequence[str] = ()
    try:
        loaded = _of_files(file)
    except ConfigInvalid as error:
        found = last(file, run_dir, state_dir, error)
        if found is None:
            raise
        loaded, refused = found, log_lines(error.problems)
    config, where = settle(loaded, run_dir, state_dir)
    return Source(file, where.state_dir, loaded, refused), config, where


def _of_files(file: Path) -> Loaded:
    try:
        return valid(file)
    except ConfigInvalid as error:
        if not mended(file, error):
            raise
        return valid(file)


def mended(file: Path, error: ConfigInvalid) -> bool:
    """Whether it was a change that came as a command, and that is out of the way now.

    One on trial is taken back; one that is damaged, as flash may be, is put aside.
    """
    from agent.commands.settable import FILE
    from agent.commands.trial import put_back

    log = logging.getLogger("brain")
    remote = file.absolute().parent / DROP_INS / FILE
    about = of(Alarm.CONFIG_ROLLED_BACK)
    try:
        if put_back(remote):
            log.error("configuration refused with a change on trial: taken back", extra=about)
            return True
        if remote.exists() and all(Path(p.file) == remote for p in error.problems):
            for text in log_lines(error.problems):
                log.error("configuration refused: %s", text, extra=about)
            log.error("%s is put aside, all goes on without it", remote, extra=about)
            remote.replace(remote.with_suffix(".damaged"))
            return True
    except OSError as trouble:
        log.error("%s: %s", remote, trouble.strerror)
    return False


def refuse_slowly(error: ConfigInvalid) -> int:
    """Say what is wrong, and end only after a while, or when told to.

    A driver that knocks at a socket of systemd's makes it start the coordinator again at once,
    whatever Restart= says: without a pause that is all that the computer would do.
    """
    log = logging.getLogger("brain")
    for text in log_lines(error.problems):
        log.error("configuration refused: %s", text, extra=of(Alarm.CONFIG_REFUSED))
    log.error("nothing was started; trying again every %d s", REFUSED_PAUSE_S)
    Notifier().send(STATUS=f"configuration refused, see {error.problems[0].place}")
    signals = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    signal.sigtimedwait(signals, REFUSED_PAUSE_S)
    return INVALID


def reread(file: Path) -> Config:
    """The config as the file has it now, its log level applied. Raises ConfigInvalid."""
    config = valid(file).require()
    configure(config.agent.log_level)
    return config


def prepare(file: Path, run_dir: Path | None, state_dir: Path | None) -> tuple[Config, Places]:
    """A valid config and usable directories. Raises ConfigInvalid, CliError."""
    return settle(valid(file), run_dir, state_dir)


def settle(loaded: Loaded, run_dir: Path | None, state_dir: Path | None) -> tuple[Config, Places]:
    """The config and its directories, which are made. Raises CliError."""
    config = loaded.require()
    configure(config.agent.log_level)
    where = places(loaded.tree, run_dir, state_dir)
    try:
        # Sockets that the service manager passed are in a directory of the service manager's.
        if not listen_fds():
            make_run_directory(where.run_dir)
        make_state_directory(where.state_dir)
    except PlaceUnusable as error:
        raise CliError(str(error), DEGRADED) from error
    return config, where
