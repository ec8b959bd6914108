"""From the frames of one bus to what is worth stating: pure, time comes with the frames.

The cost of a frame is decided here. On a bus nearly all frames repeat the payload before them, so
the text of a line, or the kernel's can_frame, is compared with the one before and converted only
where it differs. Of a message that differs only the signals that differ are stated.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Iterable, Mapping, Sequence

from drivers.codecs.j1939 import TP_CM, TP_DT, Transport, split_id
from drivers.fms_j1939 import can_raw
from drivers.fms_j1939.beliefs import Beliefs, Statement
from drivers.fms_j1939.dynamics import WATCHED, Dynamics
from drivers.fms_j1939.frames import HEX_DIGITS, Frame, parse
from drivers.fms_j1939.guards import GUARDS, Step
from drivers.fms_j1939.pgn import Pgn
from drivers.fms_j1939.senders import Voice
from drivers.fms_j1939.staleness import Staleness
from drivers.fms_j1939.table import PGNS
from drivers.fms_j1939.voices import Voices

__all__ = ["REPEAT_MS", "Receiver", "Statement"]

REPEAT_MS = 1000
"""An unchanged payload is stated again after this long, so that nobody works with old values."""

# Identifiers remembered at a time; a healthy bus has some 300. Beyond it all are learnt anew.
_MAX_IDENTIFIERS = 4096

# Multiplexed identifiers, and messages remembered of each: axles, components, tell-tale blocks.
_MAX_TURNS = 64

_LINE_LENGTH = {str(n).encode(): 10 + 2 * n for n in range(9)}


class Receiver:
    """Takes the frames of one bus in order and says what they state.

    `prefer` maps signals, and parameter groups by name, to source addresses in order of trust;
    `pgns` are the parameter groups to know, `guards` the signals whose jumps are doubted;
    `dynamics` hears of trouble codes and addresses.
    `frames_read` counts all frames that arrived, `frames_rejected` those of them that are no J1939
    data frames (11-bit, remote, FD) and the damaged lines, which are no frames.
    """

    def __init__(
        self,
        prefer: Mapping[str, Sequence[int]] | None = None,
        *,
        pgns: Mapping[int, Pgn] = PGNS,
        guards: Mapping[str, Step] = GUARDS,
        dynamics: Dynamics | None = None,
    ) -> None:
        self._dynamics = dynamics or Dynamics()
        self._pgns = pgns
        self._beliefs = Beliefs(pgns.values(), prefer or {}, guards)
        self._staleness = Staleness()
        self._transport = Transport()
        self._voices = Voices(self._beliefs)
        self._forgotten = 0
        # What an identifier of the wire is about: one voice, or by their frames the voices of a
        # multiplexed message, or nothing that we know.
        self._single: dict[bytes, Voice] = {}
        self._turns: dict[bytes, dict[bytes, Voice]] = {}
        self._ignored: set[bytes] = set()
        self._latest_ms = 0
        self._judged_frames = 0
        self.frames_read = 0
        self.frames_rejected = 0

    def lines(self, lines: Iterable[bytes], at_ms: int) -> list[Statement]:
        """What SLCAN lines, read at `at_ms` boot time, state beyond what was stated lately."""
        said: list[Statement] = []
        self._latest_ms = at_ms
        single, ignored, turns = self._single, self._ignored, self._turns
        known = 0  # frames that needed no more than a look
        for line in lines:
            key = line[:9]
            voice = single.get(key)
            if voice is not None:
                if line == voice.whole and at_ms - voice.stated_ms < REPEAT_MS:
                    voice.seen_ms = at_ms
                    known += 1
                    continue
                if len(line) == _LINE_LENGTH.get(line[9:10]):
                    try:
                        payload = unhexlify(line[10:])
                    except ValueError:
                        self.frames_rejected += 1
                        continue
                    if voice.pgn.key(payload) == voice.multiplexer:
                        self.frames_read += 1
                        voice.whole = line
                        said += self._message(voice, payload, at_ms)
                        continue
            elif key in ignored:
                if (
                    len(line) == _LINE_LENGTH.get(line[9:10])
                    and line.translate(None, HEX_DIGITS) == b"T"
                ):
                    known += 1
                    continue
            elif key in turns:
                voice = turns[key].get(line)
                if (
                    voice is not None
                    and line == voice.whole
                    and at_ms - voice.stated_ms < REPEAT_MS
                ):
                    voice.seen_ms = at_ms
                    known += 1
                    continue
            try:
                frame = parse(line)
            except ValueError:
                self.frames_rejected += 1
                continue
            said += self._whole(key, line, frame, at_ms)
        self.frames_read += known
        return said

    def can_frames(self, stamped: Iterable[tuple[bytes, int]]) -> list[tuple[int, list[Statement]]]:
        """What can_frames or canfd_frames, each with its boot time in ms, state beyond the known.

        Error frames are none of the bus: keep them out.
        """
        said: list[tuple[int, list[Statement]]] = []
        single, ignored, turns = self._single, self._ignored, self._turns
        known = 0  # frames that needed no more than a look
        for raw, at_ms in stamped:
            self._latest_ms = at_ms
            key = raw[:4]
            voice = single.get(key)
            if voice is not None:
                if raw == voice.whole and at_ms - voice.stated_ms < REPEAT_MS:
                    voice.seen_ms = at_ms
                    known += 1
                    continue
            elif key in ignored:
                if len(raw) == can_raw.FRAME_BYTES:
                    known += 1
                    continue
            elif key in turns:
                voice = turns[key].get(raw)
                if voice is not None and raw == voice.whole and at_ms - voice.stated_ms < REPEAT_MS:
                    voice.seen_ms = at_ms
                    known += 1
                    continue
            try:
                frame = can_raw.unpack(raw)
            except ValueError:
                self.reject()
                continue
            statements = self._whole(key, raw, frame, at_ms)
            if statements:
                said.append((at_ms, statements))
        self.frames_read += known
        return said

    def frame(self, frame: Frame, at_ms: int) -> list[Statement]:
        """What one frame, read at `at_ms` boot time, states beyond what was stated lately."""
        self._latest_ms = at_ms
        return self._whole(None, b"", frame, at_ms)

    def reject(self) -> None:
        """Count a frame of a kind that J1939 at 250 kbit/s does not have: FD."""
        self.frames_read += 1
        self.frames_rejected += 1

    def missing(self, now_ms: int) -> list[Statement]:
        """Which signals are missing at `now_ms` boot time: each once, until it is heard again.

        Call it after each read. Where that read brought frames, more may wait: then silence is
        judged by the boot time of the last of them. What was never heard is not missing.
        """
        if self.frames_read != self._judged_frames:
            self._judged_frames = self.frames_read
            now_ms = self._latest_ms
        return self._beliefs.missing(self._staleness.fallen(self._voices, now_ms))

    def gone(self) -> list[Statement]:
        """Everything is missing, save what speaks on change only: the bus cannot be read."""
        return self._beliefs.missing(
            voice for voice in self._voices if voice.limit_ms is not None and not voice.silent
        )

    def believed(self, path: str) -> tuple[int, int] | None:
        """PGN and source address that are believed about a signal; None where it is unheard."""
        voice = self._beliefs.believed(path)
        return None if voice is None else (voice.pgn.number, voice.sa)

    def _whole(self, key: bytes | None, whole: bytes, frame: Frame, at_ms: int) -> list[Statement]:
        """A frame that was taken apart; `whole` is what it came in, `key` its identifier there."""
        self.frames_read += 1
        if not frame.extended or frame.remote:
            self.frames_rejected += 1
            return []
        _, number, sa, _ = identifier = split_id(frame.can_id)
        payload = frame.payload
        if number in (TP_CM, TP_DT):
            message = self._transport.feed(at_ms / 1000, identifier, payload)
            if message is None:
                return []
            number, sa, payload, key = message.pgn, message.sa, message.payload, None
        pgn = self._pgns.get(number)
        if pgn is None:
            if number in WATCHED:
                self._dynamics.watched(number, sa, payload, at_ms)
            elif key is not None:
                self._ignore(key)
            return []
        voice = self._voices.find(pgn, sa, pgn.key(payload))
        if self._forgotten != self._voices.forgotten:
            self._forgotten = self._voices.forgotten
            self._single.clear()
            self._turns.clear()
        if key is not None:
            self._learn(key, whole, voice)
        voice.whole = whole
        return self._message(voice, payload, at_ms)

    def _message(self, voice: Voice, payload: bytes, at_ms: int) -> list[Statement]:
        """What a message states: nothing where it repeats the one before it within a second."""
        due = at_ms - voice.stated_ms >= REPEAT_MS
        if payload == voice.payload and not due:
            voice.seen_ms = at_ms
            return []
        voice.hear(at_ms)
        if due:
            voice.stated_ms = at_ms
        if payload != voice.payload:
            self._dynamics.changed(voice.pgn, voice.sa, voice.multiplexer, payload, at_ms)
        readings = voice.rereading.read(payload, voice.payload, voice.readings)
        voice.payload = payload
        said = self._beliefs.state(voice, readings, at_ms, everything=due)
        together = voice.together
        if together is not None and together.composer is not None:
            composed = together.composer.add(payload, readings)
            together.hear(at_ms)
            said += self._beliefs.state(together, composed, at_ms, everything=due)
        return said

    def _ignore(self, key: bytes) -> None:
        """Remember that an identifier says nothing that we know."""
        self._bound()
        self._ignored.add(key)

    def _learn(self, key: bytes, whole: bytes, voice: Voice) -> None:
        """Remember what an identifier is about; it is multiplexed where that changes."""
        turns = self._turns.get(key)
        if turns is None:
            known = self._single.get(key)
            if known is None:
                self._bound()
            if known is None or known is voice:
                self._single[key] = voice
                return
            del self._single[key]
            if len(self._turns) >= _MAX_TURNS:
                self._turns.clear()
            turns = self._turns[key] = {}
        if len(turns) >= _MAX_TURNS:
            turns.clear()
        turns.pop(voice.whole, None)
        turns[whole] = voice

    def _bound(self) -> None:
        if len(self._single) + len(self._turns) + len(self._ignored) >= _MAX_IDENTIFIERS:
            self._single.clear()
            self._turns.clear()
            self._ignored.clear()
