"""From the frames of one bus to what is worth stating: pure, time comes with the frames.

The cost of a frame is decided here. On a bus nearly all frames repeat the payload before them, so
the text of a line, or the kernel's can_frame, is compared with the one before and converted only
where it differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from agent.sdk import Group, Scalar, State
from drivers.codecs.j1939 import TP_CM, TP_DT, Transport, split_id
from drivers.fms_j1939 import can_raw
from drivers.fms_j1939.frames import HEX_DIGITS, Frame, parse
from drivers.fms_j1939.spn import Pgn
from drivers.fms_j1939.table import PGNS

REPEAT_MS = 1000
"""An unchanged payload is stated again after this long, so that nobody works with old values."""

# Identifiers remembered at a time; a healthy bus has some 300. Beyond it all are learnt anew.
_MAX_IDENTIFIERS = 4096

_NEVER = -(1 << 62)

_LINE_LENGTH = {str(n).encode(): 10 + 2 * n for n in range(9)}


class Statement(NamedTuple):
    """What one message says, ready to be emitted."""

    group: Group
    values: dict[str, Scalar]
    states: dict[str, State]


class _Sender:
    """One source address that sends one PGN: what it said last, and when that was stated."""

    __slots__ = ("payload", "seen_ms", "stated_ms", "whole")

    def __init__(self) -> None:
        # The SLCAN line or can_frame that `payload` came in.
        self.whole = b""
        self.payload = b""
        self.stated_ms = _NEVER
        self.seen_ms = _NEVER


class _Followed:
    """One PGN and the one sender of it that is believed.

    Two units may send the same PGN and disagree. The preferred one wins, then the lowest address;
    it is followed until it has been silent for a while, so values never flap between two senders.
    """

    def __init__(self, pgn: Pgn, prefer: Sequence[int]) -> None:
        self.pgn = pgn
        self._senders: dict[int, _Sender] = {}
        self._prefer = list(prefer)
        self._silence_ms = int(pgn.silence_s * 1000)
        self._believed: _Sender | None = None
        self._rank = 0

    def sender(self, sa: int) -> _Sender:
        """The sender with address `sa`."""
        known = self._senders.get(sa)
        if known is None:
            known = self._senders[sa] = _Sender()
        return known

    def believes(self, sender: _Sender, sa: int, at_ms: int) -> bool:
        """Whether `sender`, heard now, is the one to follow."""
        believed = self._believed
        if sender is believed:
            return True
        rank = self._prefer.index(sa) if sa in self._prefer else 256 + sa
        if believed is None or rank < self._rank or at_ms - believed.seen_ms > self._silence_ms:
            self._believed, self._rank = sender, rank
            sender.stated_ms = _NEVER
            return True
        return False


class Receiver:
    """Takes the frames of one bus in order and says what they state.

    `prefer` maps names of groups to source addresses in order of trust. `frames_read` counts all
    frames that arrived, `frames_rejected` those of them that are no J1939 data frames (11-bit,
    remote, FD) and the damaged lines, which are no frames.
    """

    def __init__(
        self,
        prefer: Mapping[str, Sequence[int]] | None = None,
        *,
        pgns: Mapping[int, Pgn] = PGNS,
    ) -> None:
        wanted = prefer or {}
        self._followed = {
            number: _Followed(pgn, wanted.get(pgn.group.name, pgn.prefer))
            for number, pgn in pgns.items()
        }
        self._transport = Transport()
        self._senders: dict[bytes, _Sender] = {}
        self._ignored: set[bytes] = set()
        self.frames_read = 0
        self.frames_rejected = 0

    def lines(self, lines: Iterable[bytes], at_ms: int) -> list[Statement]:
        """What SLCAN lines, read at `at_ms` boot time, state beyond what was stated lately."""
        said: list[Statement] = []
        senders = self._senders
        for line in lines:
            key = line[:9]
            sender = senders.get(key)
            if sender is not None:
                if line == sender.whole and at_ms - sender.stated_ms < REPEAT_MS:
                    sender.seen_ms = at_ms
                    self.frames_read += 1
                    continue
            elif key in self._ignored and (
                len(line) == _LINE_LENGTH.get(line[9:10])
                and line.translate(None, HEX_DIGITS) == b"T"
            ):
                self.frames_read += 1
                continue
            try:
                frame = parse(line)
            except ValueError:
                self.frames_rejected += 1
                continue
            statement = self.frame(frame, at_ms)
            if statement is not None:
                said.append(statement)
            if frame.extended and not frame.remote:
                self._learn(key, line, frame)
        return said

    def can_frames(self, stamped: Iterable[tuple[bytes, int]]) -> list[tuple[int, list[Statement]]]:
        """What can_frames or canfd_frames, each with its boot time in ms, state beyond the known.

        Error frames are none of the bus: keep them out.
        """
        said: list[tuple[int, list[Statement]]] = []
        senders, ignored = self._senders, self._ignored
        for raw, at_ms in stamped:
            key = raw[:4]
            sender = senders.get(key)
            if sender is not None:
                if raw == sender.whole and at_ms - sender.stated_ms < REPEAT_MS:
                    sender.seen_ms = at_ms
                    self.frames_read += 1
                    continue
            elif key in ignored and len(raw) == can_raw.FRAME_BYTES:
                self.frames_read += 1
                continue
            try:
                frame = can_raw.unpack(raw)
            except ValueError:
                self.reject()
                continue
            statement = self.frame(frame, at_ms)
            if statement is not None:
                said.append((at_ms, [statement]))
            if frame.extended and not frame.remote:
                self._learn(key, raw, frame)
        return said

    def frame(self, frame: Frame, at_ms: int) -> Statement | None:
        """What one frame, read at `at_ms` boot time, states beyond what was stated lately."""
        self.frames_read += 1
        if not frame.extended or frame.remote:
            self.frames_rejected += 1
            return None
        identifier = split_id(frame.can_id)
        if identifier.pgn not in (TP_CM, TP_DT):
            return self._message(identifier.pgn, identifier.sa, frame.payload, at_ms)
        message = self._transport.feed(at_ms / 1000, identifier, frame.payload)
        if message is None:
            return None
        return self._message(message.pgn, message.sa, message.payload, at_ms)

    def reject(self) -> None:
        """Count a frame of a kind that J1939 at 250 kbit/s does not have: FD."""
        self.frames_read += 1
        self.frames_rejected += 1

    def _message(self, number: int, sa: int, payload: bytes, at_ms: int) -> Statement | None:
        followed = self._followed.get(number)
        if followed is None:
            return None
        sender = followed.sender(sa)
        believed = followed.believes(sender, sa, at_ms)
        sender.seen_ms = at_ms
        if not believed or (payload == sender.payload and at_ms - sender.stated_ms < REPEAT_MS):
            return None
        sender.payload = payload
        sender.stated_ms = at_ms
        values: dict[str, Scalar] = {}
        states: dict[str, State] = {}
        for spn, _, state, plausible, path, stated in followed.pgn.read(payload):
            if path is None or spn.fallback:
                continue
            if stated is not None and plausible:
                values[path] = stated
            else:
                states[path] = state or State.IMPLAUSIBLE
        return Statement(followed.pgn.group, values, states) if values or states else None

    def _learn(self, key: bytes, whole: bytes, frame: Frame) -> None:
        """Remember what this identifier is about, and the whole of a frame that was stated."""
        identifier = split_id(frame.can_id)
        if len(self._senders) + len(self._ignored) >= _MAX_IDENTIFIERS:
            self._senders.clear()
            self._ignored.clear()
        followed = self._followed.get(identifier.pgn)
        if followed is not None:
            sender = self._senders[key] = followed.sender(identifier.sa)
            if sender.payload == frame.payload:
                sender.whole = whole
        elif identifier.pgn not in (TP_CM, TP_DT):
            self._ignored.add(key)
