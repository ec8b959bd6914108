"""One guest: boots, runs programs, loses its power."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tty
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.rig.place import NoRig, Place, shares
from tests.rig.program import Ended, GuestFailed, Program

BOOT_S = 90.0
"""With systemd: 5 to 20 s, by the load of the machine."""
CONTROL_LINE = 15
"""The serial line on which tests/rig/guest/server.py listens."""


@dataclass(frozen=True)
class Boot:
    """What a guest is given.

    `clock`: its wall clock at boot, seconds since 1970; None for the host's. `disks`: image files,
    the first one is mounted at /data, all are block devices ubdb, ubdc and so on. `serial`: host
    terminals by the number of the guest's ttyS. `tap`: (network namespace, tap device) for eth0.
    `share`: further host directories, (host, guest), writable: not for SQLite, a host file has no
    power cut. `before`: a shell script that runs before systemd, where an installer would have.
    """

    systemd: bool = False
    kernel: str = "stock"
    memory_mb: int = 384
    clock: int | None = None
    disks: Sequence[Path] = ()
    serial: Mapping[int, str] = field(default_factory=dict)
    tap: tuple[str, str] | None = None
    share: Sequence[tuple[Path, str]] = ()
    before: str = ""


class Machine:
    """A guest that has been switched on; `cut_power` and `close` are its ends."""

    def __init__(self, place: Place, boot: Boot) -> None:
        """Switch it on and wait for its server. Raises NoRig or GuestFailed."""
        self.boot = boot
        self.ended: dict[str, int] = {}
        self.ready_s = 0.0
        self._place = place
        self._count = 0
        self._rest = b""
        self._up = False
        self.control = Path(tempfile.mkdtemp(prefix="brain-rig-"))
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._write_control()
        console = (self.control / "console").open("wb")
        began = time.monotonic()
        self.switched_on = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._guest = subprocess.Popen(
            self._argv(),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "TMPDIR": _memory_directory(boot.memory_mb)},
        )
        console.close()
        try:
            self.until(lambda: self._up, "the guest boots", BOOT_S)
        except BaseException:
            self.close()
            raise
        self.boot_s = time.monotonic() - began

    def _write_control(self) -> None:
        lines = [f"{host} {guest} ro" for host, guest in shares()]
        lines += [f"{host} {guest} rw" for host, guest in self.boot.share]
        (self.control / "mounts").write_text("".join(line + "\n" for line in lines))
        (self.control / "before").write_text(self.boot.before)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        (self.control / "python").write_text(version + "\n")

    def _argv(self) -> list[str]:
        boot, kernel = self.boot, self._place.kernel(self.boot.kernel)
        disks = [f"ubd{'bcdefgh'[n]}={path}" for n, path in enumerate(boot.disks)]
        lines = {**boot.serial, CONTROL_LINE: os.ttyname(self._slave)}
        argv = ["setpriv", "--pdeathsig", "KILL", str(kernel / "linux")]
        if boot.tap is not None:
            argv = ["nsenter", f"--net=/run/netns/{boot.tap[0]}", *argv]
            argv += [f"eth0=tuntap,{boot.tap[1]}"]
        argv += [f"mem={boot.memory_mb}M", "root=/dev/root", "rootfstype=hostfs"]
        argv += [
            f"rootflags={self._place.root}",
            "ro",
            "quiet",
            "panic=1",
            "init=/rig-init",
            "selinux=0",
        ]
        argv += ["con0=null,fd:1", "con=null", "ssl=null", f"uml_dir={self.control}"]
        argv += [*disks, *(f"ssl{number}=tty:{path}" for number, path in lines.items())]
        argv += [f"rig.control={self.control}", f"rig.modules={(kernel / 'modules').resolve()}"]
        argv += ["rig.disk=ubdb"] if boot.disks else []
        argv += [] if boot.clock is None else [f"rig.clock={boot.clock}"]
        return argv + ([] if boot.systemd else ["rig.bare=1"])

    @property
    def alive(self) -> bool:
        """Whether it has power."""
        return self._guest.poll() is None

    @property
    def console(self) -> str:
        """What kernel and systemd have said."""
        return (self.control / "console").read_text(errors="replace")

    def start(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        cwd: str = "/opt/brain/src",
        name: str | None = None,
    ) -> Program:
        """Start a program; `brain` and /opt/brain/venv are the host's checkout and packages."""
        self._count += 1
        program = Program(self, name or f"{self._count}-{Path(argv[0]).name}", argv)
        self.tell(start=program.name, argv=list(argv), env=dict(env or {}), cwd=cwd)
        return program

    def run(self, *argv: str, timeout_s: float = 60.0, check: bool = True, **how: Any) -> Ended:
        """Run a program to its end. Raises GuestFailed on time-out and, with `check`, failure."""
        ended = self.start(*argv, **how).wait(timeout_s)
        if check and ended.code:
            raise self.failed(f"{' '.join(argv)!r} ended with code {ended.code}", ended.output)
        return ended

    def python(self, *argv: str, **how: Any) -> Ended:
        """Run the venv's Python."""
        return self.run("/opt/brain/venv/bin/python", *argv, **how)

    def shell(self, script: str, **how: Any) -> str:
        """Run a shell script that must not fail; its output."""
        return self.run("sh", "-ec", script, **how).output

    def cut_power(self) -> None:
        """End it at once: nothing in the guest gets to run after this, its memory is lost."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._guest.pid, signal.SIGKILL)
        self._guest.wait()
        deadline = time.monotonic() + 10.0
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < deadline:  # its helper processes still have the disk open
                os.killpg(self._guest.pid, 0)
                select.select([], [], [], 0.01)

    def power_off(self, timeout_s: float = 30.0) -> None:
        """Shut it down in an orderly way."""
        self.tell(poweroff=True)
        try:
            self._guest.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise self.failed(f"no power-off within {timeout_s:.0f} s") from None

    def close(self) -> None:
        """Cut the power and forget it: outputs and console are removed."""
        self.cut_power()
        if self._master >= 0:
            os.close(self._master)
            os.close(self._slave)
            self._master = -1
        shutil.rmtree(self.control, ignore_errors=True)

    def tell(self, **request: Any) -> None:
        """Send one line to the server. Raises GuestFailed where the guest is gone."""
        line = json.dumps(request).encode() + b"\n"
        deadline = time.monotonic() + 10.0
        while line:
            if not self.alive or time.monotonic() > deadline:
                raise self.failed("the guest takes no request")
            select.select([], [self._master], [], 0.5)
            with contextlib.suppress(BlockingIOError):
                line = line[os.write(self._master, line) :]

    def listen(self, timeout_s: float) -> None:
        """Take in what the server tells within `timeout_s`."""
        if not select.select([self._master], [], [], timeout_s)[0]:
            return
        with contextlib.suppress(BlockingIOError, OSError):
            self._rest += os.read(self._master, 65_536)
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            fact = json.loads(line)
            if "ready" in fact:
                self._up, self.ready_s = True, fact["ready"]
                # Guest boot time 0 on the host's clock, to convert what records carry.
                self.zero_s = time.clock_gettime(time.CLOCK_BOOTTIME) - fact["boottime"]
            elif "ended" in fact:
                self.ended[fact["ended"]] = fact["code"]

    def until(
        self,
        fact: Callable[[], object],
        what: str,
        timeout_s: float = 60.0,
        *,
        also: Callable[[], str] = str,
    ) -> None:
        """Wait for a fact. Raises GuestFailed after `timeout_s`, or when the guest is gone."""
        deadline = time.monotonic() + timeout_s
        while not fact():
            if not self.alive:
                raise self.failed(f"not seen: {what}: the guest is gone", also())
            if time.monotonic() > deadline:
                raise self.failed(f"not seen within {timeout_s:.0f} s: {what}", also())
            self.listen(0.05)

    def failed(self, why: str, output: str = "") -> GuestFailed:
        """The error with the program's output and the end of the console."""
        tail = "\n".join(self.console.splitlines()[-40:])
        return GuestFailed(f"{why}\n{output}\n--- console ---\n{tail}")


def _memory_directory(memory_mb: int) -> str:
    """Where the guest's memory lives: a tmpfs that has room for it, else a disk. Raises NoRig."""
    for path in ("/dev/shm", "/tmp", "/var/tmp"):
        with contextlib.suppress(OSError):
            if shutil.disk_usage(path).free > 1.3 * memory_mb * 1024 * 1024:
                return path
    raise NoRig(f"rig: not run: no directory has {memory_mb} MB free for the guest's memory")
