"""Networks: connections that die without a word, at any byte, that crawl, that flood."""

from __future__ import annotations

import random
import resource
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.liar import PINGREQ, PUBACK, Liar, Line, Packet, between, packet, puback
from tests.faults.world import World

HALF_OPEN_S = 45.0


@pytest.fixture
def liar(world: World) -> Iterator[Liar]:
    with between(world) as made:
        yield made


def begin(world: World, n: int = 30) -> None:
    """All is well, and `n` records have arrived."""
    world.dial()
    world.start()
    world.feed()
    world.until(lambda: world.delivered() >= n, f"{n} records arrived")


def up(world: World, since: int) -> bool:
    return "uplink up" in world.log(since)


@pytest.mark.fault("G1", "the broker goes up and down once a second for 15 s", slice=True)
def test_a_broker_that_flaps(world: World, liar: Liar) -> None:
    begin(world)
    before, until = len(liar.lines), time.monotonic() + 15
    while time.monotonic() < until:
        world.offline()
        world.accepts(25)
        world.broker.start()
        world.accepts(25)
    world.dial()
    attempts = liar.accepted - before
    world.figures["attempts"] = attempts
    # Pauses of 1 s at least, growing with the age of the trouble.
    assert 1 <= attempts <= 16
    world.settle(healed_at=time.monotonic())
    assert not world.alarms("")


@pytest.mark.fault("G1.1", "after an outage the newest goes first while the backlog drains")
def test_fresh_first(world: World, liar: Liar) -> None:
    world.configure(store="commit_interval_s = 0.05\n")
    world.start()
    feeder = world.feed(rate=500)
    world.accepts(4_000)
    liar.bytes_per_s = 6_000
    newest, seen = feeder.emitted(), []

    def note(one: Packet, line: Line) -> bytes:
        if one.batch and one.topic.endswith("telemetry"):
            seen.append(one)
        return one.raw

    liar.up = note
    world.dial()
    world.until(lambda: _delivered_after(world, newest), "something newer than the outage", 60)
    behind = feeder.emitted() - world.delivered()
    world.figures["behind_when_fresh"] = behind
    assert behind > 500, "the backlog was there still"
    liar.bytes_per_s = None
    liar.cut()
    world.settle(healed_at=time.monotonic())


def _delivered_after(world: World, number: int) -> bool:
    if not world.ledger.exists():
        return False
    with closing(sqlite3.connect(f"file:{world.ledger}?mode=ro", uri=True)) as db:
        query = (
            "SELECT count(*) FROM record WHERE json_extract(vals, '$.\"Vehicle.Test.Count\"') > ?"
        )
        return bool(db.execute(query, (number,)).fetchone()[0])


@pytest.mark.fault("G2", "half-open: what the vehicle sends is not taken any more")
def test_half_open_upwards(world: World, liar: Liar) -> None:
    begin(world)
    _silenced(world, liar, reading=False)


@pytest.mark.fault("G2", "half-open: what the broker says does not arrive any more")
def test_half_open_downwards(world: World, liar: Liar) -> None:
    begin(world)
    _silenced(world, liar, speaking=False)


@pytest.mark.fault("G2", "half-open: the broker answers pings and nothing else")
def test_half_open_but_for_pings(world: World) -> None:
    with between(world, keepalive_s=5) as liar:
        begin(world)
        liar.down = lambda one, line: None if one.type == PUBACK else one.raw
        liar.up = lambda one, line: one.raw if one.type == PINGREQ else None
        _noticed(world, liar)
        liar.up = liar.down = None
        liar.cut()
        world.settle(healed_at=time.monotonic())


@pytest.mark.fault("G2", "half-open with nothing to send: noticed by the keep alive")
def test_half_open_at_rest(world: World) -> None:
    with between(world, keepalive_s=10) as liar:
        begin(world)
        world.feeders["count"].tell("rate 0")
        world.until(lambda: (world.answer("audit") or {"queued": 1})["queued"] == 0, "all is acked")
        liar.speaking.clear()
        took_s = _noticed(world, liar)
        assert took_s <= 15 + 3, "1.5 times the keep alive, and a step of the loop"
        liar.speaking.set()
        world.feeders["count"].tell("rate 50")
        world.settle(healed_at=time.monotonic())


