"""Hands out presigned URLs for files, and completes what vehicles have PUT: a thread of its own.

Asked about a file it looks what the store has: all of it, then the object is made, read back and
compared with the sha256; else it answers with URLs for the parts that are missing.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cloud.file_books import Key
from cloud.s3 import PART_BYTES, Bucket, Put, S3Failed

log = logging.getLogger("cloud")

MAX_PUTS = 20
"""URLs in one answer, 400 bytes each; the vehicle asks again when it has used them."""
STOP_S = 3.0


class Found(NamedTuple):
    """What became of a file: whole in the store, or what may be PUT (empty: use chunks)."""

    key: Key
    whole: bool
    puts: Sequence[Put] = ()


class Desk:
    """`ask` from any thread; `answered` is called on the desk's."""

    def __init__(self, bucket: Bucket, answered: Callable[[Found], None]) -> None:
        self._bucket = bucket
        self._answered = answered
        self._asked: queue.SimpleQueue[tuple[Key, int] | None] = queue.SimpleQueue()
        self._busy: set[Key] = set()
        self._error = ""
        self._thread = threading.Thread(target=self._run, name="s3", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; what was asked is asked again."""
        self._asked.put(None)
        self._thread.join(STOP_S)

    def ask(self, key: Key, size: int) -> None:
        """A vehicle spoke of a file; it is answered once, however often it asks meanwhile."""
        if key not in self._busy:
            self._busy.add(key)
            self._asked.put((key, size))

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            key, size = asked
            try:
                found = self._look(key, size)
                self._error = ""
            except (S3Failed, ValueError) as error:
                if str(error) != self._error:
                    log.error("%s; files go over MQTT until it works", error)
                self._error = str(error)
                found = Found(key, whole=False)
            self._busy.discard(key)
            self._answered(found)

    def _look(self, key: Key, size: int) -> Found:
        name = "/".join(key)
        if self._bucket.size(name) == size:
            return self._judge(key, name)
        if size < PART_BYTES:
            return Found(key, False, [Put(0, size, self._bucket.presigned(name))])
        upload = self._bucket.upload_of(name)
        count = -(-size // PART_BYTES)
        lengths = {n: min(PART_BYTES, size - (n - 1) * PART_BYTES) for n in range(1, count + 1)}
        here = [p for p in self._bucket.parts(name, upload) if lengths.get(p.number) == p.size]
        if len(here) == count:
            self._bucket.complete(name, upload, here)
            return self._judge(key, name)
        left = sorted(lengths.keys() - {part.number for part in here})[:MAX_PUTS]
        puts = [
            Put(
                (n - 1) * PART_BYTES,
                lengths[n],
                self._bucket.presigned(name, {"partNumber": str(n), "uploadId": upload}),
            )
            for n in left
        ]
        return Found(key, False, puts)

    def _judge(self, key: Key, name: str) -> Found:
        """Whether the object is the file that was announced; another one is removed."""
        if self._bucket.sha256(name) == key[1]:
            return Found(key, whole=True)
        log.warning("%s: the object has another sha256; once more", name)
        self._bucket.delete(name)
        return Found(key, whole=False)
