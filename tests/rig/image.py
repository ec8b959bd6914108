"""A disk image looked into from outside, as the next boot would find it.

e2fsck replays ext4's journal with the kernel's own recovery code, debugfs copies the files out:
a tenth of a second an image, so that hundreds can be judged.
"""

from __future__ import annotations

import shutil
import subprocess
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from agent.record import StorageClass
from agent.store import inspect
from agent.store.intervals import IntervalSet
from agent.store.outbox import Outbox
from agent.store.reader import OutboxReader

QUOTA = dict.fromkeys(StorageClass, 1 << 30)
STEPS = 100_000


class ImageDamaged(AssertionError):
    """The file system does not come back by replaying its journal; the text is e2fsck's."""


@dataclass
class Found:
    """An outbox in an image: how it opened, what it holds, what is wrong with it."""

    opened: str = "missing"
    held: dict[str, IntervalSet] = field(default_factory=dict)
    """By epoch the numbers in intact rows or in accounts of drops."""
    queued: int = 0
    dropped: int = 0
    wrong: list[str] = field(default_factory=list)


def extract(image: Path, into: Path, inside: str = "state") -> Path:
    """Copy the directory `inside` out of an image, its journal replayed; the image stays as it is.

    Raises ImageDamaged. The directory that is returned need not exist.
    """
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    copy = into / "disk"
    subprocess.run(["cp", "--sparse=always", str(image), str(copy)], check=True)
    recover(copy)
    subprocess.run(
        ["/sbin/debugfs", "-R", f"rdump /{inside} {into}", str(copy)],
        check=True,
        capture_output=True,
    )
    copy.unlink()
    return into / inside


def recover(image: Path) -> None:
    """Replay the journal of an image in place, as mounting it does. Raises ImageDamaged."""
    checked = subprocess.run(
        ["/sbin/e2fsck", "-y", "-E", "journal_only", str(image)],
        capture_output=True,
        text=True,
        check=False,
    )
    if checked.returncode > 1:
        raise ImageDamaged(f"{image}: {checked.stdout}{checked.stderr}")


def look(directory: Path) -> Found:
    """Open what is in a state directory with the agent's own store, as its next start would."""
    found = Found()
    if not (directory / "outbox.db").exists():
        return found
    outbox = Outbox.open(directory, quota_bytes=QUOTA)
    found.opened = outbox.opened
    for _ in range(STEPS):
        if not outbox.salvage_step():
            break
    with closing(OutboxReader(directory)) as reader:
        for storage_class in StorageClass:
            after = None
            while page := reader.oldest(storage_class, after, 500):
                for head in page:
                    reader.load(head)
                    found.held.setdefault(head.epoch, IntervalSet()).add(head.first, head.last)
                    found.queued += head.n
                after = page[-1]
        for drop in reader.drops():
            found.held.setdefault(drop.epoch, IntervalSet()).add(drop.first, drop.last)
            found.dropped += drop.count
        summary = reader.summary()
        if not summary["balanced"] or summary["gaps"]:
            found.wrong.append(f"the books do not balance: {dict(summary)}")
    outbox.close()
    found.wrong += inspect.verify(directory)
    return found
