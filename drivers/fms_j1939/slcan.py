"""An SLCAN adaptor on a serial port, opened listen-only. There is no code here that transmits.

The commands that are ever written are C (close the channel), S (bit rate) and L (listen only).
O, which opens a channel that takes part in the bus, is not among them.
"""

from __future__ import annotations

import fcntl
import os
import select
import termios
import tty
from contextlib import suppress

from agent.sdk import DeviceUnavailable, boottime_ms
from drivers.fms_j1939.bus import Condition
from drivers.fms_j1939.frames import LineSplitter, parse
from drivers.fms_j1939.load import Traffic
from drivers.fms_j1939.raw_ring import RawRing
from drivers.fms_j1939.receiver import Receiver, Statement

BITRATE_COMMANDS = {
    10_000: b"S0",
    20_000: b"S1",
    50_000: b"S2",
    100_000: b"S3",
    125_000: b"S4",
    250_000: b"S5",
    500_000: b"S6",
    800_000: b"S7",
    1_000_000: b"S8",
}

# Adaptors answer within milliseconds; some firmwares never answer C and S.
_ANSWER_MS = 200
_LISTEN_ANSWER_MS = 600

# After the first byte, frames may gather this long: one wake-up then serves many frames.
_GATHER_MS = 10

# Two reads further apart than this mean that we were not running. What waited meanwhile is dated
# evenly over the gap, since nobody knows better.
_STALL_MS = 500

_CHUNK_BYTES = 65_536
_ACCEPTED, _REFUSED = b"\r", b"\x07"


