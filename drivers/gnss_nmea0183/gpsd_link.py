"""The connection to a gpsd, over TCP or a Unix socket; its failures in plain words."""

from __future__ import annotations

import socket
from types import TracebackType

from agent.sdk import DeviceUnavailable
from drivers.gnss_nmea0183.config import host_and_port

CONNECT_S = 1.0
_WATCH = b'?WATCH={"enable":true,"json":true};\n'
_CHUNK = 65_536


class GpsdLink:
    """A connected gpsd that reports to us; use it with `with`. All raise DeviceUnavailable."""

    baud = None

    def __init__(self, address: str, wait_s: float) -> None:
        """Connect to `address`, HOST, HOST:PORT or the path of a socket. Reads wait `wait_s`."""
        self.name = address
        self._path = address if address.startswith("/") else None
        try:
            self._socket = self._connected(address)
            self._socket.sendall(_WATCH)
            self._socket.settimeout(wait_s)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise self.unavailable(
                f"{reason}. Is gpsd running? See systemctl status gpsd.socket, and test with "
                "gpspipe -w -n 5"
            ) from error

    def _connected(self, address: str) -> socket.socket:
        if self._path is not None:
            unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                unix.settimeout(CONNECT_S)
                unix.connect(self._path)
            except OSError:
                unix.close()
                raise
            return unix
        return socket.create_connection(host_and_port(address), CONNECT_S)

    def __enter__(self) -> GpsdLink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def read(self) -> bytes:
        """What has arrived; waits for the first byte, and is empty where none came in time."""
        try:
            data = self._socket.recv(_CHUNK)
        except TimeoutError:
            return b""
        except OSError as error:
            raise self.unavailable(f"gone while reading: {error.strerror or error}") from error
        if not data:
            raise self.unavailable("has closed the connection. Was it stopped?")
        return data

    def switch(self, baud: int) -> None:
        """A socket has no rate."""

    def unavailable(self, reason: str) -> DeviceUnavailable:
        """The exception for `reason`, naming the address."""
        return DeviceUnavailable(f"gpsd at {self.name}: {reason}", path=self._path)

    def noise(self, nbytes: int, span_ms: int, tried: object = ()) -> DeviceUnavailable:
        """Many bytes and no report among them."""
        return self.unavailable(
            f"{nbytes} bytes in {span_ms / 1000:.0f} s and no JSON report; does gpsd listen there?"
        )

    def silence(self, span_ms: int) -> DeviceUnavailable:
        """Not a byte; gpsd answers a WATCH at once, so it is the receivers that are silent."""
        return self.unavailable(
            f"nothing received for {span_ms / 1000:.0f} s; "
            "does gpsd have a receiver? See gpspipe -w -n 3, its DEVICES"
        )
