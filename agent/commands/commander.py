"""Commands from the cloud: verified, written down, done at most once, answered.

    door -> verify -> intent on flash -> effect -> result on flash -> reply in the outbox

Its thread `commands` owns the journal. A kill between two of these steps is mended at the next
start: what was only intended is repeated where that does no harm and where its key, its role and
its time still allow it, else answered as unknown; a result whose reply may not have reached the
outbox is said again.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from agent.alarms import Alarm, of
from agent.commands.door import Bucket, Door
from agent.commands.gate import Gate, Trust
from agent.commands.operation import Operation, Outcome
from agent.commands.refusal import Refused, Why
from agent.commands.replies import CID, Signer, fitting, reply
from agent.record import Kind, Record
from agent.store.journal import Entry, Journal, JournalRefuses

log = logging.getLogger("brain.commands")

PAUSE_S = 0.5
LOG_BURST, LOG_RATE_HZ = 5.0, 1 / 60


def nowhere(failpoint: str) -> None:
    """The failpoint of the field: none."""


class Commander:
    """Takes what the door let in."""

    def __init__(
        self,
        vehicle: str,
        trust: Trust,
        door: Door,
        journal: Journal,
        signer: Signer,
        operations: Iterable[Operation],
        *,
        say: Callable[[Record], None],
        utc_ms: Callable[[], int | None],
        beat: Callable[[], None],
        tick: Callable[[], None] = lambda: None,
        failpoint: Callable[[str], None] = nowhere,
    ) -> None:
        """`say` hands a record to the pipeline, `told` hears when it is on flash."""
        self._door = door
        self._journal = journal
        self._signer = signer
        self._operations = {operation.name: operation for operation in operations}
        self._say = say
        self._utc_ms = utc_ms
        self._beat = beat
        self._tick = tick
        self._failpoint = failpoint
        self._gate = Gate(vehicle, trust, journal, self._operations, utc_ms)
        self._log_bucket = Bucket(LOG_BURST, LOG_RATE_HZ)
        self._running: set[str] = set()
        self._over: queue.SimpleQueue[tuple[str, Outcome]] = queue.SimpleQueue()
        self._told: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._unwritten: deque[tuple[str, Outcome]] = deque()
        self._undated: list[Entry] = []
        self.done = 0
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="commands")

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End after what it is at."""
        self._stop.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(2.0)

    @property
    def trust(self) -> Trust:
        """Whose commands count just now."""
        return self._gate.trust

    def trust_now(self, trust: Trust, topic: str) -> None:
        """From now on these keys count, and this topic. From any thread."""
        self._gate.trust, self._door.topic = trust, topic

    def knock(self, topic: str, payload: bytes, retained: bool) -> None:
        """A message for us. From the network's thread; never blocks, never raises."""
        self._door.knock(topic, payload, retained)
        self._wake.set()

    def finish(self, cid: str, outcome: Outcome) -> None:
        """A command is over. From any thread."""
        self._over.put((cid, outcome))
        self._wake.set()

    def told(self, records: Sequence[Record]) -> None:
        """These are on flash. From the pipeline's thread."""
        for record in records:
            if record.kind is Kind.REPLY and CID in record.values:
                self._told.put(str(record.values[CID]))

    def interim(self, cid: str, outcome: Outcome) -> None:
        """Say how it stands with a command that goes on."""
        self._reply(cid, outcome)

    def status(self) -> dict[str, object]:
        """For `brain commands`."""
        return {
            "keys": {
                kid: {"issuer": key.issuer, "role": key.role, "revoked": key.revoked}
                for kid, key in self.trust.keys.items()
            },
            "roles": {role: sorted(names) for role, names in self.trust.roles.items()},
            "operations": sorted(self._operations),
            "reply_key": self._signer.public,
            "running": sorted(self._running),
            "done": self.done,
            "refused": self._door.counts(),
        }

    def _run(self) -> None:
        self.recover()
        while not self._stop.is_set():
            self._beat()
            self._wake.wait(PAUSE_S)
            self._wake.clear()
            self.step()
        self._journal.close()

    def recover(self) -> None:
        """What the last life left open. Call once, before the first `step`."""
        self._date_journal()
        self._hear_ends()
        try:
            untold, intended = self._journal.untold(), self._journal.intended()
            admitted = self._journal.admitted()
        except JournalRefuses as error:
            log.error("%s; commands are refused", error, extra=of(Alarm.COMMAND_REFUSED))
            return
        for entry in untold:
            self._reply(entry.cid, Outcome(entry.state, entry.code, entry.text, entry.result or {}))
        for entry in admitted:
            text = "interrupted: the agent ended before it ran; send it anew"
            self._conclude(entry.cid, Outcome("unknown", "interrupted", text))
        over = {cid for cid, _ in self._unwritten}
        for entry in intended:
            if entry.cid not in over:
                self._take_up(entry)

    def _take_up(self, entry: Entry) -> None:
        """Go on with what an earlier life began, or say that it is not known what came of it."""
        operation = self._operations.get(entry.op)
        if operation is not None and operation.goes_on(entry.cid):
            self._running.add(entry.cid)
            return
        if operation is None or not operation.repeatable or not entry.expires_s:
            text = "interrupted: the agent ended while it ran; it is not repeated"
            self._conclude(entry.cid, Outcome("unknown", "interrupted", text))
            return
        refused = self._gate.again(entry)
        if refused is None:
            log.info("%s (%s) was interrupted, it is repeated", entry.op, entry.cid)
            self._begin(operation, entry)
        elif refused.why is Why.NO_CLOCK:
            # After a power cut the clock comes later than we do: it is judged then.
            self._undated.append(entry)
        else:
            text = f"interrupted, and not repeated: {refused.text}"
            self._conclude(entry.cid, Outcome("unknown", refused.why.value, text))

    def step(self) -> None:
        """All that is to be done just now."""
        self._tick()
        self._date_journal()
        self._journal.withdraw()
        if self._undated and self._utc_ms() is not None:
            undated, self._undated = self._undated, []
            for entry in undated:
                self._take_up(entry)
        told = []
        while not self._told.empty():
            told.append(self._told.get())
        self._hear_ends()
        if told:
            try:
                self._journal.told(told)
            except JournalRefuses as error:
                log.debug("%s", error)
        while (message := self._door.take()) is not None and not self._stop.is_set():
            self._beat()
            try:
                self._take(message)
            # The message is hostile input: whatever it found, it costs that message only.
            except Exception as error:
                log.debug("a command could not be judged", exc_info=True)
                self._refuse(Refused(Why.MALFORMED, type(error).__name__))

    def _date_journal(self) -> None:
        """Note since when it remembers, as soon as a clock is known; not at the first command."""
        if self._journal.born_s is None and (utc_ms := self._utc_ms()) is not None:
            try:
                self._journal.begin(utc_ms // 1000)
            except JournalRefuses as error:
                log.debug("%s", error)

    def _hear_ends(self) -> None:
        over = list(self._unwritten)
        self._unwritten.clear()
        while not self._over.empty():
            over.append(self._over.get())
        for cid, outcome in over:
            self._conclude(cid, outcome)

    def _take(self, message: bytes) -> None:
        """One message, from its signature to its intent."""
        try:
            admitted = self._gate.admit(message, len(self._running))
            self._failpoint("verified")
            self._journal.intend(admitted.entry, admitted.known_s)
        except Refused as error:
            self._refuse(error)
            return
        except JournalRefuses as error:
            self._refuse(Refused(Why.NOT_DURABLE, str(error)))
            return
        self._failpoint("intended")
        entry = admitted.entry
        if admitted.refused is not None:
            self._refuse(admitted.refused)
            self._reply(entry.cid, Outcome("refused", entry.code, entry.text))
            return
        log.info(
            "%s by %s (%s), %s: %s", entry.op, entry.issuer, entry.kid, entry.cid, entry.purpose
        )
        self._begin(self._operations[entry.op], entry)

    def _begin(self, operation: Operation, entry: Entry) -> None:
        cid = entry.cid
        self._running.add(cid)
        try:
            operation.run(cid, entry.args, lambda outcome: self.finish(cid, outcome))
        except (ValueError, OSError, JournalRefuses) as error:
            self.finish(cid, Outcome("failed", "failed", str(error)))
        # A defect in one operation must not leave a command open that every start repeats.
        except Exception as error:
            log.error("%s (%s) failed: %s: %s", entry.op, cid, type(error).__name__, error)
            self.finish(cid, Outcome("failed", "failed", type(error).__name__))
        self._failpoint("effected")

    def _conclude(self, cid: str, outcome: Outcome) -> None:
        outcome = Outcome(outcome.state, outcome.code, outcome.text[:500], fitting(outcome.result))
        try:
            self._journal.finish(
                cid, outcome.state, outcome.code, outcome.text, dict(outcome.result)
            )
        except JournalRefuses as error:
            log.warning("the result of %s is not on flash yet: %s", cid, error)
            self._unwritten.append((cid, outcome))
            return
        self._failpoint("concluded")
        self._running.discard(cid)
        self.done += 1
        log.info("%s: %s %s", cid, outcome.state, outcome.text or outcome.code)
        self._reply(cid, outcome)

    def _reply(self, cid: str, outcome: Outcome) -> None:
        try:
            entry = self._journal.entry(cid)
        except JournalRefuses:
            entry = None
        said = reply(cid, entry, outcome, self._utc_ms())
        self._say(self._signer.record(said))
        self._failpoint("said")

    def _refuse(self, refused: Refused) -> None:
        self._door.count(refused.why)
        if self._log_bucket.take():
            log.warning("a command was refused: %s", refused, extra=of(Alarm.COMMAND_REFUSED))