class SlcanBus:
    """A listen-only CAN bus behind an SLCAN adaptor. Use it in a `with`.

    Raises DeviceUnavailable where the port is absent, in use, silent or gone, and where the adaptor
    refuses to open listen-only.
    """

    def __init__(
        self, channel: str, bitrate: int, tty_baud: int, *, raw: RawRing | None = None
    ) -> None:
        self._channel = channel
        self._bitrate = bitrate
        self._raw = raw
        self._splitter = LineSplitter()
        self._backlog = b""
        self._polled_ms = boottime_ms()
        self._fd = _open_port(channel, tty_baud)
        self._readable = select.poll()
        self._readable.register(self._fd, select.POLLIN)
        # No event but hang-up, which poll always reports: a pause that a pulled plug ends.
        self._gone = select.poll()
        self._gone.register(self._fd, 0)
        try:
            self._listen(insist=True)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> SlcanBus:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def receive(self, receiver: Receiver, timeout_s: float) -> list[tuple[int, list[Statement]]]:
        """Wait for frames at most `timeout_s`; what they state, with boot time of reading in ms."""
        since_ms = self._polled_ms
        chunk = self._backlog or self._read(int(timeout_s * 1000))
        self._backlog = b""
        now_ms = self._polled_ms = boottime_ms()
        if not chunk:
            return []
        if now_ms - since_ms <= int(timeout_s * 1000) + _STALL_MS:
            return [(now_ms, self._lines(receiver, chunk, now_ms))]
        said = []
        slices = -(-len(chunk) // 256)
        for n in range(slices):
            at_ms = since_ms + (now_ms - since_ms) * (n + 1) // slices
            said.append((at_ms, self._lines(receiver, chunk[n * 256 : (n + 1) * 256], at_ms)))
        return said

    def revive(self) -> None:
        """Tell the adaptor once more to listen: one that was reset has its channel closed.

        An adaptor that does not answer is let be, one that refuses raises DeviceUnavailable.
        """
        self._listen(insist=False)

    def condition(self) -> Condition:
        """It was opened in no other way than listen-only; adaptors tell no more."""
        raw = self._raw
        if raw is None:
            return Condition(listen_only=True)
        traffic = Traffic(raw.frames, raw.payload_bytes, self._polled_ms)
        return Condition(listen_only=True, traffic=traffic)

    def close(self) -> None:
        """Close the channel and the port. Never raises."""
        if self._fd < 0:
            return
        with suppress(OSError):
            os.write(self._fd, b"C\r")
        os.close(self._fd)
        self._fd = -1

    def _lines(self, receiver: Receiver, chunk: bytes, at_ms: int) -> list[Statement]:
        lines = self._splitter.feed(chunk)
        if self._raw is not None:
            self._raw.lines(lines, at_ms)
        return receiver.lines(lines, at_ms)

    def _listen(self, *, insist: bool) -> None:
        """C, S, L: from whatever state the adaptor is in to a channel that only listens."""
        refused = ""
        for _ in ("first", "again"):
            # A refusal may be due to half a command that somebody else left in the adaptor.
            self._ask(b"C", _ANSWER_MS)
            self._forget()
            if self._ask(BITRATE_COMMANDS[self._bitrate], _ANSWER_MS) == _REFUSED:
                refused = f"{self._bitrate} bit/s; see which bit rates it supports"
                continue
            answer = self._ask(b"L", _LISTEN_ANSWER_MS)
            if answer != _REFUSED:
                break
            refused = (
                "to open listen-only (command L); this driver opens a bus in no other way. Use an "
                "adaptor that can listen only"
            )
        else:
            raise DeviceUnavailable(f"SLCAN adaptor {self._channel} refuses {refused}")
        if answer is None and insist:
            raise DeviceUnavailable(
                f"nothing on {self._channel} answers like an SLCAN adaptor (commands C, S, L); "
                "is it the right port, and does the adaptor speak SLCAN?"
            )
        self._polled_ms = boottime_ms()

    def _forget(self) -> None:
        """Throw away frames of a channel that somebody else left open, and old answers."""
        try:
            termios.tcflush(self._fd, termios.TCIFLUSH)
        except termios.error as error:
            raise self._lost(OSError(*error.args)) from error
        self._splitter.reset()

    def _ask(self, command: bytes, wait_ms: int) -> bytes | None:
        """Write a command; "yes" (CR), "no" (BEL) or None where no answer came in time.

        What arrives after L is kept as backlog: the first frames may follow the answer at once.
        """
        try:
            os.write(self._fd, command + b"\r")
        except OSError as error:
            raise self._lost(error) from error
        heard = b""
        deadline_ms = boottime_ms() + wait_ms
        while (left_ms := deadline_ms - boottime_ms()) > 0:
            heard += self._read(left_ms, gather=False)
            answer = _answer_in(heard, frames_prove=command == b"L")
            if answer is not None:
                self._backlog = heard if command == b"L" else b""
                return answer
        return None

    def _read(self, timeout_ms: int, *, gather: bool = True) -> bytes:
        """What arrived; empty where nothing did within `timeout_ms`."""
        if not self._readable.poll(timeout_ms):
            return b""
        if gather:
            self._gone.poll(_GATHER_MS)
        try:
            chunk = os.read(self._fd, _CHUNK_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._lost(error) from error
        if not chunk:
            raise self._lost(None)
        return chunk

    def _lost(self, error: OSError | None) -> DeviceUnavailable:
        reason = error.strerror if error is not None and error.strerror else "end of file"
        return DeviceUnavailable(
            f"SLCAN adaptor {self._channel} is gone ({reason}); is it plugged in?"
        )


def _open_port(channel: str, tty_baud: int) -> int:
    """A raw, non-blocking, exclusively locked serial port without stale input."""
    try:
        fd = os.open(channel, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise DeviceUnavailable(
            f"SLCAN adaptor {channel}: {error.strerror}; is it plugged in, and may this user "
            "open it?"
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        tty.setraw(fd, termios.TCSANOW)
        iflag, oflag, cflag, lflag, _, _, characters = termios.tcgetattr(fd)
        speed = getattr(termios, f"B{tty_baud}")
        cflag = (cflag & ~termios.CRTSCTS) | termios.CLOCAL | termios.CREAD
        termios.tcsetattr(
            fd, termios.TCSANOW, [iflag, oflag, cflag, lflag, speed, speed, characters]
        )
        termios.tcflush(fd, termios.TCIFLUSH)
    except BlockingIOError as error:
        os.close(fd)
        raise DeviceUnavailable(
            f"SLCAN adaptor {channel} is in use by another program; close that one"
        ) from error
    except (termios.error, OSError) as error:
        os.close(fd)
        raise DeviceUnavailable(f"{channel} is no serial port: {error}") from error
    return fd


def _answer_in(heard: bytes, *, frames_prove: bool) -> bytes | None:
    """The first "yes" or "no" in what was heard. CR alone is yes, BEL is no.

    Some firmwares answer nothing; where `frames_prove`, a frame says that the channel is open.
    """
    *lines, rest = heard.split(b"\r")
    for line in lines:
        if b"\x07" in line:
            return _REFUSED
        if not line or (frames_prove and _is_frame(line)):
            return _ACCEPTED
    return _REFUSED if b"\x07" in rest else None


def _is_frame(line: bytes) -> bool:
    try:
        parse(line)
    except ValueError:
        return False
    return True