def _silenced(world: World, liar: Liar, *, reading: bool = True, speaking: bool = True) -> None:
    if not reading:
        liar.reading.clear()
    if not speaking:
        liar.speaking.clear()
    _noticed(world, liar)
    world.accepts(20)
    liar.reading.set()
    liar.speaking.set()
    liar.cut()
    world.settle(healed_at=time.monotonic())
    assert not world.alarms("")


def _noticed(world: World, liar: Liar) -> float:
    """Wait until the agent gives the connection up; the seconds that this took."""
    mark, began = world.mark(), time.monotonic()
    world.until(lambda: "uplink down" in world.log(mark), "it is noticed", HALF_OPEN_S)
    took_s = time.monotonic() - began
    world.figures["noticed_ms"] = round(took_s * 1000)
    return took_s


@pytest.mark.fault("G3", "confirmations doubled, of unknown messages, in another order", slice=True)
def test_confirmations_that_lie(world: World, liar: Liar) -> None:
    held: list[bytes] = []

    def lie(one: Packet, line: Line) -> bytes:
        if one.type != PUBACK:
            return one.raw
        held.append(one.raw)
        if len(held) < 3:
            return b""
        said = puback(60_000) + b"".join(reversed(held)) + one.raw
        held.clear()
        return said

    liar.down = lie
    begin(world, 100)
    liar.down = None
    liar.cut()
    world.settle(healed_at=time.monotonic())
    assert not world.alarms("")


@pytest.mark.fault("G3", "confirmations never come: given up after 20 s, sent again, window kept")
def test_no_confirmation_ever(world: World, liar: Liar) -> None:
    world.dial()
    batches: list[tuple[Line, bytes]] = []

    def count(one: Packet, line: Line) -> bytes | None:
        if one.batch:
            batches.append((line, one.raw))
            return None
        return one.raw

    liar.up = count
    world.start()
    world.feed()
    world.until(lambda: liar.lines, "a connection")
    _noticed(world, liar)
    for line in liar.lines:
        sent = [raw for of, raw in batches if of is line]
        assert len(sent) <= 6, "the window"
        assert len(set(sent)) == len(sent), "nothing twice on one connection"
    liar.up = None
    liar.cut()
    world.settle(healed_at=time.monotonic())


@pytest.mark.fault("G5", "the line is cut after n bytes, upwards and downwards")
def test_cut_at_any_byte(world: World, liar: Liar) -> None:
    begin(world)
    rng, cuts = random.Random(5), 0
    for n in [*range(1, 12), *(rng.randrange(12, 900) for _ in range(9))]:
        left = [n]

        def cut(one: Packet, line: Line, left: list[int] = left) -> bytes | None:
            left[0] -= len(one.raw)
            if left[0] > 0:
                return one.raw
            target = line.broker if one.type != PUBACK else line.agent
            target.sendall(one.raw[: len(one.raw) + left[0]])
            line.cut()
            return None

        if n % 2:
            liar.up = cut
        else:
            liar.down = cut
        before = liar.accepted
        liar.cut()
        world.until(lambda before=before: liar.accepted >= before + 2, "cut, and back again", 60)  # type: ignore[misc]
        liar.up = liar.down = None
        cuts += 1
    world.figures["runs"] = cuts
    world.settle(healed_at=time.monotonic())


