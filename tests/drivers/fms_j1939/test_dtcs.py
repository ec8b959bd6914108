"""The life of trouble codes: what is stated, what is held back, and that it is not lost."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.sdk import State
from drivers.fms_j1939.dm1 import OC_UNKNOWN, Dtc, decode
from drivers.fms_j1939.dtcs import MAX_DTCS, MAX_DTCS_OF_A_SENDER, ActiveDtcs, Event

COUNT, MIL = "Vehicle.Diagnostics.DTCCount", "Vehicle.Bus.DtcLamp.Mil"
DETAIL = "Vehicle.Bus.DtcDetail."
OIL, FUEL, AIR = Dtc(100, 1, 3, 0), Dtc(96, 3, 1, 0), Dtc(132, 5, 7, 1)


def dm1(*codes: Dtc, lamps: str = "40ff") -> bytes:
    payload = bytes.fromhex(lamps)
    for spn, fmi, oc, cm in codes or (Dtc(0, 0, 0, 0),):
        payload += (spn & 0xFFFF).to_bytes(2, "little")
        payload += bytes([spn >> 16 << 5 | fmi, cm << 7 | oc])
    return payload.ljust(8, b"\xff")


class Bus:
    """Says DM1 once a second for the senders in `say`; the clock is ours."""

    def __init__(self) -> None:
        self.dtcs = ActiveDtcs()
        self.now_ms = 0
        self.say: dict[int, bytes] = {}
        self.all: list[Event] = []

    def run(self, seconds: int) -> list[str]:
        """What was stated, as "what spn oc"."""
        said: list[Event] = []
        for _ in range(seconds):
            for sa, payload in self.say.items():
                self.dtcs.hear(sa, payload, self.now_ms)
            for _ in range(5):
                said += self.dtcs.events(self.now_ms)
                self.now_ms += 200
        self.all += said
        return [short(event) for event in said]


def short(event: Event) -> str:
    values = event.values
    oc = values.get(DETAIL + "Oc", "-")
    return f"{values['Vehicle.Bus.Dtc']} {values[DETAIL + 'Spn']} {oc}"


def test_appears_changes_and_goes_with_a_message_without_it() -> None:
    bus = Bus()
    bus.say[0] = dm1(OIL)
    assert bus.run(3) == ["appeared 100 3"]
    bus.say[0] = dm1(OIL._replace(oc=4), FUEL)
    assert bus.run(3) == ["changed 100 4", "appeared 96 1"]
    bus.say[0] = dm1(FUEL)
    assert bus.run(3) == ["gone 100 4"]
    bus.say[0] = dm1()
    assert bus.run(3) == ["gone 96 1"]
    assert bus.dtcs.state()[0][COUNT] == 0


def test_a_record_names_all_there_is_to_know() -> None:
    bus = Bus()
    bus.say[0x31] = dm1(AIR, OIL._replace(oc=OC_UNKNOWN))
    bus.run(1)
    assert bus.all == [
        Event(0, {"Vehicle.Bus.Dtc": "appeared", DETAIL + "Sa": 0x31, DETAIL + "Spn": 132,
                  DETAIL + "Fmi": 5, DETAIL + "Cm": 1, DETAIL + "Oc": 7}, {}),
        Event(0, {"Vehicle.Bus.Dtc": "appeared", DETAIL + "Sa": 0x31, DETAIL + "Spn": 100,
                  DETAIL + "Fmi": 1, DETAIL + "Cm": 0}, {DETAIL + "Oc": State.NOT_AVAILABLE}),
    ]  # fmt: skip


def test_goes_when_its_sender_is_silent_for_five_seconds() -> None:
    bus = Bus()
    bus.say = {0: dm1(OIL), 3: dm1(OIL)}
    assert bus.run(2) == ["appeared 100 3"] * 2
    del bus.say[3]
    assert bus.run(4) == []
    assert bus.run(3) == ["gone 100 3"]
    assert 5000 <= bus.all[-1].at_ms - 1000 <= 6000
    assert bus.all[-1].values[DETAIL + "Sa"] == 3
    bus.say[3] = dm1(OIL)
    assert bus.run(2) == ["appeared 100 3"]


@pytest.mark.parametrize(
    ("then", "what"),
    [
        (dm1(OIL._replace(oc=4)), "changed 100 4"),
        (dm1(OIL._replace(cm=1)), "changed 100 3"),
        (dm1(OIL, lamps="10ff"), "changed 100 3"),
    ],
)
def test_what_is_a_change(then: bytes, what: str) -> None:
    bus = Bus()
    bus.say[0] = dm1(OIL)
    bus.run(2)
    bus.say[0] = then
    assert bus.run(5) == [what]


def test_counting_up_is_stated_once_a_minute_and_ends_with_the_truth() -> None:
    bus = Bus()
    said: list[str] = []
    for n in range(120):
        bus.say[0] = dm1(OIL._replace(oc=n))
        said += bus.run(1)
    said += bus.run(60)
    assert said == ["appeared 100 0", "changed 100 1", "changed 100 61", "changed 100 119"]


def test_coming_and_going_is_stated_three_times_and_then_once_a_minute() -> None:
    bus = Bus()
    said: list[str] = []
    for n in range(601):
        bus.say[0] = dm1(OIL) if n % 2 == 0 else dm1()
        said += bus.run(1)
    assert said[:3] == ["appeared 100 3", "gone 100 3", "appeared 100 3"]
    assert 8 <= len(said) <= 3 + 10
    said += bus.run(120)  # it stays
    assert said[-1] == "appeared 100 3"
    whats = [one.split()[0] for one in said]
    assert whats == ["appeared", "gone"] * (len(whats) // 2) + ["appeared"] * (len(whats) % 2)


def test_one_that_comes_and_goes_holds_up_no_other() -> None:
    bus = Bus()
    for n in range(600):
        bus.say[0] = dm1(OIL) if n % 2 == 0 else dm1()
        bus.run(1)
    bus.say[3] = dm1(*(Dtc(500 + n, 1, 1, 0) for n in range(50)))
    assert bus.run(1)[-1] == "appeared 549 1"


def test_after_a_quiet_time_it_is_stated_at_once_again() -> None:
    bus = Bus()
    for n in range(20):
        bus.say[0] = dm1(OIL) if n % 2 == 0 else dm1()
        bus.run(1)
    bus.say[0] = dm1()
    bus.run(300)
    bus.say[0] = dm1(OIL)
    assert bus.run(1) == ["appeared 100 3"]
    bus.say[0] = dm1()
    assert bus.run(1) == ["gone 100 3"]


def test_fifty_codes_of_one_message() -> None:
    bus = Bus()
    bus.say[0] = dm1(*(Dtc(500 + n, 1, 1, 0) for n in range(50)))
    assert bus.run(2) == [f"appeared {500 + n} 1" for n in range(50)]
    assert bus.dtcs.state()[0][COUNT] == 50


@pytest.mark.parametrize("payload", [b"", b"\x40"])
def test_a_message_that_is_too_short_says_nothing(payload: bytes) -> None:
    bus = Bus()
    bus.say[0] = payload
    assert bus.run(3) == []
    assert not bus.dtcs.heard
    bus.say[0] = dm1(OIL)
    bus.run(1)
    bus.say[0] = payload
    assert bus.run(3) == []
    assert bus.dtcs.count == 1


def test_lamps_are_the_strongest_of_all_senders() -> None:
    bus = Bus()
    assert bus.dtcs.state() == ({}, dict.fromkeys(
        (COUNT, *(f"Vehicle.Bus.DtcLamp.{lamp}" for lamp in ("Protect", "Amber", "Red", "Mil"))),
        State.NOT_AVAILABLE,
    ))  # fmt: skip
    bus.say = {0: dm1(lamps="00ff"), 3: dm1(lamps="f0ff")}
    bus.run(1)
    values, states = bus.dtcs.state()
    assert (values[MIL], states) == ("off", {})
    bus.say[3] = dm1(OIL, lamps="40ff")
    bus.run(1)
    assert bus.dtcs.state()[0][MIL] == "on"
    bus.say[5] = dm1(OIL, lamps="7f3f")
    bus.run(1)
    assert bus.dtcs.state()[0] == {
        COUNT: 2, "Vehicle.Bus.DtcLamp.Protect": "off", "Vehicle.Bus.DtcLamp.Amber": "off",
        "Vehicle.Bus.DtcLamp.Red": "off", MIL: "flashing",
    }  # fmt: skip
    bus.say.clear()
    bus.run(10)
    assert bus.dtcs.state()[1].keys() == set(bus.dtcs.state()[0].keys() ^ {COUNT}) | {
        f"Vehicle.Bus.DtcLamp.{lamp}" for lamp in ("Protect", "Amber", "Red", "Mil")
    }


def test_a_hostile_bus_floods_neither_memory_nor_the_outbox() -> None:
    """253 senders, 50 codes of each that were never there before, every 30 s for ten minutes."""
    dice = random.Random(5)
    dtcs = ActiveDtcs()
    said = 0
    tracemalloc.start()
    for second in range(20):
        for sa in range(253):
            codes = (Dtc(dice.randrange(0x7FFFF), dice.randrange(32), 1, 0) for _ in range(50))
            dtcs.hear(sa, dm1(*codes), second * 30_000)
        said += len(dtcs.events(second * 30_000 + 1))
        assert dtcs.count <= MAX_DTCS
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert said <= 256 + 600 // 5 + 1
    assert peak < 2_000_000


def test_one_sender_cannot_take_all_the_room_and_room_comes_back() -> None:
    bus = Bus()
    bus.say[9] = dm1(*(Dtc(1000 + n, 1, 1, 0) for n in range(400)))
    bus.run(1)
    assert bus.dtcs.count == MAX_DTCS_OF_A_SENDER
    bus.say[0] = dm1(OIL)
    assert bus.run(1) == ["appeared 100 3"]
    for sa in range(10, 20):
        bus.say[sa] = bus.say[9]
    bus.run(2)
    assert bus.dtcs.count == MAX_DTCS
    bus.say[1] = dm1(FUEL)
    bus.run(1)
    for sa in range(10, 20):
        del bus.say[sa]
    bus.run(8)
    # The senders that are gone made room: the same message of 1 is now followed.
    assert bus.dtcs.count == 1 + 1 + MAX_DTCS_OF_A_SENDER


MESSAGES = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.lists(
            st.tuples(st.integers(1, 4), st.integers(0, 1), st.integers(0, 2)), max_size=4
        ),
        st.integers(0, 9),
    ),
    max_size=40,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(MESSAGES)
def test_in_the_end_what_was_stated_is_what_is_true(
    messages: list[tuple[int, list[tuple[int, int, int]], int]],
) -> None:
    bus = Bus()
    for sa, codes, seconds in messages:
        bus.say[sa] = dm1(*(Dtc(spn, fmi, oc, 0) for spn, fmi, oc in codes))
        bus.run(seconds)
    bus.run(130)
    stated: dict[tuple[object, ...], object] = {}
    for event in bus.all:
        values = event.values
        key = tuple(values[DETAIL + part] for part in ("Sa", "Spn", "Fmi"))
        what = values["Vehicle.Bus.Dtc"]
        assert (key in stated) == (what != "appeared"), "an edge was lost or doubled"
        if what == "gone":
            del stated[key]
        else:
            stated[key] = values[DETAIL + "Oc"]
    truth = {
        (sa, spn, fmi): oc
        for sa, payload in bus.say.items()
        for spn, fmi, oc, _ in decode(payload).dtcs
    }
    assert stated == truth
