"""A slice of the fuzz: `python -m tests.drivers.gnss_nmea0183.fuzz` runs a million."""

from __future__ import annotations

from tests.drivers.gnss_nmea0183.fuzz import MOST_GROWTH_BYTES, run


def test_damaged_input_invents_nothing_and_keeps_nothing() -> None:
    outcome = run(4_000, seed=20_270_101, traced=True)
    assert outcome.invented == 0
    assert outcome.growth_bytes < MOST_GROWTH_BYTES
    assert outcome.fixes > 300