@pytest.mark.fault("G11", "alarms during catch-up on 384 kbit/s: bounded by what is under way")
def test_alarms_overtake_a_backlog(world: World, liar: Liar) -> None:
    world.configure(store="commit_interval_s = 0.2\n")
    world.start()
    feeder = world.feed(rate=200)
    feeder.tell("pad 400")  # text that does not compress
    world.accepts(9_000, within_s=90)
    feeder.tell("rate 10")
    liar.bytes_per_s, liar.delay_s = 48_000, 0.3
    world.dial()
    mark = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
    latencies: list[int] = []

    def enough() -> bool:
        nonlocal latencies
        latencies = _latencies(world, mark) if world.ledger.exists() else []
        return len(latencies) >= 15

    world.until(enough, "15 alarms while the backlog drains", 90)
    backlog = feeder.emitted() - world.delivered()
    latencies.sort()
    world.figures["alarm_p50_ms"] = latencies[len(latencies) // 2]
    world.figures["alarm_max_ms"] = latencies[-1]
    world.figures["backlog"] = backlog
    assert backlog > 500, "the backlog was there still"
    assert latencies[-1] < 3_500
    liar.bytes_per_s, liar.delay_s = None, 0.0
    liar.cut()
    feeder.tell("pad 0")
    world.settle(healed_at=time.monotonic())


def _latencies(world: World, since_boottime_ms: int) -> list[int]:
    """From capture to arrival of the alarms captured since, in ms."""
    with closing(sqlite3.connect(f"file:{world.ledger}?mode=ro", uri=True)) as db:
        query = (
            "SELECT received_boottime_ms - boottime_ms FROM record "
            "WHERE kind = 'event' AND boottime_ms > ?"
        )
        return [row[0] for row in db.execute(query, (since_boottime_ms + 3_000,))]


@pytest.mark.fault("I11", "the broker announces packets of 256 MB, and sends them", slice=True)
def test_packets_without_end(world: World, liar: Liar) -> None:
    begin(world)
    before_kb = _peak_kb(world.pid)
    floods = []

    def flood(agent: socket.socket) -> None:
        floods.append(agent)
        agent.recv(4_096)
        agent.sendall(b"\x20\x03\x00\x00\x00" + b"\x30\xff\xff\xff\x7f")
        for _ in range(256):
            agent.sendall(bytes(1 << 20))

    liar.instead = flood
    liar.cut()
    world.until(lambda: len(floods) >= 2, "it came twice", 30)
    liar.instead = None
    world.settle(healed_at=time.monotonic())
    grown = _peak_kb(world.pid) - before_kb
    world.figures["rss_grown_kb"] = grown
    assert grown < 16_000


@pytest.mark.fault("I11", "the broker floods a subscribed topic with 30,000 acks of 60 kB")
def test_a_flood_of_acks(world: World, liar: Liar) -> None:
    begin(world)
    before_kb = _peak_kb(world.pid)
    topic = b"brain/v1/bus-4021/dn/acks"
    text = b'{"epoch": "' + b"e" * 60_000 + b'", "ranges": []}'
    one = packet(0x30, len(topic).to_bytes(2, "big") + topic + b"\x00" + text)
    line = liar.lines[-1]
    until = time.monotonic() + 5
    while time.monotonic() < until and line.open:
        line.answer(one)
    world.settle(healed_at=time.monotonic())
    grown = _peak_kb(world.pid) - before_kb
    world.figures["rss_grown_kb"] = grown
    assert grown < 24_000


def _peak_kb(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM"))


@pytest.mark.fault(
    "H3", "no file descriptor is left when the line is cut: it waits, it does not spin"
)
def test_no_descriptor_left(world: World, liar: Liar) -> None:
    begin(world)
    mark = world.mark()
    fds = len(list(Path(f"/proc/{world.pid}/fd").iterdir()))
    soft, hard = resource.prlimit(world.pid, resource.RLIMIT_NOFILE)
    # The reader of the outbox and look-ups come and go: none for them either.
    resource.prlimit(world.pid, resource.RLIMIT_NOFILE, (max(3, fds // 2), hard))
    liar.cut()
    world.until(lambda: "Too many open files" in world.log(mark), "it is said")
    before = _cpu_s(world.pid)
    world.accepts(100)
    spent = _cpu_s(world.pid) - before
    world.figures["cpu_ms"] = round(spent * 1000)
    assert spent < 2.0
    resource.prlimit(world.pid, resource.RLIMIT_NOFILE, (soft, hard))
    world.settle(healed_at=time.monotonic())


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@pytest.mark.fault("H6", "no HOME, locale C, umask 0, no temporary folder: it starts", slice=True)
def test_a_bare_environment(world: World) -> None:
    world.env = {"LC_ALL": "C", "LANG": "C", "TMPDIR": "/nowhere"}
    world.dial()
    world.start("sh", "-c", 'unset HOME; umask 0; exec "$@"', "sh")
    world.feed()
    world.accepts(30)
    world.settle()
    assert not world.alarms("")
    open_to_all = [p.name for p in world.state_dir.iterdir() if p.stat().st_mode & 0o002]
    assert not open_to_all, "nobody else may write what the agent keeps"
