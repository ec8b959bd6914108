"""No edge is lost and none invented, whatever is skipped: against a decoder that skips nothing."""

from __future__ import annotations

from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.sdk import Keep, Scalar, State
from drivers.fms_j1939 import can_raw
from drivers.fms_j1939 import receiver as receiver_module
from drivers.fms_j1939.frames import Frame, parse
from drivers.fms_j1939.guards import GUARDS
from drivers.fms_j1939.pgn import Composer
from drivers.fms_j1939.receiver import REPEAT_MS, Receiver
from drivers.fms_j1939.spn import Reading
from drivers.fms_j1939.table import PGNS

SIGNALS = {
    signal.path: signal for pgn in PGNS.values() for signal in pgn.group.signals if signal.path
}
EDGES = {
    path
    for path, signal in SIGNALS.items()
    if signal.thinning.keep is Keep.CHANGE and path not in GUARDS
}
# Doors, tachograph, switches, gear; multiplexed: services, axles, tell-tales; a fallback pair.
CHOSEN = [65102, 64933, 65132, 65265, 61445, 65216, 65258, 64893, 64777, 65257]

# Few values, so that payloads repeat and come back; many differ from another one in one byte only.
BYTES = st.sampled_from([0x00, 0x01, 0x02, 0x55, 0x7D, 0xFB, 0xFE, 0xFF])
NEARLY = st.tuples(st.sampled_from([bytes(8), b"\xff" * 8]), st.integers(0, 7), BYTES).map(
    lambda found: found[0][: found[1]] + bytes([found[2]]) + found[0][found[1] + 1 :]
)
PAYLOADS = st.one_of(
    NEARLY,
    NEARLY,
    NEARLY,
    st.lists(BYTES, min_size=8, max_size=8).map(bytes),
    st.sampled_from([b"", b"\x01", bytes(8), bytes(7)]),
)


def said_of(reading: Reading) -> Scalar | State:
    """What a reading is, by its definition in spn.py."""
    if reading.stated is not None and reading.plausible:
        return reading.stated
    return reading.state or State.IMPLAUSIBLE


class Naive:
    """Decodes every message whole and keeps each change of each believed signal."""

    def __init__(self) -> None:
        self.told: dict[str, list[Scalar | State]] = {}
        self._composers: dict[tuple[int, int], Composer | None] = {}

    def hear(self, number: int, sa: int, payload: bytes) -> dict[str, Scalar | State]:
        """All that the message says."""
        pgn = PGNS[number]
        readings = pgn.read(payload)
        if (number, sa) not in self._composers:
            self._composers[number, sa] = pgn.composer()
        composer = self._composers[number, sa]
        if composer is not None:
            readings = [*readings, *composer.add(payload, readings)]
        return {reading.path: said_of(reading) for reading in readings if reading.path}

    def tell(self, path: str, what: Scalar | State) -> None:
        """It is news only where it differs."""
        told = self.told.setdefault(path, [])
        if not told or told[-1] != what or isinstance(told[-1], bool) != isinstance(what, bool):
            told.append(what)


Frames = list[tuple[int, int, bytes, int, bool]]
"""PGN, source address and payload, how long after the one before, whether silence is looked for."""

WAITS = st.sampled_from([0, 1, 100, 650, 800, 999, 1000, 1001, 3000, 7000])

# Of a few parameter groups, senders and payloads, or nothing would ever be repeated.
FRAMES = st.tuples(
    # All eight bytes of DC2 are edges.
    st.lists(st.sampled_from([64933, *CHOSEN]), min_size=1, max_size=2),
    st.lists(PAYLOADS, min_size=2, max_size=6),
).flatmap(
    lambda pool: st.lists(
        st.tuples(
            st.sampled_from(pool[0]),
            st.sampled_from([0, 0, 1]),
            st.sampled_from(pool[1]),
            WAITS,
            st.booleans(),
        ),
        max_size=60,
    )
)


@settings(max_examples=500, deadline=None)
@given(FRAMES, st.booleans())
def test_the_edges_are_those_of_a_decoder_that_skips_nothing(frames: Frames, as_text: bool) -> None:
    receiver, naive = Receiver(), Naive()
    emitted = Naive()
    at_ms = 0
    for number, sa, payload, wait_ms, look in frames:
        looks = range(at_ms + 100, at_ms + wait_ms, 100) if look else ()
        at_ms += wait_ms
        for statement in [one for now_ms in looks for one in receiver.missing(now_ms)]:
            assert not statement.values
            for path, state in statement.states.items():
                assert state is State.MISSING
                naive.tell(path, state)
                emitted.tell(path, state)
        can_id = 6 << 26 | number << 8 | sa
        if as_text:
            line = b"T%08X%d%s" % (can_id, len(payload), payload.hex().encode())
            said = receiver.lines([line], at_ms)
        else:
            raw = (can_id | 1 << 31).to_bytes(4, "little") + bytes([len(payload), 0, 0, 0])
            stamped = receiver.can_frames([(raw + payload.ljust(8, b"\0"), at_ms)])
            said = [statement for _, statements in stamped for statement in statements]
        heard = naive.hear(number, sa, payload)
        for statement in said:
            for path, what in {**statement.values, **statement.states}.items():
                assert path in statement.group.index
                emitted.tell(path, what)
                if path in EDGES:
                    assert heard[path] == what, path
                    assert receiver.believed(path) == (number, sa)
        for path, what in heard.items():
            if receiver.believed(path) == (number, sa):
                naive.tell(path, what)
    for path in EDGES:
        assert emitted.told.get(path) == naive.told.get(path), path


