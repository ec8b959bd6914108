"""Puts files together: lands chunks, completes files, asks vehicles for what is missing.

Between a chunk and its answer lie an fsync of the file and a commit of the books; between the last
chunk and the ack of the FILE record the sha256 of what is on this disk.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec

from cloud import topics
from cloud.chunk import Chunk, names_chunk
from cloud.file_books import Key, manifests
from cloud.files import FileStore
from cloud.intake import Delivery, Rejection
from cloud.ledger import Ledger
from cloud.s3 import Bucket, Put
from cloud.s3_desk import Desk, Found

log = logging.getLogger("cloud")

MAX_RUNS = 500
"""Runs of missing blocks in one message: 12 KiB at most. The first ones come first anyway."""

Waiting = tuple[str, str, int]
"""Vehicle, epoch and seq of a record."""


class Assembly:
    """Used by the receiver, on its thread."""

    def __init__(
        self,
        store: FileStore | None,
        ledger: Ledger,
        publish: Callable[[str, bytes], bool],
        prefix: str,
        bucket: Bucket | None = None,
    ) -> None:
        """`store` None: files are not wanted, and their records are acknowledged without them.

        `bucket`: offered to vehicles, which may use it or send chunks.
        """
        self._store = store
        self._ledger = ledger
        self._publish = publish
        self._prefix = prefix
        self.error: str | None = None
        self._found: queue.SimpleQueue[Found] = queue.SimpleQueue()
        self._desk = None if bucket is None else Desk(bucket, self._found.put)

    def stop(self) -> None:
        """End the threads."""
        if self._desk is not None:
            self._desk.stop()

    def land(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        """Writes chunks; those that are durable now and may be booked."""
        if self._store is None or not chunks:
            return []
        try:
            landed = self._store.write(chunks, self._open_size)
        except OSError as error:
            self._say(f"a file cannot be written: {error.strerror or error}")
            return []
        self.error = None
        return landed

    def complete(
        self, deliveries: Sequence[Delivery], landed: Sequence[Chunk]
    ) -> tuple[set[Waiting], list[Waiting]]:
        """After the commit: records whose file is not whole, and those whose file became whole."""
        if self._store is None:
            return set(), []
        announced = manifests(delivery.batch for delivery in deliveries)
        touched = {key for key, _, _ in announced} | {(c.vehicle, c.sha256) for c in landed}
        released: list[Waiting] = []
        for key in sorted(touched):
            if self._completes(key):
                waiting = self._ledger.files.waiting(key)
                released += [(key[0], epoch, seq) for epoch, seq in waiting]
        withheld = set()
        for key, batch, at in announced:
            known = self._ledger.files.known(key)
            if known is None or not known.whole:
                withheld.add((batch.vehicle, batch.epoch, batch.records[at].seq))
        return withheld, released

    def ask(
        self,
        deliveries: Sequence[Delivery],
        chunks: Sequence[Chunk],
        rejections: Iterable[Rejection],
    ) -> None:
        """Tells vehicles what is missing of the files that they spoke of."""
        if self._store is None:
            return
        announced = {key for key, _, _ in manifests(delivery.batch for delivery in deliveries)}
        spoken = {(chunk.vehicle, chunk.sha256) for chunk in chunks}
        for received, _ in rejections:
            key = self._named(received.topic)
            if key is not None:
                spoken.add(key)
        for key in sorted(announced | spoken):
            self._ask(key, announced)

    def collect(self) -> list[Waiting]:
        """What the desk found out: says it, and gives the records that may be acknowledged."""
        released: list[Waiting] = []
        while not self._found.empty():
            found = self._found.get()
            if not found.whole:
                self._say_need(found.key, manifest=True, puts=found.puts)
                continue
            try:
                self._ledger.settle_file(found.key, whole=True)
            except sqlite3.Error as error:
                self._say(f"a file cannot be completed: {error}")
                continue
            waiting = self._ledger.files.waiting(found.key)
            released += [(found.key[0], epoch, seq) for epoch, seq in waiting]
        return released

    def _ask(self, key: Key, announced: Collection[Key]) -> None:
        known = self._ledger.files.known(key)
        # What began with chunks goes on so.
        fresh = known is not None and known.size > 0 and not self._ledger.files.has_blocks(key)
        if self._desk is not None and known is not None and key in announced and fresh:
            if not known.whole:
                self._desk.ask(key, known.size)
            return
        self._say_need(key, manifest=key in announced)

    def _say_need(self, key: Key, *, manifest: bool, puts: Sequence[Put] = ()) -> None:
        known = self._ledger.files.known(key)
        if known is None or known.whole:
            return
        said: dict[str, object] = {
            "sha256": key[1],
            "missing": self._ledger.files.missing(key)[:MAX_RUNS],
            "answers": "manifest" if manifest else "chunks",
            "again": known.again > 0 and not self._ledger.files.has_blocks(key),
        }
        if puts:
            said["put"] = puts
        self._publish(topics.need(self._prefix, key[0]), msgspec.json.encode(said))

    def _completes(self, key: Key) -> bool:
        """Whether a file is whole now that was not before."""
        assert self._store is not None
        known = self._ledger.files.known(key)
        if known is None or known.whole or self._ledger.files.missing(key):
            return False
        try:
            whole = self._store.finish(key, known.size)
            self._ledger.settle_file(key, whole=whole)
        except (OSError, sqlite3.Error) as error:
            self._say(f"a file cannot be completed: {error}")
            return False
        if not whole:
            log.warning("%s: file %.12s is whole and has another sha256; once more", *key)
        return whole

    def _open_size(self, key: Key) -> int | None:
        known = self._ledger.files.known(key)
        return None if known is None or known.whole else known.size

    def _named(self, topic: str) -> Key | None:
        try:
            vehicle, leaf = topics.parse(self._prefix, topic)
        except ValueError:
            return None
        sha256 = names_chunk(leaf)
        return None if sha256 is None else (vehicle, sha256)

    def _say(self, error: str) -> None:
        if error != self.error:
            log.error(
                "%s; vehicles keep it and send it again, free space or repair the disk", error
            )
        self.error = error
