"""Bytes of a receiver -> fixes, one an epoch. Pure: bytes and stamps in, fixes out, no clock."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Literal

from drivers.gnss_nmea0183.condition import Condition, parse_txt
from drivers.gnss_nmea0183.epoch import POSITION_KINDS, Epoch, Fix, same_time
from drivers.gnss_nmea0183.line import Frame, LineReader, Sentence
from drivers.gnss_nmea0183.sky import Listing, Sky, parse_gsv
from drivers.gnss_nmea0183.statements import Statement, parse
from drivers.gnss_nmea0183.ubx import Said, UbxReader
from drivers.gnss_nmea0183.utc import Dating

Protocol = Literal["auto", "nmea", "ubx"]

# Epochs with the time of the last one are repetitions and not given again. A receiver at 10 Hz that
# writes whole seconds repeats 9 times; one that goes on has a clock that stands still: no fix.
REPEATS_MAX = 10

# An RMC may come alone because the rest of its burst was late; a receiver that sends so many of
# them and nothing else will never say whether its fix has 2 or 3 dimensions.
UNSTATED_MAX = 3

_CONDITIONS = ("antenna", "jamming", "jamming_percent", "fusion")


# Two receivers on one line take turns: what each of them says late belongs to its own last epoch.
RECEIVERS_MAX = 2


class FixDecoder:
    """Puts the sentences and frames with one UTC time of day together to one fix.

    An epoch is complete when a sentence has another time or when the caller says that the line is
    quiet, and is given once: what comes after that with the same time is late and is dropped.
    `protocol`: what is read of a line, "auto" for both. `sky` and `condition` say what else was
    told; `condition_news` is for the caller to take back.
    """

    def __init__(self, protocol: Protocol = "auto", *, unsealed: bool = False) -> None:
        self._protocol = protocol
        self._reader = LineReader(unsealed=unsealed)
        self.reset()

    @property
    def sentences_read(self) -> int:
        """Sentences and frames with the right checksum, of any kind."""
        return self._reader.read

    @property
    def sentences_rejected(self) -> int:
        """Beginnings that none followed: noise, wrong checksum, too long."""
        return self._reader.rejected

    def reset(self) -> None:
        """Begin anew, as after opening the port; only the counters stay."""
        self._reader.reset()
        self._epoch: Epoch | None = None
        self._burst_at: int | None = None
        self._in_burst = False
        self._given: deque[tuple[int, tuple[str, str]]] = deque(maxlen=RECEIVERS_MAX)
        self._kinds: frozenset[str] = frozenset()
        self._repeats = 0
        self._stated: int | None = None
        self._concluded: int | None = None
        self._unstated = 0
        self._dating = Dating()
        self._ubx = UbxReader()
        self.sky = Sky()
        self.condition = Condition()
        self.condition_news = False

    def feed(self, data: bytes, at: int) -> list[Fix]:
        """The fixes that `data` completes. `at` stamps these bytes; it comes back in `Fix.at`."""
        if data and not self._in_burst:
            self._in_burst, self._burst_at = True, at
        return self._read(self._reader.feed(data, at))

    def quiet(self) -> list[Fix]:
        """The line has been quiet for a while: the fixes of the epochs that this completes."""
        fixes = self._read(self._reader.quiet())
        self._in_burst, self._burst_at = False, None
        last = self._close()
        return fixes if last is None else [*fixes, last]

    def end(self) -> list[Fix]:
        """The recording is over: the fixes of the epochs that this completes.

        An epoch that the end cuts off is not given: what could deny its fix is not there. It is one
        that has less than half as many sentences about a position as the one before it.
        """
        fixes = self._read(self._reader.quiet())
        if self._epoch and 2 * len(self._epoch.kinds()) < len(self._kinds):
            return fixes
        return [*fixes, *self.quiet()]

    def _read(self, pieces: list[Sentence | Frame]) -> list[Fix]:
        fixes: list[Fix] = []
        for piece in pieces:
            said = self._said(piece)
            if isinstance(said, Listing):
                self.sky.take(said)
            elif isinstance(said, Condition):
                told = {name: v for name in _CONDITIONS if (v := getattr(said, name)) is not None}
                self.condition, self.condition_news = replace(self.condition, **told), True
            elif said is not None:
                fix = self._take(said, piece.at)
                if fix is not None:
                    fixes.append(fix)
        return fixes

    def _said(self, piece: Sentence | Frame) -> Said | None:
        if isinstance(piece, Frame):
            return None if self._protocol == "nmea" else self._ubx.read(piece)
        if self._protocol == "ubx":
            return None
        return parse(piece.body) or parse_gsv(piece.body) or parse_txt(piece.body)

    def _take(self, statement: Statement, at: int) -> Fix | None:
        for given_ms, lead in self._given:
            if same_time(statement.time_ms, given_ms):
                if self._epoch is not None and self._epoch.time_ms is None:
                    self._epoch = None
                return self._repeated(statement, lead, at)
        fix = None
        if self._epoch is not None and self._epoch.is_over_at(statement):
            fix = self._close()
        if self._epoch is None:
            # The first byte of a burst is nearest to the second it speaks of.
            self._epoch = Epoch(at if self._burst_at is None else self._burst_at)
            self._burst_at = None
        self._epoch.add(statement)
        return fix

    def _repeated(self, statement: Statement, lead: tuple[str, str], at: int) -> Fix | None:
        if (statement.talker, statement.kind) == lead:
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
        day = epoch.date()
        if epoch.lead is None:
            self._dating.step(time_ms, day, fixed=False)
            return None
        self._repeats = 0
        self._kinds = epoch.kinds()
        if time_ms is not None:
            self._given.append((time_ms, epoch.lead))
        self.sky.next_epoch()
        fixed = epoch.has_fix()
        settled = not any(s.unresolved for s in said)
        utc_ms, proven = self._dating.step(time_ms, day, fixed=fixed, settled=settled)
        satellites = epoch.satellites()
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
            accuracy_m=next((s.accuracy_m for s in said if s.accuracy_m is not None), None),
            reckoned=any(s.reckoned for s in said if s.kind in POSITION_KINDS),
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
