"""The ring: numbers, batches, overflow accounts, and that every number is accounted for."""

from __future__ import annotations

import threading

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.protocol import MAX_DATAGRAM, MAX_RECORDS, Records, Skipped, WireRecord, decode_upward
from agent.ring import MAX_RECORD, NotDurable, Ring


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def record(value: int = 0, text: str = "") -> bytes:
    return msgspec.msgpack.encode(WireRecord(0, 1, [value, text]))


def ring(limit: int = 1 << 20, clock: Clock | None = None) -> Ring:
    return Ring(limit, lambda: None, clock or Clock())


def drain(filled: Ring) -> list[Records | Skipped]:
    sent: list[bytes] = []
    while filled.transmit(sent.append):
        pass
    messages = [decode_upward(datagram) for datagram in sent]
    assert all(isinstance(message, Records | Skipped) for message in messages)
    assert all(len(datagram) <= MAX_DATAGRAM for datagram in sent)
    return messages  # type: ignore[return-value]


def test_samples_wait_for_company_and_an_event_does_not() -> None:
    clock = Clock()
    r = ring(clock=clock)
    assert r.append(record(1), important=False) == 1
    assert r.seal() == pytest.approx(0.050)
    assert not drain(r)
    clock.now += 0.051
    assert r.seal() is None
    assert [(m.first, len(m.records)) for m in drain(r)] == [(1, 1)]  # type: ignore[union-attr]

    r.append(record(2), important=False)
    assert r.append(record(3), important=True) == 3
    # The samples before it go first and apart: a flood may cost them, never the event.
    assert [m.first for m in drain(r)] == [2, 3]


def test_a_datagram_has_at_most_fifty_records_and_64_kib() -> None:
    r = ring()
    for i in range(MAX_RECORDS + 1):
        r.append(record(i), important=False)
    assert [len(m.records) for m in drain(r)] == [MAX_RECORDS]  # type: ignore[union-attr]

    r = ring()
    for i in range(20):
        r.append(record(i, "x" * 10_000), important=False)
    r.flush()
    assert [len(m.records) for m in drain(r)] == [6, 6, 6, 2]  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="at most"):
        r.append(b"x" * (MAX_RECORD + 1), important=False)
    assert r.append(b"\xc0" * MAX_RECORD, important=True) == 21


def test_a_send_forgets_nothing_and_a_durable_number_does() -> None:
    r = ring()
    for i in range(100):
        r.append(record(i), important=False)
    assert [m.first for m in drain(r)] == [1, 51]
    r.rewind(0)
    assert [m.first for m in drain(r)] == [1, 51]
    r.rewind(70)  # within the second datagram: it goes out again whole
    assert [m.first for m in drain(r)] == [51]
    r.trim(100)
    assert r.empty()
    assert r.nbytes == 0


def test_a_number_may_become_durable_before_it_goes_out_again() -> None:
    """The connection broke, the commit of what had arrived did not."""
    r = ring()
    for i in range(150):
        r.append(record(i), important=False)
    drain(r)
    r.rewind(0)
    r.trim(100)
    assert [m.first for m in drain(r)] == [101]


def test_a_full_socket_keeps_its_place() -> None:
    r = ring()
    for i in range(100):
        r.append(record(i), important=False)

    def full(_: bytes) -> None:
        raise BlockingIOError

    with pytest.raises(BlockingIOError):
        r.transmit(full)
    assert [m.first for m in drain(r)] == [1, 51]


def test_a_coordinator_that_lost_its_outbox_is_told_what_is_gone() -> None:
    r = ring()
    for i in range(150):
        r.append(record(i), important=False)
    drain(r)
    r.trim(50)
    r.rewind(0)
    first, *others = drain(r)
    assert first == Skipped(1, 50, 0)
    assert [m.first for m in others] == [51, 101]


def test_overflow_drops_the_oldest_samples_and_says_which() -> None:
    r = ring(limit=20_000)
    for i in range(500):
        r.append(record(i, "x" * 50), important=False)
        if i % 100 == 0:
            r.append(record(i), important=True)
    r.flush()
    assert r.nbytes <= 20_000
    messages = drain(r)
    expected = 1
    skipped = 0
    events = 0
    for message in messages:
        assert message.first == expected
        if isinstance(message, Skipped):
            assert message.count == message.last - message.first + 1
            skipped += message.count
            expected = message.last + 1
        else:
            expected = message.first + len(message.records)
            events += len(message.records) == 1
    assert expected == 506
    assert r.lost == skipped > 100
    assert r.lost_important == 0
    assert events >= 5


