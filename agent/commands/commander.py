"""Commands from the cloud: verified, written down, done at most once, answered.

    door -> verify -> intent on flash -> effect -> result on flash -> reply in the outbox

Its thread `commands` owns the journal. A kill between two of these steps is mended at the next
start: what was only intended is repeated where that does no harm, else answered as unknown; a
result whose reply may not have reached the outbox is said again.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.alarms import Alarm, of
from agent.commands import token
from agent.commands.door import Bucket, Door
from agent.commands.judge import Now, check_allowed, check_fresh, check_right
from agent.commands.operation import Operation, Outcome
from agent.commands.refusal import Refused, Why
from agent.commands.replies import CID, Signer, fitting, reply
from agent.record import Kind, Record
from agent.store.journal import Entry, Journal, JournalRefuses

log = logging.getLogger("brain.commands")

PAUSE_S = 0.5
MAX_RUNNING = 4
ISSUER_BURST, ISSUER_RATE_HZ = 10.0, 1 / 60
"""Ten commands at once, one a minute in the long run, for each issuer."""
LOG_BURST, LOG_RATE_HZ = 5.0, 1 / 60


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose commands count: keys by their ids, operations by role."""

    keys: Mapping[str, token.Key]
    roles: Mapping[str, Collection[str]]


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
        self.trust = trust
        self._vehicle = vehicle
        self._door = door
        self._journal = journal
        self._signer = signer
        self._operations = {operation.name: operation for operation in operations}
        self._say = say
        self._utc_ms = utc_ms
        self._beat = beat
        self._tick = tick
        self._failpoint = failpoint
        self._buckets: dict[str, Bucket] = {}
        self._log_bucket = Bucket(LOG_BURST, LOG_RATE_HZ)
        self._running: set[str] = set()
        self._over: queue.SimpleQueue[tuple[str, Outcome]] = queue.SimpleQueue()
        self._told: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._unwritten: deque[tuple[str, Outcome]] = deque()
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

    def trust_now(self, trust: Trust, topic: str) -> None:
        """From now on these keys count, and this topic. From any thread."""
        self.trust, self._door.topic = trust, topic

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
        self._hear_ends()
        try:
            untold, intended = self._journal.untold(), self._journal.intended()
        except JournalRefuses as error:
            log.error("%s; commands are refused", error)
            return
        for entry in untold:
            self._reply(entry.cid, Outcome(entry.state, entry.code, entry.text, entry.result or {}))
        for entry in intended:
            operation = self._operations.get(entry.op)
            if operation is not None and operation.repeatable:
                log.info("%s (%s) was interrupted, it is repeated", entry.op, entry.cid)
                self._begin(operation, entry)
            else:
                text = "interrupted: the agent ended while it ran; it is not repeated"
                self._conclude(entry.cid, Outcome("unknown", "interrupted", text))

    def step(self) -> None:
        """All that is to be done just now."""
        self._tick()
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
            key, kid, claims = token.verify(message, self.trust.keys)
            check_right(claims, key, self._vehicle)
            now = self._now(claims.iss)
            check_fresh(claims, now, self._journal.born_s or 0)
            if self._journal.entry(claims.cid) is not None:
                raise Refused(Why.REPLAYED, f"{claims.cid} was seen before")
            if not self._bucket(claims.iss).take():
                raise Refused(Why.QUOTA, f"too many commands of {claims.iss}")
        except Refused as error:
            self._refuse(error)
            return
        except JournalRefuses as error:
            self._refuse(Refused(Why.NOT_DURABLE, str(error)))
            return
        self._failpoint("verified")
        entry = Entry(claims.cid, claims.iss, claims.ctr, kid, claims.op, claims.args, claims.pur)
        refused = self._allowed(claims, now)
        if refused is not None:
            entry = _refused(entry, refused)
        try:
            # Only a time that a clock confirms may hold back later commands.
            known_s = 0 if now.utc_s is None else min(claims.iat, int(now.utc_s))
            self._journal.intend(entry, known_s)
        except JournalRefuses as error:
            self._refuse(Refused(Why.NOT_DURABLE, str(error)))
            return
        self._failpoint("intended")
        if refused is not None:
            self._refuse(refused)
            self._reply(entry.cid, Outcome("refused", entry.code, entry.text))
            return
        log.info(
            "%s by %s (%s), %s: %s", claims.op, claims.iss, claims.role, claims.cid, claims.pur
        )
        self._begin(self._operations[claims.op], entry)

    def _now(self, issuer: str) -> Now:
        utc_ms = self._utc_ms()
        if utc_ms is not None:
            self._journal.begin(utc_ms // 1000)
        utc_s = None if utc_ms is None else utc_ms / 1000
        return Now(utc_s, self._journal.floor_s, self._journal.counter(issuer))

    def _allowed(self, claims: token.Claims, now: Now) -> Refused | None:
        limits = {name: operation.limits for name, operation in self._operations.items()}
        try:
            check_allowed(claims, self.trust.roles, limits, now)
            self._operations[claims.op].check(claims.args)
            if len(self._running) >= MAX_RUNNING:
                return Refused(Why.BUSY, f"{MAX_RUNNING} commands are under way")
        except Refused as error:
            return error
        except ValueError as error:
            return Refused(Why.ARGUMENTS, str(error)[:200])
        return None

    def _begin(self, operation: Operation, entry: Entry) -> None:
        cid = entry.cid
        self._running.add(cid)
        try:
            operation.run(cid, entry.args, lambda outcome: self.finish(cid, outcome))
        except (ValueError, OSError, JournalRefuses) as error:
            self.finish(cid, Outcome("failed", "failed", str(error)))
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

    def _bucket(self, issuer: str) -> Bucket:
        return self._buckets.setdefault(issuer, Bucket(ISSUER_BURST, ISSUER_RATE_HZ))

    def _refuse(self, refused: Refused) -> None:
        self._door.count(refused.why)
        if self._log_bucket.take():
            log.warning("a command was refused: %s", refused, extra=of(Alarm.COMMAND_REFUSED))


def _refused(entry: Entry, refused: Refused) -> Entry:
    """Its arguments are of no use any more, and may be large."""
    return replace(entry, args={}, state="refused", code=refused.why.value, text=refused.text)
