"""A GNSS receiver on a serial port or behind gpsd: opens, reads, emits. Writes nothing to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from agent.sdk import Context, Driver, Kind, Scalar, boottime_ms
from drivers.gnss_nmea0183.arrival import Arrivals, Moment
from drivers.gnss_nmea0183.baud import ORDER, BaudSearch
from drivers.gnss_nmea0183.config import Config
from drivers.gnss_nmea0183.epoch import Fix
from drivers.gnss_nmea0183.fix import FixDecoder
from drivers.gnss_nmea0183.plausibility import JumpGuard
from drivers.gnss_nmea0183.port import Port
from drivers.gnss_nmea0183.recorder import VERBS, Recorder
from drivers.gnss_nmea0183.signals import (
    CONDITION,
    FIX,
    QUALITY,
    RECEIVER,
    SENTENCES_READ,
    SENTENCES_REJECTED,
    SKY,
    TIME,
)
from drivers.gnss_nmea0183.values import (
    clock_quality,
    condition_values,
    fix_quality,
    fix_type,
    sky_values,
    time_values,
    values_of,
)

if TYPE_CHECKING:  # imported where they are used: a driver starts at ignition
    from drivers.gnss_nmea0183.gpsd import GpsdDecoder
    from drivers.gnss_nmea0183.gpsd_link import GpsdLink

# A pause that ends an epoch: longer than those inside a burst, shorter than those between bursts at
# 1 Hz. Receivers too fast for it end their epochs by the next time stamp.
QUIET_S = 0.25
RECEIVER_EVERY_MS = 2_000
TIME_EVERY_MS, QUALITY_EVERY_MS = 900, 10_000
# Thinning may hold a count back for 5 s: the last one is repeated until it cannot.
RECEIVER_REPEATS = 3
# Noise of a wrong baud rate: so many bytes, so long, and no sentence among them. Once the rate has
# proved right the line may be bad for a while: closing it would lose what still comes through.
NOISE_BYTES, NOISE_MS, NOISE_ONCE_GOOD_MS = 200, 5_000, 30_000
SILENT_MS = 15_000
# `brain doctor` waits 5 s for an answer: time for the three most common rates.
PROBE_MS, PROBE_SEARCH_MS = 3_000, 4_300
_UINT32 = 0xFFFF_FFFF
_REMEMBERED = "baud"


class GnssNmea0183(Driver[Config]):
    """A GNSS receiver: NMEA 0183 of any talker, UBX, or the JSON of a gpsd."""

    config_model = Config
    groups = (FIX, TIME, QUALITY, SKY, CONDITION, RECEIVER)
    verbs = VERBS

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._decoder = self._new_decoder()
        self._guard = JumpGuard()
        self._arrivals = Arrivals()
        self._baud = self._new_search()
        self._recorder: Recorder | None = None
        self._told_ms = self._judged_ms = self._burst_bytes = 0
        self._judged: dict[str, Scalar] = {}
        self._tells_accuracy = False
        self._reported: dict[str, int] = {}
        self._repeats_left = 0

    @classmethod
    def decode(cls, path: Path) -> Iterator[Mapping[str, object]]:
        """The fixes of a recorded file; see `capture.decode_file`."""
        from drivers.gnss_nmea0183.capture import decode_file

        return decode_file(path)

    def command(self, verb: str, args: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
        """Raw bytes as a file for a bug report; see `recorder.Recorder.command`."""
        if self._recorder is None:
            raise ValueError(f"{verb}: the driver has not begun to run; try again in a second")
        return self._recorder.command(verb, args)

    def _new_decoder(self) -> FixDecoder | GpsdDecoder:
        if self.config.source == "gpsd":
            from drivers.gnss_nmea0183.gpsd import GpsdDecoder

            return GpsdDecoder()
        return FixDecoder(self.config.protocol)

    def _new_search(self, remembered: int | None = None) -> BaudSearch:
        """A rate that is configured stays; a socket has none, and none is searched for it."""
        if self.config.source == "gpsd":
            return BaudSearch(ORDER[0])
        rate = self.config.baud
        return BaudSearch(None, remembered) if rate == "auto" else BaudSearch(rate)

    def _open(self, baud: BaudSearch) -> Port | GpsdLink:
        if self.config.source == "gpsd":
            from drivers.gnss_nmea0183.gpsd_link import GpsdLink

            return GpsdLink(self.config.address, QUIET_S)
        port = Port(self.config.port, baud.rate, QUIET_S)
        baud.opened(boottime_ms())
        return port

    def probe(self) -> str:
        """Read until the first complete fix, at most 3 s, and say what it is.

        4.3 s where the baud rate is being searched: a rate that is less common is not found.
        """
        decoder, began, nbytes = self._new_decoder(), boottime_ms(), 0
        baud = self._new_search()
        most_ms = PROBE_MS
        with self._open(baud) as port:
            spoken = "gpsd" if port.baud is None else f"{port.baud} baud"
            while (span := boottime_ms() - began) < most_ms:
                data, before = port.read(), decoder.sentences_read
                nbytes += len(data)
                fixes = decoder.feed(data, 0) if data else decoder.quiet()
                for fix in fixes:
                    seen = "unknown" if fix.satellites is None else fix.satellites
                    return f"{port.name}: {spoken}, fix {fix_type(fix)}, satellites {seen}"
                if baud.step(boottime_ms(), len(data), decoder.sentences_read - before):
                    port.switch(baud.rate)
                    spoken, most_ms = f"{baud.rate} baud", max(most_ms, PROBE_SEARCH_MS)
            if decoder.sentences_read == 0:
                raise port.noise(nbytes, span, baud.tried) if nbytes else port.silence(span)
        return f"{port.name}: {spoken}, but nothing about a position (RMC, GGA, GNS, GLL, NAV-PVT)"

    def run(self, ctx: Context) -> None:
        """Emit each fix when its epoch is complete, and the counters every 2 s.

        A silent port is opened anew, at once and for as long as it takes: what the receiver says
        after its silence must not fall into a pause. Raises DeviceUnavailable.
        """
        self._decoder.reset()
        self.device = "ok"
        where = self.config.address if self.config.source == "gpsd" else self.config.port
        if self._recorder is None:  # a ring and a recording outlive the loss of the device
            self._recorder = Recorder(
                ctx.workdir / "captures", f"GNSS, {where}", json=self.config.source == "gpsd"
            )
        self._recall(ctx.workdir / _REMEMBERED)
        silent = True
        while silent:
            with self._open(self._baud) as port:
                try:
                    silent = self._listen(port, ctx, self._recorder)
                finally:
                    self._emit(ctx, port, self._decoder.quiet(), paused=True)
        self._recorder.stop()

    def _listen(self, port: Port | GpsdLink, ctx: Context, recorder: Recorder) -> bool:
        """Until told to stop, or until the port has been silent for SILENT_MS: whether that."""
        good_ms = heard_ms = reported_ms = boottime_ms()
        patience_ms = NOISE_MS
        good, nbytes = self._decoder.sentences_read, 0
        while ctx.running():
            data = port.read()
            now = boottime_ms()
            if data:
                recorder.heard(data, now)
                heard_ms, nbytes = now, nbytes + len(data)
                self._burst_bytes += len(data)
                self.device = "ok"
                fixes = self._decoder.feed(data, now)
            else:
                fixes = self._decoder.quiet()
            self._emit(ctx, port, fixes, paused=not data)
            fresh = self._decoder.sentences_read - good
            if self._baud.step(now, len(data), fresh):
                self._switch(port, nbytes, now - good_ms)
            if fresh:
                if patience_ms != NOISE_ONCE_GOOD_MS:
                    self._remember(ctx.workdir / _REMEMBERED)
                good, good_ms, nbytes = good + fresh, now, 0
                patience_ms = NOISE_ONCE_GOOD_MS
            elif self._baud.fixed and now - good_ms >= patience_ms and nbytes >= NOISE_BYTES:
                raise port.noise(nbytes, now - good_ms)
            if now - heard_ms >= SILENT_MS:
                self.device = str(port.silence(SILENT_MS))
                return True
            if now - reported_ms >= RECEIVER_EVERY_MS:
                reported_ms = now
                self._report(ctx)
        return False

    def _switch(self, port: Port | GpsdLink, nbytes: int, span_ms: int) -> None:
        """Go on at the next baud rate. Raises DeviceUnavailable when all were tried in vain."""
        if self._baud.rounds:
            raise port.noise(nbytes, span_ms, self._baud.tried)
        self.device = (
            f"{port.name}: no sentence at {port.baud} baud, listening at {self._baud.rate}"
        )
        port.switch(self._baud.rate)

    def _recall(self, path: Path) -> None:
        remembered = ""
        with suppress(OSError, UnicodeDecodeError):
            remembered = path.read_text("ascii").strip()[:7]
        self._baud = self._new_search(int(remembered) if remembered.isdecimal() else None)

    def _remember(self, path: Path) -> None:
        """Keep a rate that proved right; what cannot be kept is found again."""
        if not self._baud.fixed:
            with suppress(OSError):
                path.write_text(f"{self._baud.rate}\n", "ascii")

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

    def _emit(self, ctx: Context, port: Port | GpsdLink, fixes: list[Fix], *, paused: bool) -> None:
        for fix in fixes:
            self._tells_accuracy |= fix.accuracy_m is not None
            values, states = values_of(fix, tells_accuracy=self._tells_accuracy)
            ctx.emit(FIX, values, states=states, at_boottime_ms=fix.at)
            moment = self._emit_time(ctx, port, fix)
            self._emit_quality(ctx, fix, moment)
        sky = self._decoder.sky
        if sky.news and (fixes or paused):
            sky.news = False
            values, states = sky_values(sky)
            ctx.emit(SKY, values, states=states)
        if self._decoder.condition_news:
            self._decoder.condition_news = False
            ctx.emit(CONDITION, condition_values(self._decoder.condition))

    def _emit_time(self, ctx: Context, port: Port | GpsdLink, fix: Fix) -> Moment | None:
        """UTC, once a second at most: 10 Hz tell no more of the clock."""
        burst_bytes, self._burst_bytes = self._burst_bytes, 0
        if fix.utc_ms is None or not fix.utc_proven:
            return None
        moment = self._arrivals.step(fix.utc_ms, fix.at, burst_bytes, port.baud)
        if moment is not None and not 0 <= fix.at - self._told_ms < TIME_EVERY_MS:
            self._told_ms = fix.at
            ctx.emit(TIME, time_values(moment), at_boottime_ms=max(0, moment.at_ms))
        return moment

    def _emit_quality(self, ctx: Context, fix: Fix, moment: Moment | None) -> None:
        """What we think of a fix and its time: at once where that changed, else now and then."""
        judged = fix_quality(fix, self._guard.step(fix))
        due = not 0 <= fix.at - self._judged_ms < QUALITY_EVERY_MS
        if not judged.items() <= self._judged.items() or due:
            self._judged, self._judged_ms = self._judged | judged, fix.at
            clock = {} if moment is None else clock_quality(moment)
            if judged or clock:
                ctx.emit(QUALITY, judged | clock, at_boottime_ms=fix.at, kind=Kind.STATUS)
