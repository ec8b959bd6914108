"""UTC: week rollovers, and the lower envelope of arrivals."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import BUILD_UTC_MS, OffsetSource
from agent.processors.clock import ClockTable
from agent.record import Record
from drivers.gnss_nmea0183.arrival import JUMP_CONFIRMED, WINDOW_MS, Arrivals, Moment
from drivers.gnss_nmea0183.utc import FLOOR_MS, ROLLOVER_WEEKS, WEEK_MS, resolved

SPAN_MS = ROLLOVER_WEEKS * WEEK_MS
NOW_MS = 1_798_804_800_000  # 2027-01-01T12:00:00Z


def test_the_floor_is_that_of_the_agents_clock() -> None:
    assert FLOOR_MS == BUILD_UTC_MS


@pytest.mark.parametrize(
    ("weeks_off", "added"), [(0, 0), (-1024, 1024), (-2048, 2048), (1024, -1024)]
)
def test_a_rollover_is_undone(weeks_off: int, added: int) -> None:
    assert resolved(NOW_MS + weeks_off * WEEK_MS) == (NOW_MS, added)


@given(st.integers(-(10**14), 10**14))
def test_every_date_has_one_place_in_the_window(utc_ms: int) -> None:
    right_ms, weeks = resolved(utc_ms)
    assert FLOOR_MS <= right_ms < FLOOR_MS + SPAN_MS
    assert right_ms - utc_ms == weeks * WEEK_MS
    assert weeks % ROLLOVER_WEEKS == 0


class Line:
    """Fixes once a second that arrive `late_ms` after the second they speak of."""

    def __init__(self, *, boot_ms: int = 100_000, baud: int | None = 9600) -> None:
        self.arrivals = Arrivals()
        self.second = 0
        self.boot_ms = boot_ms
        self.baud = baud

    def hear(self, late_ms: int, utc_jump_ms: int = 0, nbytes: int = 480) -> Moment | None:
        self.second += 1
        at_ms = self.boot_ms + self.second * 1000
        utc_ms = NOW_MS + self.second * 1000 + utc_jump_ms
        return self.arrivals.step(utc_ms, at_ms + late_ms, nbytes, self.baud)

    def offset_error_ms(self, moment: Moment) -> int:
        """How far the stated pair is from the truth."""
        return (moment.at_ms - self.boot_ms) - (moment.utc_ms - NOW_MS)


def test_jitter_does_not_move_the_offset() -> None:
    line, rng = Line(), random.Random(1)
    errors = []
    for _ in range(600):
        moment = line.hear(80 + int(rng.expovariate(1 / 40)))
        assert moment is None or line.offset_error_ms(moment) <= 80 + moment.uncertainty_ms
        if moment is not None:
            errors.append(line.offset_error_ms(moment))
    assert len(errors) > 590
    settled = errors[60:]
    assert max(settled) - min(settled) <= 5
    assert min(settled) >= 80  # never earlier than it can be


@given(st.lists(st.integers(0, 450), min_size=2, max_size=200), st.integers(100, 1000))
def test_the_truth_lies_within_the_uncertainty(late_ms: list[int], nbytes: int) -> None:
    """As long as a receiver begins to speak before its next second begins."""
    line = Line(baud=38400)
    for late in late_ms:
        moment = line.hear(late, nbytes=nbytes)
        assert moment is not None
        assert 0 <= line.offset_error_ms(moment) <= moment.uncertainty_ms


def test_the_uncertainty_is_what_the_receiver_may_have_taken() -> None:
    line = Line()
    stated = [line.hear(80), line.hear(80)]
    assert [m.uncertainty_ms for m in stated if m] == [500, 500]  # 480 bytes take half a second
    assert Line(baud=None).hear(80) == Moment(NOW_MS + 1000, 101_080, 1000)


@pytest.mark.parametrize("jump_ms", [18_000, -1_000, SPAN_MS, 3_000, -3_600_000])
def test_a_jump_of_utc_is_stated_once_it_is_confirmed(jump_ms: int) -> None:
    line = Line()
    for _ in range(10):
        assert line.hear(80)
    heard = [line.hear(80, jump_ms) for _ in range(5)]
    assert [moment is None for moment in heard] == [True] * (JUMP_CONFIRMED - 1) + [False] * 3
    assert all(line.offset_error_ms(m) == 80 - jump_ms for m in heard if m)


def test_one_wrong_time_and_a_stalled_reader_change_nothing() -> None:
    line = Line()
    for number in range(100):
        wrong = number % 10 == 5
        moment = line.hear(80, 7_000 if wrong else 0)
        assert (moment is None) == wrong
        assert moment is None or line.offset_error_ms(moment) == 80
    for late in (4_000, 3_000, 2_000, 1_000):
        assert line.hear(late) is None
    assert line.hear(90) is not None


def test_a_clock_that_drifts_is_followed_and_memory_is_bounded() -> None:
    line = Line()
    for number in range(3 * WINDOW_MS // 1000):
        moment = line.hear(80 + number // 20)
        assert len(line.arrivals._least) <= WINDOW_MS // 1000 + 2
    assert moment is not None
    assert 80 + 12 <= line.offset_error_ms(moment) <= 80 + 18


def test_the_clock_of_the_agent_takes_it() -> None:
    line, table, rng = Line(), ClockTable("boot", []), random.Random(2)
    for _ in range(300):
        moment = line.hear(80 + int(rng.expovariate(1 / 40)))
        if moment is not None:
            values = {"Vehicle.Bus.Utc": moment.utc_ms}
            table.step(Record("gnss", moment.at_ms, values))
    assert len(table.rows) <= 2  # the first seconds may have been late ones
    assert table.rows[-1].source is OffsetSource.GNSS
    assert 80 <= NOW_MS - line.boot_ms - table.rows[-1].utc_offset_ms <= 120
