"""The agent's disk behind the device mapper, to be made slow or failing while the agent runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.rig.journey import Journey

_SECTORS = "$(blockdev --getsz /dev/ubdc)"


class SickDisk:
    """A second disk of a journey's guest, at /data over the first one.

    `journal_apart`: ext4's journal is on a healthy disk, so that the file system survives failed
    writes: it shuts itself down where its journal fails.
    """

    def __init__(
        self, journey: Journey, megabytes: int = 32, *, journal_apart: bool = False
    ) -> None:
        self._journey = journey
        self._journal_apart = journal_apart
        self.disk: Path = journey.rig.disk("sick", megabytes)
        journey.disks.append(self.disk)
        if journal_apart:
            journey.disks.append(journey.rig.disk("journal", 8, formatted=False))

    def setup(self, bad: Sequence[tuple[int, int]] = (), *, first: bool = False) -> str:
        """The script for `Journey.boot`, the `first` time or again.

        `bad`: (first sector, sectors) that cannot be read.
        """
        make = ""
        if first and self._journal_apart:
            make = (
                "mke2fs -q -F -O journal_dev /dev/ubdd\nmke2fs -q -F -t ext4 -J device=/dev/ubdd "
            )
            make += "/dev/mapper/sick\n"
        lines, at = [], 0
        for first, count in bad:
            lines += [f"{at} {first - at} linear /dev/ubdc {at}", f"{first} {count} error"]
            at = first + count
        lines.append(f"{at} $(({_SECTORS} - {at})) linear /dev/ubdc {at}")
        table = "\\n".join(lines)
        return (
            "modprobe -a dm-flakey dm-delay\n"
            f'printf "{table}\\n" | dmsetup create --noudevsync sick\n'
            f"dmsetup mknodes\n{make}mount -t ext4 /dev/mapper/sick /data\n"
        )

    def heal(self) -> None:
        """Works as new."""
        self._load(f"0 {_SECTORS} linear /dev/ubdc 0")

    def refuse_writes(self) -> None:
        """Each write and each flush fails with EIO, reading works."""
        self._load(f"0 {_SECTORS} flakey /dev/ubdc 0 0 3600 1 error_writes")

    def slow(self, write_ms: int, flush_ms: int) -> None:
        """Each write and each flush takes that long."""
        way = "/dev/ubdc 0"
        self._load(f"0 {_SECTORS} delay {way} 0 {way} {write_ms} {way} {flush_ms}")

    def _load(self, table: str) -> None:
        self._journey.machine.shell(
            f'echo "{table}" | dmsetup load --noudevsync sick\n'
            "dmsetup suspend --noudevsync --nolockfs --noflush sick\n"
            "dmsetup resume --noudevsync sick\n"
        )
