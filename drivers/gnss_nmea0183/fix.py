"""Bytes of a receiver -> fixes, one an epoch. Pure: bytes and stamps in, fixes out, no clock."""

from __future__ import annotations

from datetime import date

from drivers.gnss_nmea0183.epoch import POSITION_KINDS, Epoch, Fix, same_time
from drivers.gnss_nmea0183.sentences import SentenceReader
from drivers.gnss_nmea0183.statements import Statement, parse

DAY_MS = 86_400_000
_DAY_0 = date(1970, 1, 1).toordinal()

# A date stated by RMC or ZDA serves the epochs after it as long as their times follow each other
# within this span, over midnight too.
DATE_LASTS_MS = 3_600_000
# AC12 dates its ZDA a second ahead of the position it goes with.
DATE_AHEAD_MS = 10_000

# Epochs with the time of the last one are repetitions and not given again. A receiver at 10 Hz that
# writes whole seconds repeats 9 times; one that goes on has a clock that stands still: no fix.
REPEATS_MAX = 10

# An RMC may come alone because the rest of its burst was late; a receiver that sends so many of
# them and nothing else will never say whether its fix has 2 or 3 dimensions.
UNSTATED_MAX = 3


class FixDecoder:
    """Puts the sentences with one UTC time of day together to one fix.

    An epoch is complete when a sentence has another time or when the caller says that the line is
    quiet, and is given once: what comes after that with the same time is late and is dropped.
    """

    def __init__(self) -> None:
        self._reader = SentenceReader()
        self.reset()

    @property
    def sentences_read(self) -> int:
        """Sentences with the right checksum, of any kind."""
        return self._reader.read

    @property
    def sentences_rejected(self) -> int:
        """Beginnings of a sentence that none followed: noise, wrong checksum, too long."""
        return self._reader.rejected

    def reset(self) -> None:
        """Begin anew, as after opening the port; only the counters stay."""
        self._reader.reset()
        self._epoch: Epoch | None = None
        self._burst_at: int | None = None
        self._in_burst = False
        self._given_ms: int | None = None
        self._given_lead: tuple[str, str] | None = None
        self._repeats = 0
        self._stated: int | None = None
        self._concluded: int | None = None
        self._unstated = 0
        self._last_utc: tuple[int, int, bool] | None = None

    def feed(self, data: bytes, at: int) -> list[Fix]:
        """The fixes that `data` completes. `at` stamps these bytes; it comes back in `Fix.at`."""
        if data and not self._in_burst:
            self._in_burst, self._burst_at = True, at
        fixes: list[Fix] = []
        for sentence in self._reader.feed(data, at):
            statement = parse(sentence.body)
            if statement is not None:
                fix = self._take(statement, sentence.at)
                if fix is not None:
                    fixes.append(fix)
        return fixes

    def quiet(self) -> Fix | None:
        """The line has been quiet for a while: the fix of the epoch that this completes, if any."""
        self._in_burst, self._burst_at = False, None
        return self._close()

    def _take(self, statement: Statement, at: int) -> Fix | None:
        if same_time(statement.time_ms, self._given_ms):
            if self._epoch is not None and self._epoch.time_ms is None:
                self._epoch = None
            return self._repeated(statement, at)
        fix = None
        if self._epoch is not None and self._epoch.is_over_at(statement):
            fix = self._close()
        if self._epoch is None:
            # The first byte of a burst is nearest to the second it speaks of.
            self._epoch = Epoch(at if self._burst_at is None else self._burst_at)
            self._burst_at = None
        self._epoch.add(statement)
        return fix

    def _repeated(self, statement: Statement, at: int) -> Fix | None:
        if (statement.talker, statement.kind) == self._given_lead:
            self._repeats += 1
            if self._repeats >= REPEATS_MAX:
                return Fix(at, mode=1)
        return None

    def _close(self) -> Fix | None:
        epoch, self._epoch = self._epoch, None
        if epoch is None:
            return None
        said = epoch.ordered()
        time_ms = next((s.time_ms for s in said if s.time_ms is not None), None)
        if epoch.lead is None:
            self._utc(epoch, time_ms, fixed=False)
            return None
        self._given_ms, self._given_lead, self._repeats = time_ms, epoch.lead, 0
        fixed = epoch.has_fix()
        utc_ms, proven = self._utc(epoch, time_ms, fixed)
        satellites = max((s.satellites for s in said if s.satellites is not None), default=None)
        hdop = next((s.hdop for s in said if s.hdop is not None), None)
        if not fixed:
            self._stated = self._concluded = None
            self._unstated = 0
            return Fix(epoch.at, 1, True, utc_ms, proven, satellites=satellites, hdop=hdop)
        placed = next(s for s in said if s.latitude is not None)
        mode, mode_known = self._mode(epoch)
        return Fix(
            epoch.at,
            mode,
            mode_known,
            utc_ms,
            proven,
            placed.latitude,
            placed.longitude,
            altitude_m=next((s.altitude_m for s in said if s.altitude_m is not None), None),
            speed_kmh=next((s.speed_kmh for s in said if s.speed_kmh is not None), None),
            heading=next((s.heading for s in said if s.heading is not None), None),
            satellites=satellites,
            hdop=hdop,
            rtk=any(s.rtk for s in said if s.kind in POSITION_KINDS),
        )

    def _mode(self, epoch: Epoch) -> tuple[int, bool]:
        """2 or 3, and whether that is known.

        Many receivers send GSA or GGA in some epochs only: what they said stays true as long as the
        fix is held, and the word of GSA outweighs a conclusion from GGA.
        """
        self._stated = epoch.stated_dimension() or self._stated
        self._concluded = epoch.concluded_dimension() or self._concluded
        mode = self._stated or self._concluded
        if mode is not None:
            return mode, True
        self._unstated += 1
        return 2, self._unstated > UNSTATED_MAX

    def _utc(self, epoch: Epoch, time_ms: int | None, fixed: bool) -> tuple[int | None, bool]:
        """UTC of an epoch in ms since 1970 and whether a fix stood behind its date."""
        if time_ms is None:
            return None, False
        carried, proven = None, False
        if self._last_utc is not None:
            last_utc_ms, last_time_ms, proven = self._last_utc
            step_ms = (time_ms - last_time_ms + DAY_MS // 2) % DAY_MS - DAY_MS // 2
            if -DATE_AHEAD_MS <= step_ms <= DATE_LASTS_MS:
                carried = last_utc_ms + step_ms
        day = epoch.date()
        utc_ms = carried if day is None else (day.toordinal() - _DAY_0) * DAY_MS + time_ms
        if utc_ms is None:
            self._last_utc = None
            return None, False
        proven = fixed or (proven and utc_ms == carried)
        self._last_utc = (utc_ms, time_ms, proven)
        return utc_ms, proven
