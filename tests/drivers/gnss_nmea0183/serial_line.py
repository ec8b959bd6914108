"""A pseudo-terminal with a receiver at its far end, and the driver in a thread at the near one."""

from __future__ import annotations

import os
import pty
import threading
import tty
from collections.abc import Callable
from typing import Any

from drivers.gnss_nmea0183.driver import GnssNmea0183

Nmea = Callable[..., bytes]


class Receiver:
    """The far end of a port."""

    def __init__(self) -> None:
        self._far, near = pty.openpty()
        tty.setraw(near)
        self.port = os.ttyname(near)
        self._near: int | None = near
        self._open = True

    def send(self, data: bytes) -> None:
        os.write(self._far, data)

    def unplug(self) -> None:
        if self._near is not None:
            os.close(self._near)
            self._near = None
        if self._open:
            os.close(self._far)
            self._open = False


class Running:
    """A driver in its thread, and what it ended with."""

    def __init__(self, driver: GnssNmea0183, context: Any) -> None:
        self.driver = driver
        self.ended_with: BaseException | None = None
        self._context = context
        self._thread = threading.Thread(target=self._run, name="driver under test")
        self._thread.start()

    def _run(self) -> None:
        try:
            self.driver.run(self._context)
        except BaseException as error:
            self.ended_with = error

    def join(self, within_s: float) -> BaseException | None:
        self._thread.join(within_s)
        assert not self._thread.is_alive(), "the driver did not end in time"
        return self.ended_with

    def stop(self, within_s: float = 2.0) -> BaseException | None:
        self._context.stop()
        return self.join(within_s)


def burst(nmea: Nmea, second: int, knots: str = "10.00") -> bytes:
    place, used = "4404.10000,N,12118.80000,W", 9 + second % 4
    return nmea(
        f"GNRMC,1200{second:02d}.00,A,{place},{knots},90.0,010127,,,A,V",
        f"GNGGA,1200{second:02d}.00,{place},1,{used:02d},0.80,11.5,M,2.0,M,,",
    )
