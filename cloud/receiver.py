"""The loop of the cloud end: take a group of messages, book it in one commit, then acknowledge.

The order is the promise: nothing is acknowledged that is not durable. What cannot be read is kept
aside and not acknowledged; what cannot be written is not acknowledged either and comes again.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from cloud import topics
from cloud.absent import Epoch
from cloud.acks import about_catalogues, acknowledgements
from cloud.assembly import Assembly, Waiting
from cloud.chunk import Chunk
from cloud.files import FileStore
from cloud.intake import (
    Announced,
    Delivery,
    Intake,
    Judged,
    Needed,
    Received,
    Rejection,
    Status,
    judge,
)
from cloud.intervals import Range
from cloud.ledger import Ledger, ignore
from cloud.s3 import Bucket

log = logging.getLogger("cloud")

GROUP_S = 0.1
"""How long a group waits for company after its first message."""
MAX_GROUP = 500
MAX_GROUP_BYTES = 8 << 20
"""Compressed bytes in a group; bounds the memory of one commit."""
IDLE_S = 0.2
MAX_REFUSED = 1_000
"""Vehicles that are remembered as refused, so that each is said once."""


class Receiver:
    """Moves messages from `inbox` into the ledger and their acks to `publish`; one thread."""

    def __init__(
        self,
        inbox: queue.Queue[Received],
        ledger: Ledger,
        publish: Callable[[str, bytes], bool],
        prefix: str,
        *,
        files: FileStore | None = None,
        bucket: Bucket | None = None,
        failpoint: Callable[[str], None] = ignore,
    ) -> None:
        """`files` None: files are not wanted.

        `failpoint` is called at "chunks-landed", "before-ack" and "after-ack".
        """
        self._inbox = inbox
        self._ledger = ledger
        self._publish = publish
        self._prefix = prefix
        self._failpoint = failpoint
        self._assembly = Assembly(files, ledger, publish, prefix, bucket)
        self._uncounted_acks = 0
        self._refused: set[str] = set()
        self._absent: dict[Epoch, int] = {}
        self.write_error: str | None = None

    def run(self, stop: threading.Event, each: Callable[[], None]) -> None:
        """Until `stop`; `each` is called after every round, a few times a second at least."""
        while not stop.is_set():
            self.step(IDLE_S)
            each()
        self.step(0.0)
        self._count_acks()
        self._assembly.stop()

    def step(self, wait_s: float) -> int:
        """Books and acknowledges one group; returns how many messages it had."""
        group = self._take(wait_s)
        if released := self._assembly.collect():
            self._acknowledge((), (), released)
        if not group:
            self._count_acks()
            return 0
        judged = self._judged(group)
        deliveries = [item for item in judged if isinstance(item, Delivery)]
        landed = self._assembly.land([item for item in judged if isinstance(item, Chunk)])
        if landed:
            self._failpoint("chunks-landed")
        intake = Intake(
            deliveries=deliveries,
            statuses=[item for item in judged if isinstance(item, Status)],
            rejections=[item for item in judged if isinstance(item, Rejection)],
            catalogues=[item for item in judged if isinstance(item, Announced)],
            messages=len(group),
            nbytes=sum(len(received.payload) for received in group),
            acks_sent=self._uncounted_acks,
            chunks=landed,
        )
        if self._commit(intake):
            self._uncounted_acks = 0
            self._acknowledge(deliveries, *self._assembly.complete(deliveries, landed))
            needed = [(item.vehicle, item.hash) for item in judged if isinstance(item, Needed)]
            self._say_catalogues(intake, needed)
            self._assembly.ask(deliveries, landed, intake.rejections)
        self._say_refusals(intake)
        return len(group)

    def _judged(self, group: Sequence[Received]) -> list[Judged | None]:
        """What the messages are; a catalogue serves those that come after it."""
        judged = []
        for received in group:
            item = judge(self._prefix, received, self._ledger.shelf.find)
            if isinstance(item, Announced):
                self._ledger.shelf.put(item)
            judged.append(item)
        return judged

    def _say_catalogues(self, intake: Intake, needed: Sequence[tuple[str, str]]) -> None:
        have = [(one.vehicle, one.hash) for one in intake.catalogues]
        for vehicle, payload in about_catalogues(have, needed):
            self._publish(topics.acks(self._prefix, vehicle), payload)

    def _take(self, wait_s: float) -> list[Received]:
        try:
            group = [self._inbox.get(timeout=wait_s) if wait_s else self._inbox.get_nowait()]
        except queue.Empty:
            return []
        deadline = time.monotonic() + GROUP_S
        nbytes = len(group[0].payload)
        while len(group) < MAX_GROUP and nbytes < MAX_GROUP_BYTES:
            try:
                received = self._inbox.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            group.append(received)
            nbytes += len(received.payload)
        return group

    def _commit(self, intake: Intake) -> bool:
        try:
            outcome = self._ledger.commit(intake)
        except sqlite3.Error as error:
            if str(error) != self.write_error:
                log.error(
                    "the ledger cannot be written (%s); nothing is acknowledged until it can, "
                    "free space or repair the disk",
                    error,
                )
            self.write_error = str(error)
            return False
        if self.write_error is not None:
            log.info("the ledger is written again")
        self.write_error = None
        self._say_absent(outcome.absent)
        return True

    def _say_absent(self, found: Mapping[Epoch, Sequence[Range]]) -> None:
        for key, gone in found.items():
            n = sum(last - first + 1 for first, last in gone)
            if self._absent.get(key) == n:
                continue
            if len(self._absent) < MAX_REFUSED:
                self._absent[key] = n
            log.error(
                "%s: %d records of epoch %s, %d to %d, were acknowledged and are not in this "
                "ledger: was it put back from an older copy, or is it another one? The vehicle has "
                "deleted them; `python -m cloud report` lists them as absent",
                *(key[0], n, key[1], gone[0].first, gone[-1].last),
            )

    def _acknowledge(
        self,
        deliveries: Sequence[Delivery],
        withheld: Collection[Waiting],
        released: Sequence[Waiting],
    ) -> None:
        self._failpoint("before-ack")
        batches = [delivery.batch for delivery in deliveries]
        for vehicle, payload in acknowledgements(batches, withheld, released):
            if self._publish(topics.acks(self._prefix, vehicle), payload):
                self._uncounted_acks += 1
        self._failpoint("after-ack")

    def _count_acks(self) -> None:
        """In a quiet moment; else the next commit counts them."""
        if self._uncounted_acks and self._commit(Intake(acks_sent=self._uncounted_acks)):
            self._uncounted_acks = 0

    def _say_refusals(self, intake: Intake) -> None:
        for delivery in intake.deliveries:
            self._refused.discard(topics.sender(self._prefix, delivery.batch.vehicle))
        for received, reason in intake.rejections:
            sender = received.topic.rpartition("/up/")[0] or received.topic
            if sender in self._refused or len(self._refused) >= MAX_REFUSED:
                continue
            self._refused.add(sender)
            log.warning("%s: message refused, not acknowledged: %s", received.topic[:200], reason)