@pytest.mark.parametrize("number", sorted(PGNS))
def test_the_edge_of_every_single_bit_is_stated(number: int) -> None:
    receiver, naive, emitted = Receiver(), Naive(), Naive()
    base = bytes([0x00, 0x00, 0x01, 0x00, 0x01, 0x00, 0x01, 0x00])
    payloads = [base]
    for bit in range(64):
        turned = bytearray(base)
        turned[bit // 8] ^= 1 << bit % 8
        payloads += [bytes(turned), base]
    for at_ms, payload in enumerate(payloads):
        line = b"T%08X8%s" % (6 << 26 | number << 8, payload.hex().encode())
        for statement in receiver.lines([line], at_ms):
            for path, what in {**statement.values, **statement.states}.items():
                emitted.tell(path, what)
        for path, what in naive.hear(number, 0, payload).items():
            if receiver.believed(path) == (number, 0):
                naive.tell(path, what)
    for path in EDGES:
        assert emitted.told.get(path) == naive.told.get(path), path


@settings(max_examples=100, deadline=None)
@given(FRAMES)
def test_both_wires_and_whole_frames_state_the_same(
    frames: Frames,
) -> None:
    text, whole = Receiver(), Receiver()
    at_ms = 0
    for number, sa, payload, wait_ms, look in frames:
        for now_ms in range(at_ms + 100, at_ms + wait_ms, 100) if look else ():
            assert text.missing(now_ms) == whole.missing(now_ms)
        at_ms += wait_ms
        can_id = 6 << 26 | number << 8 | sa
        line = b"T%08X%d%s" % (can_id, len(payload), payload.hex().upper().encode())
        assert text.lines([line], at_ms) == whole.frame(Frame(can_id, payload, True, False), at_ms)


def test_every_signal_that_is_heard_is_stated_once_a_second() -> None:
    """Thinning keeps nothing pending: what it holds back must come again by itself."""
    receiver = Receiver()
    last: dict[str, int] = {}
    for n in range(200):
        # Engine speed changes with each frame, the rest of EEC1 never does.
        line = b"T0CF00400800%04X%04X00000F" % (0x8C8C, n)
        for statement in receiver.lines([line], n * 20):
            for path in {**statement.values, **statement.states}:
                assert n * 20 - last.get(path, 0) <= REPEAT_MS
                last[path] = n * 20
    assert len(last) >= 5
    assert all(at_ms >= 199 * 20 - REPEAT_MS for at_ms in last.values())


def test_what_is_composed_of_several_messages_is_repeated_too() -> None:
    receiver = Receiver()
    path = "Vehicle.Service.DistanceToService"
    at = [
        at_ms
        for at_ms in range(0, 5000, 500)
        for statement in receiver.lines([b"T18FEC00080180%02XFFFFFFFFFF" % 0x80], at_ms)
        if path in statement.values
    ]
    assert at == [0, 1000, 2000, 3000, 4000]


def test_turns_of_a_multiplexer_are_skipped_too() -> None:
    """Four tell-tale blocks in turn, none of which changes: each is read once a second."""
    receiver = Receiver()
    blocks = [b"T18FD7D008%02X%s" % (block, b"88" * 7) for block in (0xF0, 0xF1, 0xF2, 0xF3)]
    receiver.lines(blocks, -5000)
    with mock.patch.object(receiver_module, "parse", side_effect=parse) as parsed:
        said = [receiver.lines(blocks, at_ms) for at_ms in range(0, 10_000, 100)]
    assert [len(statements) for statements in said] == ([4] + [0] * 9) * 10
    assert parsed.call_count == 40
    assert len(receiver._turns) == 1


def test_known_frames_are_not_even_taken_apart() -> None:
    receiver = Receiver()
    lines = [
        b"T18FEF100800C80000000000FF",
        b"T18FEF127800C80000000000FF",
        b"T18FFAA008" + b"0" * 16,
    ]
    receiver.lines(lines, 0)
    with mock.patch.object(receiver_module, "parse", side_effect=parse) as parsed:
        for at_ms in range(0, 10_000, 100):
            receiver.lines(lines, at_ms)
    assert parsed.call_count == 0
    raws = [(0x98FEF100 + sa).to_bytes(4, "little") + b"\x08\0\0\0" + bytes(8) for sa in (0, 9)]
    receiver.can_frames([(raw, 20_000) for raw in raws])
    with mock.patch.object(receiver_module.can_raw, "unpack", side_effect=can_raw.unpack) as taken:
        for at_ms in range(20_000, 30_000, 100):
            receiver.can_frames([(raw, at_ms) for raw in raws])
    assert taken.call_count == 18


def test_one_multiplexed_message_under_two_priorities_takes_bounded_memory() -> None:
    receiver = Receiver()
    for n in range(5000):
        axle, priority = n % 2 << 4, 6 + n // 2 % 2
        receiver.lines([b"T%08X8%02X%04XFFFFFFFFFF" % (priority << 26 | 65258 << 8, axle, n)], n)
    assert len(receiver._turns) == 2
    assert sum(map(len, receiver._turns.values())) <= 2 * 64
