"""Where the agent lives on this machine: its run directory and its state directory."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

SYSTEM_RUN = Path("/run/brain")
SYSTEM_STATE = Path("/var/lib/brain")
CONTROL_SOCKET = "control.sock"
# sun_path holds 108 bytes with its end; ingest.sock is no longer than control.sock.
_LONGEST_RUN_DIRECTORY = 107 - len("/" + CONTROL_SOCKET)


class PlaceUnusable(Exception):
    """A directory that the agent needs cannot be used; the text says which and what to do."""


def run_directory(explicit: str | Path | None, environ: Mapping[str, str]) -> Path:
    """The directory of sockets and locks; it need not exist yet.

    `explicit` (an option, else `agent.run_dir`), else /run/brain where it exists, else
    $XDG_RUNTIME_DIR/brain, else one per user under the temporary folder.
    """
    if explicit:
        return Path(explicit).absolute()
    if SYSTEM_RUN.is_dir():
        return SYSTEM_RUN
    if environ.get("XDG_RUNTIME_DIR"):
        return Path(environ["XDG_RUNTIME_DIR"]) / "brain"
    import tempfile

    return Path(environ.get("TMPDIR") or tempfile.gettempdir()) / f"brain-{os.getuid()}"


def state_directory(explicit: str | Path | None, run_dir: Path, *, own_run_dir: bool) -> Path:
    """The directory of the outbox and of the drivers' folders; it need not exist yet.

    `explicit` is `agent.state_dir`, else /var/lib/brain where it exists, else RUN/state.
    `own_run_dir` says that an option named a run directory of one's own: such a run (a test, a
    simulation) keeps off the vehicle's outbox.
    """
    if explicit:
        return Path(explicit).absolute()
    if SYSTEM_STATE.is_dir() and (not own_run_dir or run_dir == SYSTEM_RUN):
        return SYSTEM_STATE
    return run_dir / "state"


def make_run_directory(run_dir: Path) -> None:
    """Create the run directory for this user alone. Raises PlaceUnusable.

    One that exists under the temporary folder must be ours: whoever owns it owns the sockets.
    """
    if len(os.fsencode(run_dir)) > _LONGEST_RUN_DIRECTORY:
        raise PlaceUnusable(
            f"run directory {run_dir}: longer than the {_LONGEST_RUN_DIRECTORY} bytes that the "
            "path of a socket allows; choose a shorter one with --run-dir"
        )
    try:
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = run_dir.stat()
    except OSError as error:
        raise PlaceUnusable(
            f"run directory {run_dir}: {error.strerror}; choose another one with --run-dir"
        ) from error
    if run_dir != SYSTEM_RUN and found.st_uid != os.getuid():
        raise PlaceUnusable(
            f"run directory {run_dir} belongs to user {found.st_uid}, not to you; choose another "
            "one with --run-dir"
        )
    if not os.access(run_dir, os.W_OK | os.X_OK):
        raise PlaceUnusable(
            f"run directory {run_dir} is not writable for you; run as the user that owns it "
            f"(mode {stat.filemode(found.st_mode)}), or choose another one with --run-dir"
        )
