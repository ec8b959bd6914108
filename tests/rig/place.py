"""Where the rig is: builds it once, and says in one line why there is none."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
BUILD_S = 600.0
"""Stock kernel: about a minute with a near mirror; another build may hold the lock as long."""
CANNOT_BE_BUILT = 3


class NoRig(Exception):
    """There is no rig, or not this part of it; the text says why in one line."""


@dataclass(frozen=True)
class Place:
    """A built rig: the guest's root file system and its kernels."""

    directory: Path

    @property
    def root(self) -> Path:
        """The guest's root file system, shared read-only."""
        return self.directory / "root"

    def kernel(self, name: str) -> Path:
        """The directory of a kernel: "stock" is Debian's, "own" has ISO-TP, V4L2, USB, GPIO, TPM.

        Raises NoRig where it has not been built.
        """
        directory = self.directory / name
        if not (directory / "linux").exists():
            raise NoRig(f"rig: not run: no kernel {name!r} in {self.directory}: make rig-kernel")
        return directory


def directory() -> Path:
    """The build directory: $BRAIN_RIG, else below /var/tmp so that it outlives a boot."""
    return Path(os.environ.get("BRAIN_RIG", "/var/tmp/brain-rig"))


@cache
def place() -> Place:
    """The rig, built where it must be. Raises NoRig where it cannot be: no root, no packages."""
    built = directory()
    try:
        done = subprocess.run(
            ["bash", str(HERE / "build"), str(built)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BUILD_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NoRig(f"rig: not run: {built} was not built within {BUILD_S:.0f} s") from None
    if done.returncode == CANNOT_BE_BUILT:
        raise NoRig(done.stdout.strip().splitlines()[-1].replace("not built", "not run"))
    if done.returncode:
        raise RuntimeError(f"tests/rig/build failed with code {done.returncode}:\n{done.stdout}")
    # The guest sees the checkout read-only: else it would compile each module at each start.
    for name in ("agent", "drivers", "simulator", "cloud", "config"):
        compileall.compile_dir(CHECKOUT / name, quiet=2)
    return Place(built)


def shares() -> list[tuple[Path, str]]:
    """(directory of the host, where the guest sees it), all read-only: checkout and interpreter.

    The packages come under a path of their own because units with ProtectHome=yes see no /root.
    """
    prefix = Path(sys.base_prefix).resolve()
    return [
        (CHECKOUT, "/opt/brain/src"),
        (prefix, "/opt/brain/python"),
        (Path(sysconfig.get_path("purelib")).resolve(), "/opt/brain/packages"),
    ]
