"""What can be set for a GNSS receiver."""

from __future__ import annotations

from typing import Annotated, Literal

from agent.sdk import REMOTE, DriverConfig, Meta

GPSD_PORT = 2947


class Config(DriverConfig, frozen=True):
    """`[drivers.NAME]` with `type = "gnss_nmea0183"`."""

    source: Annotated[
        Literal["serial", "gpsd"],
        Meta(description="Where fixes come from: a serial port, or a gpsd that has the receiver."),
    ] = "serial"
    port: Annotated[
        str,
        Meta(description="Serial port of the receiver, such as /dev/gnss; needed for serial."),
    ] = ""
    baud: Annotated[
        Literal["auto", 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600],
        Meta(
            description="Baud rate that the receiver is set to; auto begins at 9600 "
            "or at what was right last, and tries the others when noise comes.",
            extra=REMOTE,
        ),
    ] = "auto"
    protocol: Annotated[
        Literal["auto", "nmea", "ubx"],
        Meta(
            description="What is read of the serial line: NMEA 0183, u-blox UBX, or both.",
            extra=REMOTE,
        ),
    ] = "auto"
    address: Annotated[
        str,
        Meta(
            description="Of gpsd: HOST, HOST:PORT or the path of its socket; needed for gpsd.",
            min_length=1,
        ),
    ] = "127.0.0.1:2947"

    def __post_init__(self) -> None:
        """Raise ValueError where what the source needs is missing."""
        if self.source == "serial" and not self.port:
            raise ValueError('port is missing: source = "serial" needs one, such as "/dev/gnss"')
        if self.source == "gpsd" and not self.address.startswith("/"):
            host_and_port(self.address)


def host_and_port(address: str) -> tuple[str, int]:
    """`HOST`, `HOST:PORT`, `[IPV6]:PORT` or `IPV6`. Raises ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or (host.count(":") and not address.startswith("[")) or address.endswith("]"):
        host, port = address, str(GPSD_PORT)
    if not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError(f"expected a port 1..65535 behind the colon, got {port!r:.20}")
    return host.strip("[]"), int(port)
