"""Sends files between all else: manifests, one chunk at a time, what the broker says about them.

A chunk goes only while nothing more important wants to go, and the next one only when the broker
has it: an alarm waits behind one chunk at most, and a cut costs one chunk at most. Files that go
first take turns with history. Used by the pump's thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from agent.record import StorageClass
from agent.spool import Spool
from agent.store.rows import RowHead
from agent.uplink import need
from agent.uplink.budget import UNLIMITED, Budget
from agent.uplink.delivery import Delivery
from agent.uplink.endpoint import NOT_AUTHORIZED, Arrived, Confirmed, Connected
from agent.uplink.files import Files
from agent.uplink.flight import Cargo, Slice
from agent.uplink.loading import Loader, Source
from agent.uplink.plan import Link, Priority, Waiting, roomy
from agent.uplink.putter import Putter
from agent.uplink.refusals import FAILURE, RETRY_S, SLOW_DOWN_S, TOO_FAST
from agent.uplink.sending import Sender
from agent.uplink.settings import UplinkConfig
from agent.uplink.topics import Topics
from agent.uplink.upload import LARGEST_CHUNK_BYTES, LEAST_CHUNK_BYTES
from agent.uplink.wire import Passed

log = logging.getLogger("brain.uplink")

MAX_ASKED = 8
"""Manifests that the broker has not confirmed."""
FRAME_BYTES = 160
"""Of a chunk beside its content: version, CRC, and a topic that is longer than that of batches."""

Message = tuple[int, int]


class Courier:
    """`spool` None: there are no files, and their records go like all others."""

    def __init__(
        self,
        spool: Spool | None,
        config: UplinkConfig,
        topics: Topics,
        loader: Loader,
        sender: Sender,
        delivery: Delivery,
        wake: Callable[[], None],
    ) -> None:
        self._topics = topics
        self._loader = loader
        self._sender = sender
        self._delivery = delivery
        self._refusals = sender.refusals
        self._files: Files | None = None
        self._putter: Putter | None = None
        if spool is not None:
            if config.files_url:
                self._putter = Putter(config.files_url, config.files_ca_file, spool.open, wake)
            self._files = Files(
                spool,
                delivery,
                sender.refusals.give_up,
                ask_s=config.ack_timeout_s,
                first=config.files_first,
                putter=self._putter,
            )
        self._asked: dict[Message, RowHead] = {}
        self._largest = LARGEST_CHUNK_BYTES
        self._yielded = True
        self._deaf = False
        self.sent_chunks = self.resent_chunks = 0

    @property
    def unconfirmed(self) -> list[tuple[int, float]]:
        """(bytes, since when) of each chunk that the broker owes its confirmation for."""
        if self._files is None:
            return []
        return [(chunk.nbytes, chunk.sent_at) for chunk in self._files.unconfirmed()]

    def connected(self, told: Connected) -> None:
        """A new connection; where it does not tell what the cloud needs, no file goes."""
        self._deaf = self._topics.need in told.deaf_to

    def sort_out(self, waiting: Waiting, source: Source) -> Waiting:
        """What waits, without the rows that name files. Raises READ_ERRORS."""
        if self._files is None:
            return waiting
        return replace(waiting, bulk=self._files.sort_out(waiting.bulk, source))

    def yields(self, now: float) -> None:
        """Something more important is sent: parts that go another way let it pass."""
        if self._putter is not None:
            self._putter.yields(now)

    def bill(self, put: Callable[[int, Passed], None]) -> None:
        """Tell `put` what the parts that go another way cost since the last time."""
        for cost in [] if self._putter is None else self._putter.costs():
            put(*cost)

    def next_moment(self) -> float | None:
        """When there may be something to send by the clock alone."""
        return None if self._files is None else self._files.next_ask()

    def send(
        self,
        link: Link,
        source: Source,
        now: float,
        budget: Budget = UNLIMITED,
        *,
        urgent: bool = False,
    ) -> bool:
        """Send a manifest or a chunk; False where there is none or it must wait.

        `urgent`: only of files that go first, and only every other time.
        """
        if urgent:
            self._yielded = not self._yielded
            if not self._yielded:
                return False
        if self._files is None or self._deaf or self._sender.generation is None:
            return False
        open_class = StorageClass.BULK not in link.paused and budget.allows(StorageClass.BULK)
        if open_class:
            self._files.put_parts(now)
        if link.messages < 1 or link.nbytes <= 0:
            return False
        if not open_class or not roomy(link) or self._files.unconfirmed():
            return False
        if self._sender.probing() or self._sender.clearing(now):
            return False
        if not urgent and len(self._asked) < MAX_ASKED:
            head = self._files.manifest(now)
            if head is not None:
                return self._ask(head, source, now)
        most = min(link.portion, link.max_payload - FRAME_BYTES, self._largest)
        return self._send_chunk(max(most, LEAST_CHUNK_BYTES), now, urgent=urgent)

    def _ask(self, head: RowHead, source: Source, now: float) -> bool:
        assert self._files is not None
        cargo = Cargo(Priority.BULK, head.epoch, (Slice.whole(head),))
        loaded = self._loader.load(cargo, source)
        if loaded.refused or loaded.payload is None:
            self._refusals.give_up(head, "damaged" if loaded.refused else "refused")
            return True
        message = self._sender.hand_over(self._topics.of(StorageClass.BULK), loaded.payload, now)
        if message is None:
            return False
        self._asked[message] = head
        self._files.announced(head, now)
        return True

    def _send_chunk(self, max_bytes: int, now: float, *, urgent: bool) -> bool:
        assert self._files is not None
        part = self._files.next_part(max_bytes, now, urgent=urgent)
        if part is None:
            return False
        topic = self._topics.chunk(part.upload.sha256, part.blocks.first)
        message = self._sender.hand_over(topic, part.payload, now)
        if message is None:
            return False
        vain = part.upload.vain
        self.sent_chunks += 1
        self.resent_chunks += part.upload.sent(part.blocks, message, now)
        if part.upload.vain > vain:
            text = "file %.12s is asked for again and again: it waits %.0f s"
            log.warning(text, part.upload.sha256, part.upload.held_until - now)
        return True

    # --- what comes back -----------------------------------------------------------------------

    def confirmed(self, event: Confirmed, now: float) -> tuple[int, float] | None:
        """The broker answered; (bytes, when it was sent) where it has a chunk now."""
        message = (event.generation, event.mid)
        if self._asked.pop(message, None) is not None:
            topic = self._topics.of(StorageClass.BULK)
            self._sender.answered(event.code, now)
            if event.code < FAILURE:
                self._refusals.permitted(StorageClass.BULK, topic)
            elif event.code == NOT_AUTHORIZED:
                self._forbidden(topic, now)
            return None
        found = None if self._files is None else self._files.find(message)
        if found is None:
            return None
        upload, chunk = found
        topic = self._topics.chunk(upload.sha256, chunk.first)
        self._sender.answered(event.code, now)
        if event.code < FAILURE:
            self._refusals.permitted(StorageClass.BULK, topic)
            upload.confirmed(chunk, now)
            return chunk.nbytes, chunk.sent_at
        upload.refused(chunk)
        if event.code == NOT_AUTHORIZED:
            self._forbidden(topic, now)
        elif event.code in TOO_FAST:
            upload.held_until = now + SLOW_DOWN_S
        else:
            self._largest = max(LEAST_CHUNK_BYTES, chunk.nbytes // 2)
            upload.held_until = now + RETRY_S
        return None

    def arrived(self, event: Arrived) -> bool:
        """Whether a message was about a file."""
        if event.topic != self._topics.need:
            return False
        if self._files is not None:
            try:
                self._files.need(need.parse(event.payload))
            except need.NoNeed as error:
                log.warning("what the cloud needs of a file cannot be read: %s", error)
        return True

    def lost(self, now: float, *, by_peer: bool) -> None:
        """The connection is gone."""
        self._asked.clear()
        self._largest = LARGEST_CHUNK_BYTES
        if self._files is not None:
            self._files.lost(now, by_peer=by_peer)

    def status(self) -> dict[str, object]:
        """What people may know: files that wait, and what was sent of them in this life."""
        uploads = [] if self._files is None else list(self._files.uploads)
        return {
            "files": len(uploads),
            "sent_chunks": self.sent_chunks,
            "resent_chunks": self.resent_chunks,
            "put_bytes": 0 if self._putter is None else self._putter.sent_bytes,
        }

    def close(self) -> None:
        """Close what is open."""
        if self._putter is not None:
            self._putter.stop()
        if self._files is not None:
            self._files.close()

    def _forbidden(self, topic: str, now: float) -> None:
        text = f"the broker does not allow {topic}: correct its access rules"
        self._refusals.pause(StorageClass.BULK, text, now)
