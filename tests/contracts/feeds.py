"""A device for each driver type: a pseudo-terminal at whose far end something sensible speaks.

A new driver type adds its feed to `FEEDS`; the contracts of `test_drivers.py` then hold for it.
"""

from __future__ import annotations

import os
import pty
import select
import threading
import tty
from abc import ABC, abstractmethod
from contextlib import suppress
from functools import reduce
from operator import xor
from types import TracebackType

_TICK_S = 0.02


class Feed(ABC):
    """A device on a pseudo-terminal. `mute` makes it a device that is there and says nothing."""

    def __init__(self, *, mute: bool = False) -> None:
        self._far, self._near = pty.openpty()
        tty.setraw(self._near)
        os.set_blocking(self._far, False)
        self.path = os.ttyname(self._near)
        self._mute = mute
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=type(self).__name__)

    @staticmethod
    @abstractmethod
    def section(path: str) -> dict[str, object]:
        """The driver's config section for the device at `path`, without `type`."""

    @abstractmethod
    def answer(self, received: bytes) -> bytes:
        """What the device says to what it just received."""

    @abstractmethod
    def next_words(self) -> bytes:
        """What the device says by itself, asked for every 20 ms."""

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.unplug()

    def unplug(self) -> None:
        """The device is gone; whoever has the port open gets a hang-up."""
        if not self._stop.is_set():
            self._stop.set()
            self._thread.join()
            os.close(self._near)
            os.close(self._far)

    def _serve(self) -> None:
        while not self._stop.is_set():
            readable, _, _ = select.select([self._far], [], [], _TICK_S)
            words = self.answer(os.read(self._far, 4096)) if readable else b""
            if not self._mute:
                words += self.next_words()
            with suppress(BlockingIOError):  # nobody reads
                os.write(self._far, words)
            self._stop.wait(_TICK_S)


class GnssFeed(Feed):
    """A receiver with a 3D fix that moves north: a burst of RMC, GGA and GSA now and then."""

    def __init__(self, *, mute: bool = False) -> None:
        super().__init__(mute=mute)
        self._ticks = 0

    @staticmethod
    def section(path: str) -> dict[str, object]:
        return {"port": path}

    def answer(self, received: bytes) -> bytes:
        return b""

    def next_words(self) -> bytes:
        self._ticks += 1
        if self._ticks % 5:
            return b""
        minute, second = divmod(self._ticks // 5, 60)
        time, place = f"12{minute:02d}{second:02d}.00", f"4404.1{second:04d},N,12118.80000,W"
        bodies = (
            f"GNRMC,{time},A,{place},10.00,0.0,010127,,,A,V",
            f"GNGGA,{time},{place},1,09,0.80,11.5,M,2.0,M,,",
            "GNGSA,A,3,01,02,03,04,05,06,07,08,09,,,,1.70,0.80,1.50,1",
        )
        return b"".join(
            f"${body}*{reduce(xor, body.encode(), 0):02X}\r\n".encode() for body in bodies
        )


class FmsFeed(Feed):
    """A USB-CAN stick (SLCAN) on a bus with an engine and a wheel; silent until it is opened."""

    def __init__(self, *, mute: bool = False) -> None:
        super().__init__(mute=mute)
        self._line = b""
        self._open = False
        self._ticks = 0

    @staticmethod
    def section(path: str) -> dict[str, object]:
        return {"interface": "slcan", "channel": path, "bitrate": 250_000}

    def answer(self, received: bytes) -> bytes:
        *commands, self._line = (self._line + received).split(b"\r")
        said = b""
        for command in commands:
            match command[:1]:
                case b"C":
                    self._open = False
                    said += b"\r"
                case b"O" | b"L":
                    self._open = True
                    said += b"\r"
                case b"S" | b"":
                    said += b"\r"
                case b"V":
                    said += b"V1013\r"
                case _:
                    said += b"\x07"
        return said

    def next_words(self) -> bytes:
        if not self._open:
            return b""
        self._ticks += 1
        rpm = (6_000 + 40 * (self._ticks % 100)).to_bytes(2, "little")
        speed = (256 * (self._ticks % 80)).to_bytes(2, "little")
        frames = (
            (0x0CF00400, b"\xf0\x9a\x9b" + rpm + b"\xff\xff\x9b"),
            (0x18FEF100, b"\xf3" + speed + b"\xc0\x00\xff\x1f\xff"),
        )
        return b"".join(b"T%08X8%s\r" % (id_, data.hex().encode()) for id_, data in frames)


FEEDS: dict[str, type[Feed]] = {"gnss_nmea0183": GnssFeed, "fms_j1939": FmsFeed}
