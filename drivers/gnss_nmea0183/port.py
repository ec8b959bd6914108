"""A serial port with a receiver at its far end: opened exclusively, its failures in plain words.

There is no writing: what the receiver sends by itself is all that is known of it.
"""

from __future__ import annotations

import errno
import termios
from collections.abc import Sequence
from types import TracebackType

import serial

from agent.sdk import DeviceUnavailable

_OPENING = {
    errno.ENOENT: "no such port. Is the receiver plugged in? See ls -l /dev/serial/by-id",
    errno.ENODEV: "the port is there, its device is not. Is the receiver plugged in?",
    errno.ENXIO: "the port is there, its device is not. Is the receiver plugged in?",
    errno.EACCES: "no permission. Add the user to the port's group: sudo usermod -aG dialout $USER",
    errno.EPERM: "no permission. Add the user to the port's group: sudo usermod -aG dialout $USER",
    errno.EBUSY: "in use by another program (gpsd, ModemManager?)",
    errno.EAGAIN: "in use by another program (gpsd, ModemManager?)",
    errno.ENOTTY: "not a serial port",
    errno.EISDIR: "not a serial port",
}


class Port:
    """An open port; use it with `with`. All its methods raise DeviceUnavailable."""

    def __init__(self, name: str, baud: int, wait_s: float) -> None:
        """Open `name` at `baud`, 8N1, and throw away what arrived before. Reads wait `wait_s`.

        Exclusive by lock, not by TIOCEXCL: that outlives a killed process on a port that somebody
        else, such as the far end of a PTY, holds open.
        """
        self.name = name
        self.baud = baud
        try:
            self._serial = serial.Serial(name, baud, timeout=wait_s, exclusive=True)
        except (OSError, ValueError, termios.error) as error:
            raise self.unavailable(_reason(error)) from error
        try:
            self._serial.reset_input_buffer()
        except (OSError, termios.error) as error:
            self._serial.close()
            raise self.unavailable(_reason(error)) from error

    def __enter__(self) -> Port:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._serial.close()

    def read(self) -> bytes:
        """What has arrived; waits for the first byte, and is empty where none came in time."""
        try:
            data: bytes = self._serial.read(self._serial.in_waiting or 1)
        except (OSError, termios.error) as error:
            raise self.unavailable("gone while reading. Was the receiver unplugged?") from error
        return data

    def switch(self, baud: int) -> None:
        """Read on at another rate; what has arrived stays."""
        try:
            self._serial.baudrate = baud
        except (OSError, ValueError, termios.error) as error:
            raise self.unavailable(f"baud rate {baud} cannot be set: {error}") from error
        self.baud = baud

    def unavailable(self, reason: str) -> DeviceUnavailable:
        """The exception for `reason`, naming the port."""
        return DeviceUnavailable(f"GNSS port {self.name}: {reason}", path=self.name)

    def noise(self, nbytes: int, span_ms: int, tried: Sequence[int] = ()) -> DeviceUnavailable:
        """Many bytes and no sentence among them, at any of the rates that were tried."""
        rates = "/".join(map(str, tried)) or str(self.baud)
        return self.unavailable(
            f"{nbytes} bytes in {span_ms / 1000:.0f} s and no valid NMEA sentence or UBX frame; "
            f"is the baud rate right? (baud = {rates}; does the receiver speak NMEA 0183 or UBX?)"
        )

    def silence(self, span_ms: int) -> DeviceUnavailable:
        """Not a byte."""
        return self.unavailable(
            f"nothing received for {span_ms / 1000:.0f} s; "
            "has the receiver power, is its data line connected?"
        )


def _reason(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number in _OPENING:
        return _OPENING[number]
    # pyserial hides the errno of tcgetattr on a plain file in its text.
    if "configure port" in str(error):
        return _OPENING[errno.ENOTTY]
    return str(error)
