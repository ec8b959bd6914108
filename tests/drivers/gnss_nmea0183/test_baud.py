"""Finding the baud rate, with bytes as a UART at another rate would deliver them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.gnss_nmea0183.baud import ORDER, PATIENCE_MS, BaudSearch
from drivers.gnss_nmea0183.line import LineReader
from tests.drivers.gnss_nmea0183.uart import heard

Nmea = Callable[..., bytes]
BODIES = (
    "GNRMC,120000.00,A,4404.10000,N,12118.80000,W,10.00,90.0,010127,,,A,V",
    "GNGGA,120000.00,4404.10000,N,12118.80000,W,1,09,0.80,11.5,M,2.0,M,,",
    "GNGSA,A,3,01,02,03,04,05,06,07,08,09,,,,1.70,0.80,1.50,1",
)


def test_the_model_of_the_wire_is_right(nmea: Nmea) -> None:
    data = nmea(*BODIES) + bytes(range(256))
    for rate in ORDER:
        assert heard(data, rate, rate) == data
        assert heard(data, rate, round(rate * 1.02)) == data
        for other in ORDER:
            if other != rate:
                assert LineReader().feed(heard(data, rate, other), 0) == []


def seconds_until_found(nmea: Nmea, search: BaudSearch, sent_at: int) -> int:
    """Let a receiver speak once a second at `sent_at`: seconds until a sentence is read."""
    reader = LineReader()
    for second in count():
        data, now_ms = heard(nmea(*BODIES), sent_at, search.rate), second * 1000
        for at in range(0, len(data) or 1, 60):
            before = reader.read
            reader.feed(data[at : at + 60], now_ms)
            if search.step(now_ms + at, len(data[at : at + 60]), reader.read - before):
                break
        search.step(now_ms + 900, 0, 0)
        if search.proved:
            return second
        assert second < 60, search.rate


@pytest.mark.parametrize("rate", ORDER)
def test_every_rate_is_found(nmea: Nmea, rate: int) -> None:
    search = BaudSearch(None)
    took_s = seconds_until_found(nmea, search, rate)
    assert search.rate == rate
    assert took_s <= (10 if ORDER.index(rate) < 5 else 20)


@pytest.mark.parametrize("rate", ORDER)
def test_what_was_right_the_last_time_is_tried_first(nmea: Nmea, rate: int) -> None:
    assert seconds_until_found(nmea, BaudSearch(None, rate), rate) == 0


def test_the_usual_rate_is_tried_first_and_nonsense_is_not_remembered() -> None:
    assert [BaudSearch(None, told).rate for told in (None, 0, 9601, 38400)] == [
        *(9600, 9600, 9600),
        38400,
    ]


@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 500)), max_size=60))
def test_a_configured_rate_is_never_left(steps: list[tuple[int, int]]) -> None:
    search, now_ms = BaudSearch(4800), 0
    for span_ms, nbytes in steps:
        now_ms += span_ms
        assert not search.step(now_ms, nbytes, 0)
        assert search.rate == 4800


def test_silence_is_no_sign_of_a_wrong_rate() -> None:
    search = BaudSearch(None)
    search.opened(0)
    assert not any(search.step(now_ms, 0, 0) for now_ms in range(0, 3_600_000, 250))
    # Nor is the first byte after it.
    assert not search.step(3_600_000, 400, 0)


def test_a_rate_that_proved_right_is_kept_through_half_a_minute_of_noise() -> None:
    search = BaudSearch(None)
    search.step(0, 70, 1)
    changed = [now_ms for now_ms in range(100, 60_000, 100) if search.step(now_ms, 50, 0)]
    assert changed[0] == PATIENCE_MS + 100
    search = BaudSearch(None)
    search.step(0, 70, 1)
    for now_ms in range(1000, 300_000, 1000):  # one good sentence in twenty seconds
        assert not search.step(now_ms, 500, now_ms % 20_000 == 0)


def test_a_receiver_that_speaks_every_five_seconds_is_waited_for() -> None:
    search = BaudSearch(None)
    search.opened(0)
    assert not search.step(100, 30, 0)  # the end of a burst that had begun before
    assert not any(search.step(now_ms, 0, 0) for now_ms in range(350, 5_000, 250))
    assert not search.step(5_000, 40, 0)  # half a sentence
    assert not search.step(5_040, 40, 1)
    assert search.proved


def test_after_all_rates_it_says_so() -> None:
    search, tried = BaudSearch(None, 57600), []
    for now_ms in range(0, 60_000, 100):
        if not search.rounds and search.step(now_ms, 50, 0):
            tried.append(search.rate)
    assert tried == [*(r for r in ORDER if r != 57600), 57600]
    assert search.tried == (57600, *(r for r in ORDER if r != 57600))
