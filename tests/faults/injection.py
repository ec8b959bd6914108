"""Faults from outside the product: system calls that fail (strace), small disks (tmpfs).

strace attaches to the agent that runs, so a fault is healed by detaching. Only system calls on the
named files count: `when=2` is the second one on those.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

STORAGE = "pwrite64,fdatasync,fsync,ftruncate,openat,unlink,rename"
"""Every system call by which the outbox changes what is on flash."""
ATTACH_S = 10.0
BROKEN = Path(__file__).with_name("broken")


class NotHere(Exception):
    """This machine cannot inject the fault; the text says what is missing, in one line."""


def strace() -> str:
    """Where strace is. Raises NotHere."""
    found = shutil.which("strace")
    if found is None:
        raise NotHere("faults: not run: strace is missing: apt install strace")
    return found


def command(*injections: str, files: Sequence[Path], log: Path) -> list[str]:
    """What goes before a command line: `injections` are strace's, `fdatasync:error=EIO:when=3`."""
    argv = [strace(), "-f", "-qq", "-ttt", "-e", "signal=none", "-o", str(log)]
    argv += [word for file in files for word in ("-P", str(file))]
    calls = ",".join(sorted({injection.partition(":")[0] for injection in injections}))
    argv += ["-e", f"trace={calls}"]
    return argv + [word for item in injections for word in ("-e", f"inject={item}")]


def from_the_start(*injections: str, files: Sequence[Path], log: Path) -> list[str]:
    """As `command`, and the agent stays the process that was started; `detach` heals it."""
    return [strace(), "-D", "-I", "2", *command(*injections, files=files, log=log)[1:]]


def detach(pid: int) -> None:
    """End what `from_the_start` has begun; the process lives on."""
    status, until = Path(f"/proc/{pid}/status"), time.monotonic() + ATTACH_S
    while tracer := int(status.read_text().partition("TracerPid:")[2].split()[0]):
        assert time.monotonic() < until, "strace does not let go"
        with contextlib.suppress(ProcessLookupError):
            os.kill(tracer, signal.SIGINT)
        threading.Event().wait(0.05)


def outbox_files(state_dir: Path) -> list[Path]:
    """All that the outbox writes."""
    names = ("outbox.db", "outbox.db-wal", "outbox.db-shm", "outbox.water", "reserve")
    return [*(state_dir / name for name in names), state_dir]


@contextlib.contextmanager
def failing(pid: int, *injections: str, files: Sequence[Path], log: Path) -> Iterator[Path]:
    """While this lasts, system calls of `pid` on `files` fail as `injections` say.

    Yields strace's log, with a line a call; those that failed hold INJECTED. Raises NotHere where
    this machine does not let processes be traced.
    """
    log.unlink(missing_ok=True)
    argv = [*command(*injections, files=files, log=log), "-p", str(pid)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as tracer:
        assert tracer.stderr is not None
        try:
            pause, deadline = threading.Event(), time.monotonic() + ATTACH_S
            while not _traced(pid):
                if tracer.poll() is not None or time.monotonic() > deadline:
                    said = tracer.stderr.read().decode(errors="replace").strip()
                    raise NotHere(f"faults: not run: strace cannot attach: {said}")
                pause.wait(0.01)
            yield log
        finally:
            tracer.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                tracer.wait(10)
            tracer.kill()


def _traced(pid: int) -> bool:
    """Whether every thread of a process is traced."""
    tasks = list(Path(f"/proc/{pid}/task").iterdir())
    return all("TracerPid:\t0\n" not in (task / "status").read_text() for task in tasks)


def injected(log: Path) -> int:
    """How many system calls strace has let fail."""
    return log.read_text(errors="replace").count("(INJECTED)") if log.exists() else 0


def first_injected_s(log: Path) -> float:
    """When the first system call failed, in seconds of the wall clock."""
    for line in log.read_text(errors="replace").splitlines():
        if "(INJECTED)" in line:
            return float(line.split()[1])
    raise AssertionError("no system call has failed")


def killed(log: Path) -> bool:
    """Whether strace has killed its process: the last call did not come back."""
    return log.exists() and log.read_text(errors="replace").rstrip().endswith("= ?")


@contextlib.contextmanager
def small_disk(directory: Path, *options: str) -> Iterator[Path]:
    """A disk of its own (tmpfs) at `directory`, with mount `options` such as size=8m, nr_inodes=40.

    Raises NotHere where this process may not mount.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if os.getuid() or shutil.which("mount") is None:
        raise NotHere("faults: not run: a disk of its own needs root and mount")
    argv = ["mount", "-t", "tmpfs", "-o", ",".join(options), "none", str(directory)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotHere(f"faults: not run: no mount on this machine: {done.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=False)


def failpoint(method: str, when: str, n: int) -> dict[str, str]:
    """The environment of an agent that is killed `before` or `after` its nth call of `method`.

    `method` is `module:Class.method`.
    """
    return {"PYTHONPATH": _path(), "BRAIN_FAULT_AT": f"{method}:{when}:{n}"}


def hanging(method: str) -> dict[str, str]:
    """The environment of an agent in which `method` never comes back from SIGUSR1 on."""
    return {
        "PYTHONPATH": _path(),
        "PYTHONFAULTHANDLER": "1",
        "BRAIN_FAULT_HANG": method,
    }


def constants(values: Mapping[str, float]) -> dict[str, str]:
    """The environment of an agent in which `module:NAME` is another number from its start on."""
    text = ",".join(f"{name}={value}" for name, value in values.items())
    return {"PYTHONPATH": _path(), "BRAIN_FAULT_SET": text}


def _path() -> str:
    """Ours before what is there: a checkout under test may be."""
    return os.pathsep.join(filter(None, [str(BROKEN), os.environ.get("PYTHONPATH", "")]))
