"""The wires over real pseudo-terminals: who listens, what goes out, when, and what is lost."""

import os
import select
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from simulator.emission import Emission, Heard
from simulator.wires.j1939_slcan import SlcanWire
from simulator.wires.nmea_pty import NmeaWire
from simulator.wires.pty import Wire, boottime_ms

FRAME = b"T18FEF1008FF0032FFFFFFFFFF\r"


def until(fact: Callable[[], bool], within_s: float = 3.0) -> bool:
    deadline = time.monotonic() + within_s
    tick = threading.Event()
    while not fact():
        if time.monotonic() > deadline:
            return False
        tick.wait(0.005)
    return True


@contextmanager
def running(wire: Wire) -> Iterator[Wire]:
    wire.start()
    try:
        yield wire
    finally:
        wire.stop()


@contextmanager
def port(wire: Wire) -> Iterator[int]:
    fd = os.open(wire.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        yield fd
    finally:
        os.close(fd)


def read(fd: int, size: int, within_s: float = 3.0) -> bytes:
    """`size` bytes, or what came within the time."""
    got = b""
    deadline = time.monotonic() + within_s
    while len(got) < size and (left := deadline - time.monotonic()) > 0:
        if select.select([fd], [], [], left)[0]:
            got += os.read(fd, size - len(got))
    return got


def gather(wire: Wire, count: int, within_s: float = 3.0) -> list[Heard]:
    got: list[Heard] = []

    def enough() -> bool:
        got.extend(wire.heard())
        return len(got) >= count

    until(enough, within_s)
    return got


def burst(size: int, at_s: float = 0.0) -> Emission:
    return Emission("gnss", at_s, (b"$" + bytes(range(0x30, 0x7A)) * 40)[: size - 2] + b"\r\n")


def frames(count: int) -> list[Emission]:
    return [Emission("fms", i / 1000, b"T18FF%02X008%016X\r" % (i % 256, i)) for i in range(count)]


# -- a GNSS receiver's port


def test_a_link_names_the_port_for_as_long_as_it_lives(tmp_path: Path) -> None:
    link = tmp_path / "gnss"
    link.symlink_to("/dev/null")  # what a killed run left behind
    with running(NmeaWire(link=link)) as wire:
        assert os.readlink(link) == wire.path and wire.path.startswith("/dev/")
    assert not link.is_symlink()


def test_nobody_listens() -> None:
    with running(NmeaWire(speed=20)) as wire:
        assert not wire.is_open()
        wire.write(burst(100))
        (heard,) = gather(wire, 1)
        assert heard.open_since_boottime_ms is None and not heard.dropped


def test_opening_and_closing_is_seen() -> None:
    with running(NmeaWire(speed=20)) as wire:
        for _ in range(2):
            before = boottime_ms()
            with port(wire) as fd:
                assert until(wire.is_open)
                sent = burst(120)
                wire.write(sent)
                assert read(fd, 120) == sent.data
                (heard,) = gather(wire, 1)
                assert heard.emission is sent
                assert heard.open_since_boottime_ms is not None
                assert before <= heard.open_since_boottime_ms <= heard.written_boottime_ms
                assert heard.written_boottime_ms <= boottime_ms()
            assert until(lambda: not wire.is_open())


@pytest.mark.parametrize(("speed", "want_s"), [(1.0, 0.5), (4.0, 0.125)])
def test_bytes_come_at_the_pace_of_9600_baud(speed: float, want_s: float) -> None:
    with running(NmeaWire(speed=speed)) as wire, port(wire) as fd:
        assert until(wire.is_open)
        began = time.monotonic()
        wire.write(burst(480))
        read(fd, 1)
        first_s = time.monotonic() - began
        read(fd, 479)
        whole_s = time.monotonic() - began
        (heard,) = gather(wire, 1)
        assert first_s < want_s * 0.8
        assert want_s * 0.9 < whole_s < want_s + 1.0
        assert heard.written_boottime_ms >= boottime_ms() - 1_000


def test_bursts_keep_their_order_and_the_pace_adds_up() -> None:
    with running(NmeaWire(speed=4)) as wire, port(wire) as fd:
        assert until(wire.is_open)
        began = time.monotonic()
        sent = [burst(300 + i) for i in range(5)]
        for one in sent:
            wire.write(one)
        assert wire.pending() > 0
        assert read(fd, 1510) == b"".join(one.data for one in sent)
        assert time.monotonic() - began > 1510 / 3840 * 0.9
        assert [h.emission for h in gather(wire, 5)] == sent


def test_a_burst_that_the_port_closed_under_is_not_heard() -> None:
    with running(NmeaWire()) as wire:
        with port(wire) as fd:
            assert until(wire.is_open)
            wire.write(burst(200))
            assert read(fd, 20)
        (heard,) = gather(wire, 1)
        assert heard.open_since_boottime_ms is None


def test_a_burst_that_the_port_was_reopened_under_is_not_heard() -> None:
    with running(NmeaWire()) as wire:
        with port(wire) as fd:
            assert until(wire.is_open)
            wire.write(burst(300))
            assert read(fd, 20)
        assert until(lambda: not wire.is_open())
        with port(wire) as fd:
            (heard,) = gather(wire, 1)
            assert heard.open_since_boottime_ms is None
            # All that was not read before, less what was sent while the port was closed.
            assert 0 < len(read(fd, 300, 0.1)) <= 280


@pytest.mark.parametrize("wire", [NmeaWire, SlcanWire])
def test_the_next_reader_gets_nothing_old(wire: Callable[[], Wire]) -> None:
    with running(wire()) as it:
        with port(it) as fd:
            if isinstance(it, SlcanWire):
                os.write(fd, b"S5\rL\r")
            assert until(it.is_open)
            it.write(Emission(it.source, 0.0, FRAME))
            assert len(gather(it, 1)) == 1
        assert until(lambda: not it.is_open())
        with port(it) as fd:
            assert read(fd, 1, 0.1) == b""


def test_a_reader_that_stopped_costs_whole_bursts_and_no_waiting() -> None:
    with running(NmeaWire(speed=2_000)) as wire, port(wire) as fd:
        assert until(wire.is_open)
        got: list[Heard] = []
        for _ in range(60):
            wire.write(burst(1_500))
            got += gather(wire, 1)
        assert len(got) == 60
        lost = [h for h in got if h.dropped]
        assert lost and not got[0].dropped
        assert all(h.open_since_boottime_ms is not None for h in got)
        assert read(fd, 1_500) == burst(1_500).data


def test_too_many_waiting_bursts_are_dropped() -> None:
    with running(NmeaWire()) as wire, port(wire):
        assert until(wire.is_open)
        for _ in range(100):
            wire.write(burst(500))
        assert sum(h.dropped for h in gather(wire, 36)) == 36


def test_another_baud_rate_reads_nonsense() -> None:
    with running(NmeaWire(speed=20)) as wire, port(wire) as fd:
        modes = termios.tcgetattr(fd)
        assert modes[4] == termios.B9600
        modes[4] = modes[5] = termios.B115200
        termios.tcsetattr(fd, termios.TCSANOW, modes)
        assert until(wire.is_open)
        wire.write(burst(200))
        assert b"$" not in read(fd, 200)[:1]
        (heard,) = gather(wire, 1)
        assert heard.open_since_boottime_ms is None


def test_what_waits_at_the_end_is_accounted_for() -> None:
    wire = NmeaWire()
    wire.start()
    for _ in range(3):
        wire.write(burst(900))
    wire.stop()
    assert [h.open_since_boottime_ms for h in wire.heard()] == [None] * 3
    assert not [t for t in threading.enumerate() if t.name == "wire-gnss"]
    wire.stop()


# -- a USB-CAN stick


def ask(fd: int, command: bytes, answer: int = 1) -> bytes:
    os.write(fd, command)
    return read(fd, answer, 1.0)


def test_the_stick_s_dialogue() -> None:
    with running(SlcanWire()) as wire, port(wire) as fd:
        assert ask(fd, b"L\r") == b"\a"  # no bit rate yet
        assert ask(fd, b"\r\r\r", 3) == b"\r\r\r"
        assert ask(fd, b"C\r") == b"\r"
        assert ask(fd, b"V\r", 6) == b"V1013\r"
        assert ask(fd, b"N\r", 6) == b"NS001\r"
        assert ask(fd, b"S9\r") == ask(fd, b"S\r") == ask(fd, b"nonsense\r") == b"\a"
        assert ask(fd, b"S5\r") == b"\r"
        assert not wire.is_open()
        assert ask(fd, b"L\r") == b"\r"
        assert wire.is_open()
        assert ask(fd, b"F\r", 4) == b"F00\r"
        assert ask(fd, b"S6\r") == ask(fd, b"L\r") == b"\a"
        assert ask(fd, b"C\r") == b"\r"
        assert not wire.is_open()
        assert ask(fd, b"O\r") == b"\r"
        assert wire.is_open()
        assert ask(fd, b"x" * 100) == b"\a"  # a command without an end


@pytest.mark.parametrize(
    "command", [b"T18FEF1008FF0032FFFFFFFFFF\r", b"t1232AABB\r", b"R18FEF1000\r", b"r1230\r"]
)
def test_no_frame_is_taken_for_the_bus(command: bytes) -> None:
    with running(SlcanWire()) as wire, port(wire) as fd:
        assert isinstance(wire, SlcanWire)
        assert ask(fd, b"S5\rO\r", 2) == b"\r\r"
        assert wire.transmitted == 0
        assert ask(fd, command) == b"\a"
        assert wire.transmitted == 1


def test_frames_come_between_l_and_c_only() -> None:
    with running(SlcanWire()) as wire, port(wire) as fd:
        sent = frames(6)
        wire.write(sent[0])
        assert gather(wire, 1)[0].open_since_boottime_ms is None
        assert ask(fd, b"S5\r") == b"\r"
        wire.write(sent[1])
        assert gather(wire, 1)[0].open_since_boottime_ms is None
        before = boottime_ms()
        assert ask(fd, b"L\r") == b"\r"
        for one in sent[2:4]:
            wire.write(one)
        assert read(fd, 54) == sent[2].data + sent[3].data
        for heard in gather(wire, 2):
            assert heard.open_since_boottime_ms is not None
            assert before <= heard.open_since_boottime_ms <= heard.written_boottime_ms
        assert ask(fd, b"C\r") == b"\r"
        wire.write(sent[4])
        assert gather(wire, 1)[0].open_since_boottime_ms is None
        assert read(fd, 1, 0.05) == b""


def test_a_hang_up_closes_the_channel() -> None:
    with running(SlcanWire()) as wire:
        with port(wire) as fd:
            assert ask(fd, b"S5\rL\r", 2) == b"\r\r"
        assert until(lambda: not wire.is_open())
        with port(wire) as fd:
            wire.write(frames(1)[0])
            assert gather(wire, 1)[0].open_since_boottime_ms is None
            assert ask(fd, b"L\r") == b"\a"


def test_at_another_bit_rate_the_stick_is_deaf() -> None:
    with running(SlcanWire()) as wire, port(wire) as fd:
        assert ask(fd, b"S6\rL\r", 2) == b"\r\r"
        wire.write(frames(1)[0])
        assert gather(wire, 1)[0].open_since_boottime_ms is None
        assert read(fd, 1, 0.05) == b""


def test_a_full_bus_comes_through_whole() -> None:
    sent = frames(1_850)
    with running(SlcanWire()) as wire, port(wire) as fd:
        assert ask(fd, b"S5\rL\r", 2) == b"\r\r"
        got = bytearray()
        tick = threading.Event()
        began, began_cpu = time.monotonic(), time.process_time()
        due = 0
        while due < len(sent) or (len(got) < 27 * len(sent) and time.monotonic() - began < 5):
            now = min(len(sent), int((time.monotonic() - began) * 1_850))
            for one in sent[due:now]:
                wire.write(one)
            due = now
            got += read(fd, 4_096, 0.0) if select.select([fd], [], [], 0.0)[0] else b""
            if select.select([fd], [], [], 0)[0]:
                got += os.read(fd, 65_536)
            tick.wait(0.01)
        cpu_s = time.process_time() - began_cpu
        assert bytes(got) == b"".join(one.data for one in sent)
        heard = gather(wire, 1_850)
        assert [h.emission for h in heard] == sent
        assert not any(h.dropped or h.open_since_boottime_ms is None for h in heard)
        assert cpu_s < 0.5


def test_a_stopped_reader_costs_whole_frames() -> None:
    sent = frames(3_000)
    with running(SlcanWire()) as wire, port(wire) as fd:
        assert ask(fd, b"S5\rL\r", 2) == b"\r\r"
        for one in sent:
            wire.write(one)
        # More than a terminal holds; the stick's own memory gives up after half a second.
        heard = gather(wire, len(sent) - 1, 3.0)
        lost = [h.emission for h in heard if h.dropped]
        assert len(lost) > 1_000
        got = read(fd, 27 * len(sent), 0.3)
        assert got.count(b"\r") * 27 == len(got)
        heard += gather(wire, 1)
        assert len(heard) == len(sent)
        kept = [h.emission for h in heard if not h.dropped]
        assert got == b"".join(one.data for one in sorted(kept, key=lambda e: e.at_s))
        # And it goes on, with whole lines.
        wire.write(sent[0])
        assert read(fd, 27) == sent[0].data


def test_answers_never_stand_inside_a_frame() -> None:
    sent = frames(1_500)
    with running(SlcanWire()) as wire, port(wire) as fd:
        assert ask(fd, b"S5\rL\r", 2) == b"\r\r"
        for one in sent:
            wire.write(one)
        got = b""
        for _ in range(20):
            os.write(fd, b"F\r")
            got += read(fd, 1_000, 0.05)
        got += read(fd, 1_500 * 27 + 80 - len(got), 1.0)
        lines = got.split(b"\r")[:-1]
        assert lines.count(b"F00") == 20
        assert [line + b"\r" for line in lines if line != b"F00"] == [one.data for one in sent]
