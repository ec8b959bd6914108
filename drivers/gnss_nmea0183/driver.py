"""The serial port of a GNSS receiver that speaks NMEA 0183: opens, reads, emits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from agent.sdk import Context, Driver, DriverConfig, Kind, Meta, boottime_ms
from drivers.gnss_nmea0183.capture import decode_file
from drivers.gnss_nmea0183.epoch import Fix
from drivers.gnss_nmea0183.fix import FixDecoder
from drivers.gnss_nmea0183.port import Port
from drivers.gnss_nmea0183.signals import (
    FIX,
    RECEIVER,
    SENTENCES_READ,
    SENTENCES_REJECTED,
    fix_type,
    values_of,
)

# A pause that ends an epoch: longer than those inside a burst, shorter than those between bursts at
# 1 Hz. Receivers too fast for it end their epochs by the next time stamp.
QUIET_S = 0.25
RECEIVER_EVERY_MS = 2_000
# Thinning may hold a count back for 5 s: the last one is repeated until it cannot.
RECEIVER_REPEATS = 3
# Noise of a wrong baud rate: so many bytes, so long, and no sentence among them. Once the rate has
# proved right the line may be bad for a while: closing it would lose what still comes through.
NOISE_BYTES, NOISE_MS, NOISE_ONCE_GOOD_MS = 200, 5_000, 30_000
SILENT_MS = 15_000
PROBE_MS = 3_000
_UINT32 = 0xFFFF_FFFF


class Config(DriverConfig, frozen=True):
    """`[drivers.NAME]` with `type = "gnss_nmea0183"`."""

    port: Annotated[
        str, Meta(description="Serial port of the receiver, such as /dev/gnss.", min_length=1)
    ]
    baud: Annotated[
        Literal[4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600],
        Meta(description="Baud rate that the receiver is set to."),
    ] = 9600


class GnssNmea0183(Driver[Config]):
    """A GNSS receiver on a serial port, NMEA 0183, any talker."""

    config_model = Config
    groups = (FIX, RECEIVER)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._decoder = FixDecoder()
        self._reported: dict[str, int] = {}
        self._repeats_left = 0

    @classmethod
    def decode(cls, path: Path) -> Iterator[Mapping[str, object]]:
        """The fixes of a recorded file; see `capture.decode_file`."""
        return decode_file(path)

    def _open(self) -> Port:
        return Port(self.config.port, self.config.baud, QUIET_S)

    def probe(self) -> str:
        """Read until the first complete fix, at most 3 s, and say what it is."""
        decoder, began, nbytes = FixDecoder(), boottime_ms(), 0
        with self._open() as port:
            while (span := boottime_ms() - began) < PROBE_MS:
                data = port.read()
                nbytes += len(data)
                fixes = decoder.feed(data, 0) if data else [decoder.quiet()]
                for fix in filter(None, fixes):
                    seen = "unknown" if fix.satellites is None else fix.satellites
                    return f"{port.name}: NMEA 0183, fix {fix_type(fix)}, satellites {seen}"
            if decoder.sentences_read == 0:
                raise port.noise(nbytes, span) if nbytes else port.silence(span)
        return (
            f"{self.config.port}: NMEA 0183, but no sentence about a position (RMC, GGA, GNS, GLL)"
        )

    def run(self, ctx: Context) -> None:
        """Emit each fix when its epoch is complete, and the counters every 2 s.

        A silent port is opened anew, at once and for as long as it takes: what the receiver says
        after its silence must not fall into a pause. Raises DeviceUnavailable.
        """
        self._decoder.reset()
        self.device = "ok"
        silent = True
        while silent:
            with self._open() as port:
                try:
                    silent = self._listen(port, ctx)
                finally:
                    self._emit(ctx, self._decoder.quiet())

    def _listen(self, port: Port, ctx: Context) -> bool:
        """Until told to stop, or until the port has been silent for SILENT_MS: whether that."""
        good_ms = heard_ms = reported_ms = boottime_ms()
        patience_ms = NOISE_MS
        good, nbytes = self._decoder.sentences_read, 0
        while ctx.running():
            data = port.read()
            now = boottime_ms()
            if data:
                heard_ms, nbytes = now, nbytes + len(data)
                self.device = "ok"
                for fix in self._decoder.feed(data, now):
                    self._emit(ctx, fix)
            else:
                self._emit(ctx, self._decoder.quiet())
            if self._decoder.sentences_read != good:
                good, good_ms, nbytes = self._decoder.sentences_read, now, 0
                patience_ms = NOISE_ONCE_GOOD_MS
            elif now - good_ms >= patience_ms and nbytes >= NOISE_BYTES:
                raise port.noise(nbytes, now - good_ms)
            if now - heard_ms >= SILENT_MS:
                self.device = str(port.silence(SILENT_MS))
                return True
            if now - reported_ms >= RECEIVER_EVERY_MS:
                reported_ms = now
                self._report(ctx)
        return False

    def _report(self, ctx: Context) -> None:
        counts = {
            SENTENCES_READ: self._decoder.sentences_read & _UINT32,
            SENTENCES_REJECTED: self._decoder.sentences_rejected & _UINT32,
        }
        if counts != self._reported:
            self._reported, self._repeats_left = counts, RECEIVER_REPEATS
        elif self._repeats_left == 0:
            return
        else:
            self._repeats_left -= 1
        ctx.emit(RECEIVER, counts, kind=Kind.STATUS)

    @staticmethod
    def _emit(ctx: Context, fix: Fix | None) -> None:
        if fix is not None:
            values, states = values_of(fix)
            ctx.emit(FIX, values, states=states, at_boottime_ms=fix.at)