def test_what_was_sent_and_is_confirmed_after_the_overflow_is_not_lost() -> None:
    r = ring(limit=20_000)
    for i in range(100):
        r.append(record(i, "x" * 50), important=False)
    drain(r)
    for i in range(400):
        r.append(record(i, "x" * 50), important=False)
    lost_unsent = r.lost
    r.trim(100)
    assert r.lost == lost_unsent
    skipped = sum(m.count for m in drain(r) if isinstance(m, Skipped))
    assert r.lost == skipped


def test_years_of_overflow_cost_no_more_than_the_limit() -> None:
    r = ring(limit=30_000)
    for i in range(20_000):
        r.append(record(i), important=i % 7 == 0)
    assert r.nbytes <= 30_000
    assert r.lost_important > 0


def test_durable_waits_for_flash() -> None:
    r = ring()
    number = r.append(record(), important=True)
    done = threading.Event()

    def wait() -> None:
        r.wait_durable(number, lambda: None)
        done.set()

    thread = threading.Thread(target=wait)
    thread.start()
    drain(r)
    assert not done.wait(0.05)
    r.trim(number)
    assert done.wait(2.0)
    thread.join()


def test_durable_gives_up_when_the_host_stops_or_the_ring_drops_it() -> None:
    r = ring(limit=2_000)
    number = r.append(record(), important=True)
    for i in range(500):
        r.append(record(i), important=True)
    with pytest.raises(NotDurable, match="overflow"):
        r.wait_durable(number, lambda: None)
    r = ring()
    number = r.append(record(), important=True)
    r.close()
    with pytest.raises(NotDurable, match="stops"):
        r.wait_durable(number, lambda: None)


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("emit"), st.integers(1, 120)),
        st.tuples(st.just("event"), st.integers(1, 5)),
        st.tuples(st.just("send"), st.integers(1, 6)),
        st.tuples(st.just("commit"), st.integers(0, 300)),
        st.tuples(st.sampled_from(["flush", "drop", "kill"]), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(_steps, st.sampled_from([3_000, 10_000, 1 << 20]))
def test_every_number_arrives_once_or_is_skipped(steps: list[tuple[str, int]], limit: int) -> None:
    """Against a far end that commits late, loses connections and dies."""
    r = ring(limit=limit)
    emitted = 0
    received = durable = 0
    pending: list[tuple[int, int]] = []  # number, value: taken, not committed
    flash: list[tuple[int, int]] = []

    def take(datagram: bytes) -> None:
        nonlocal received
        message = decode_upward(datagram)
        assert isinstance(message, Records | Skipped)
        assert message.first <= received + 1, "a gap"
        if isinstance(message, Skipped):
            received = max(received, message.last)
            return
        for i, wire in enumerate(message.records):
            if message.first + i > received:
                received = message.first + i
                pending.append((received, int(wire.values[0] or 0)))

    def commit(upto: int) -> None:
        nonlocal durable
        durable = max(durable, min(upto, received))
        flash.extend(item for item in pending if item[0] <= durable)
        pending[:] = [item for item in pending if item[0] > durable]
        r.trim(durable)

    for step, n in [*steps, ("flush", 0), ("send", 10_000), ("commit", 1 << 40)]:
        if step in ("emit", "event"):
            for _ in range(n):
                emitted += 1
                assert r.append(record(emitted), important=step == "event") == emitted
        elif step == "flush":
            r.flush()
        elif step == "send":
            for _ in range(n):
                if not r.transmit(take):
                    break
        elif step == "commit":
            commit(min(durable + n, 1 << 40))
        else:
            if step == "kill":
                pending.clear()
                received = durable
            r.rewind(durable)
    assert r.empty()
    assert received == emitted
    numbers = [number for number, _ in flash]
    assert all(number == value for number, value in flash)
    assert numbers == sorted(set(numbers))
    missing = emitted - len(numbers)
    assert missing <= r.lost + r.lost_important
    if not any(step in ("drop", "kill", "event") for step, _ in steps):
        assert missing == r.lost
    if limit == 1 << 20:
        assert missing == 0
