"""A driver's process: its link, its end, its watchdog and its failpoints."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.driver_loop import Backoff
from agent.host import Host
from agent.protocol import (
    MAX_DATAGRAM,
    Answer,
    Command,
    Downward,
    Durable,
    Hello,
    Notifier,
    Records,
    Refused,
    Report,
    Skipped,
    Stop,
    Upward,
    Welcome,
    decode_upward,
    encode,
)
from agent.ring import NotDurable
from agent.sdk import (
    Context,
    Datatype,
    DeviceUnavailable,
    Driver,
    DriverConfig,
    Group,
    Kind,
    Signal,
)

COUNT = Group("count", (Signal("Vehicle.Bus.Count", Datatype.INT64, "", "Counts."),))
DEADLINE_S = 5.0
Run = Callable[[Context], None]


class Acting(Driver[DriverConfig]):
    config_model = DriverConfig
    groups = (COUNT,)
    verbs = frozenset({"double"})

    def __init__(self, act: Run) -> None:
        super().__init__(DriverConfig())
        self._act = act

    def run(self, ctx: Context) -> None:
        self._act(ctx)

    def command(self, verb: str, args: Any) -> dict[str, int]:
        return {"Vehicle.Bus.Count": args["n"] * 2}


def idle(ctx: Context) -> None:
    never = threading.Event()
    while ctx.running():
        never.wait(0.01)


def emitting(count: int, then: Run = idle, kind: Kind = Kind.SAMPLE) -> Run:
    def act(ctx: Context) -> None:
        for i in range(1, count + 1):
            ctx.emit(COUNT, {"Vehicle.Bus.Count": i}, kind=kind)
        then(ctx)

    return act


class Far:
    """The coordinator's end of one connection, by hand."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(DEADLINE_S)

    def get(self) -> Upward | None:
        datagram = self.sock.recv(MAX_DATAGRAM)
        return decode_upward(datagram) if datagram else None

    def put(self, message: Downward) -> None:
        self.sock.send(encode(message))

    def next(self, kind: type[Any]) -> Any:
        until = time.monotonic() + DEADLINE_S
        while time.monotonic() < until:
            message = self.get()
            assert message is not None
            if isinstance(message, kind):
                return message
        raise AssertionError(f"no {kind.__name__}")

    def upto(self, last: int, since: int = 0) -> list[int]:
        """Numbers from `since` on until `last`, which arrive gapless."""
        numbers: list[int] = []
        while not numbers or numbers[-1] < last:
            message = self.next(Records)
            numbers += range(message.first, message.first + len(message.records))
        assert numbers == list(range(since + 1, numbers[-1] + 1))
        return numbers


class Bench:
    """Hosts on threads of this process, and the socket that they connect to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "ingest.sock"
        self.left: list[int] = []
        self._hosts: list[tuple[Host, threading.Thread]] = []
        self._sockets: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self.listen()

    def listen(self) -> None:
        self._listener = self.keep(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        self._listener.settimeout(DEADLINE_S)
        self._listener.bind(str(self.path))
        self._listener.listen(8)

    def deafen(self) -> None:
        """The socket file goes, as when nothing runs."""
        assert self._listener is not None
        self._listener.close()
        self.path.unlink()

    def keep(self, sock: socket.socket) -> socket.socket:
        self._sockets.append(sock)
        return sock

    def host(self, act: Run, **options: Any) -> Host:
        options.setdefault("notifier", Notifier(""))
        host = Host(
            "gnss",
            "acting",
            "1",
            Acting(act),
            self.path,
            self.directory / "workdir",
            backoff=Backoff(lambda *_: 0.01),
            leave=self.left.append,
            **options,
        )
        thread = threading.Thread(target=host.run)
        self._hosts.append((host, thread))
        thread.start()
        return host

    def accept(self, upto: int | None = 0) -> Far:
        """The next connection, greeted; not welcomed where `upto` is None."""
        assert self._listener is not None
        far = Far(self.keep(self._listener.accept()[0]))
        assert isinstance(far.get(), Hello)
        if upto is not None:
            far.put(Welcome(upto))
        return far

    def join(self, host: Host) -> float:
        """Stop a host; seconds that it took."""
        began = time.monotonic()
        host.stop()
        for one, thread in self._hosts:
            if one is host:
                thread.join(DEADLINE_S)
                assert not thread.is_alive()
        return time.monotonic() - began

    def close(self) -> None:
        for host, _ in self._hosts:
            self.join(host)
        for sock in self._sockets:
            sock.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE_S
    never = threading.Event()
    while not true():
        assert time.monotonic() < until
        never.wait(0.01)


def test_nothing_is_sent_before_the_welcome_and_all_after_it(bench: Bench) -> None:
    bench.host(emitting(120))
    far = bench.accept(upto=None)
    far.sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        far.get()
    far.sock.settimeout(DEADLINE_S)
    far.put(Welcome(0))
    assert far.upto(120) == list(range(1, 121))


def test_a_new_connection_gets_all_that_is_not_durable(bench: Bench) -> None:
    bench.host(emitting(200))
    far = bench.accept()
    far.upto(200)
    far.put(Durable(50))
    far.sock.close()
    far = bench.accept(upto=100)
    far.upto(200, since=100)


def test_the_coordinator_may_be_away_for_a_while(bench: Bench) -> None:
    bench.deafen()
    host = bench.host(emitting(100))
    wait_until(lambda: host.ctx.records == 100)
    bench.listen()
    far = bench.accept()
    far.upto(100)


def test_a_refusal_is_a_slow_retry(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.host(idle)
    began = time.monotonic()
    for _ in range(2):
        far = bench.accept(upto=None)
        far.put(Refused("source 'gnss' is not configured"))
        far.sock.close()
    bench.accept()
    assert 1.5 < time.monotonic() - began < 4
    said = [r for r in caplog.records if "not configured" in r.getMessage()]
    assert len(said) == 1


def test_overflow_is_told_and_numbers_stay_gapless(bench: Bench) -> None:
    act = emitting(1, emitting(20_000, emitting(1, kind=Kind.EVENT)), kind=Kind.EVENT)
    host = bench.host(act, ring_bytes=30_000)
    wait_until(lambda: host.ctx.records == 20_002)
    far = bench.accept()
    received = 0
    skipped = 0
    singles = []
    while received < 20_002:
        message = far.next((Records, Skipped))  # type: ignore[arg-type]
        assert message.first == received + 1
        if isinstance(message, Skipped):
            skipped += message.count
            received = message.last
        else:
            received += len(message.records)
            singles += [r for r in message.records if r.kind == "event"]
    assert len(singles) == 2
    assert host.counters()["lost_samples"] == skipped > 10_000
    assert host.counters()["lost_important"] == 0
    report = far.next(Report)
    while report.counters["lost_samples"] != skipped:
        report = far.next(Report)


def test_a_durable_emit_returns_after_the_commit(bench: Bench) -> None:
    done = threading.Event()

    def act(ctx: Context) -> None:
        ctx.emit(COUNT, {"Vehicle.Bus.Count": 1}, kind=Kind.EVENT, durable=True)
        done.set()
        idle(ctx)

    bench.host(act)
    far = bench.accept()
    far.upto(1)
    assert not done.wait(0.1)
    far.put(Durable(1))
    assert done.wait(DEADLINE_S)


def test_a_durable_emit_gives_up_at_the_end(bench: Bench) -> None:
    raised = threading.Event()

    def act(ctx: Context) -> None:
        try:
            ctx.emit(COUNT, {"Vehicle.Bus.Count": 1}, durable=True)
        except NotDurable:
            raised.set()
            raise

    host = bench.host(act)
    bench.accept()
    wait_until(lambda: not host.ring.empty())
    assert bench.join(host) < 2.2
    assert raised.wait(DEADLINE_S)
    assert not bench.left


def test_stopping_flushes_and_waits_for_durable(bench: Bench) -> None:
    leave = threading.Event()

    def act(ctx: Context) -> None:
        idle(ctx)
        ctx.emit(COUNT, {"Vehicle.Bus.Count": 7})
        leave.set()

    host = bench.host(act)
    far = bench.accept()

    def answer() -> None:
        far.put(Durable(far.next(Records).first))

    answering = threading.Thread(target=answer)
    answering.start()
    assert bench.join(host) < 0.9
    answering.join()
    assert leave.is_set()
    assert host.ring.empty()
    assert not bench.left


def test_a_hanging_driver_does_not_keep_the_process(bench: Bench) -> None:
    released = threading.Event()
    host = bench.host(lambda _: released.wait() and None)
    bench.accept()
    assert bench.join(host) < 2.2
    assert bench.left == [0]
    released.set()


def test_the_coordinator_may_ask_it_to_stop(bench: Bench) -> None:
    host = bench.host(idle)
    bench.accept().put(Stop())
    wait_until(lambda: host._stop.is_set())


def test_a_raising_driver_is_run_again_and_its_records_stand(bench: Bench) -> None:
    def act(ctx: Context) -> None:
        ctx.emit(COUNT, {"Vehicle.Bus.Count": 1}, kind=Kind.EVENT)
        raise SystemExit(1)

    bench.host(act)
    far = bench.accept()
    far.upto(5)
    report = far.next(Report)
    # Between two failures the device is "ok" again for a moment.
    while report.counters["failures"] < 5 or "SystemExit: 1" not in report.device:
        report = far.next(Report)


def test_an_absent_device_is_reported(bench: Bench) -> None:
    def act(_: Context) -> None:
        raise DeviceUnavailable("port /dev/gnss: not there")

    host = bench.host(act)
    far = bench.accept()
    report = far.next(Report)
    while report.device == "starting":
        report = far.next(Report)
    assert report.device == "port /dev/gnss: not there"
    assert host.counters()["unavailable"] > 0


def test_a_command_is_answered_with_a_durable_reply(bench: Bench) -> None:
    host = bench.host(idle)
    far = bench.accept()
    far.put(Command("1", "double", {"n": 21}, 1 << 60))
    far.put(Command("2", "halve", {"n": 21}, 1 << 60))
    far.put(Command("3", "double", {"n": 21}, 0))
    (reply,) = far.next(Records).records
    assert (reply.kind, reply.values) == ("reply", [42])
    far.put(Durable(1))
    wait_until(lambda: host.counters()["failed_verbs"] == 2)
    answers = [far.next(Answer) for _ in range(3)]
    assert [(a.id, a.ok) for a in answers] == [("1", True), ("2", False), ("3", False)]
    assert answers[0].values == {"Vehicle.Bus.Count": 42}
    assert "no verb 'halve', it has: double" in answers[1].error
    assert "deadline" in answers[2].error


def test_a_command_of_this_computer_is_answered_without_a_record(bench: Bench) -> None:
    host = bench.host(idle)
    far = bench.accept()
    far.put(Command("7", "double", {"n": 21}, 1 << 60, local=True))
    assert far.next(Answer) == Answer("7", True, {"Vehicle.Bus.Count": 42}, "")
    assert host.counters()["records"] == 0


def notes(directory: Path) -> tuple[socket.socket, Notifier]:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(directory / "notify"))
    manager.settimeout(DEADLINE_S)
    return manager, Notifier(str(directory / "notify"))


def test_the_service_manager_hears_how_it_goes(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """READY without device or coordinator; the watchdog is fed while the driver beats only."""
    manager, notifier = notes(tmp_path)
    bench.keep(manager)
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    bench.deafen()
    host = bench.host(idle, notifier=notifier)
    heard = {manager.recv(1_000).decode() for _ in range(6)}
    assert {"READY=1", "WATCHDOG=1"} <= heard
    assert "STATUS=starting; no coordinator" in heard
    monkeypatch.setattr(host.ctx, "beating", lambda: False)
    while "stalled" not in manager.recv(1_000).decode():
        pass
    manager.settimeout(0.4)
    with pytest.raises(TimeoutError):
        while True:
            assert manager.recv(1_000) != b"WATCHDOG=1"
    manager.settimeout(DEADLINE_S)
    bench.join(host)
    assert manager.recv(1_000) == b"STOPPING=1"


def test_the_failpoint_raise(bench: Bench, tmp_path: Path) -> None:
    host = bench.host(idle, failpoints=tmp_path)
    bench.accept()
    (tmp_path / "other.raise").touch()
    (tmp_path / "gnss.raise").touch()
    wait_until(lambda: host.counters()["failures"] > 3)
    (tmp_path / "gnss.raise").unlink()


def test_the_failpoint_flood(bench: Bench, tmp_path: Path) -> None:
    host = bench.host(emitting(3), failpoints=tmp_path)
    far = bench.accept()
    far.upto(3)
    (tmp_path / "gnss.flood").touch()
    began = time.monotonic()
    numbers = 3
    while numbers < 10_000:
        message = far.next((Records, Skipped))  # type: ignore[arg-type]
        assert message.first == numbers + 1
        numbers += len(message.records)
        assert all(record.values == [3] for record in message.records)
    assert time.monotonic() - began < 4
    (tmp_path / "gnss.flood").unlink()
    far.sock.settimeout(0.5)
    with pytest.raises(TimeoutError):
        while True:
            message = far.get()
            if isinstance(message, Records):
                far.put(Durable(message.first + len(message.records) - 1))
    assert host.ring.nbytes < 8 << 20


def test_more_signals_than_a_hello_holds_is_said_at_once(tmp_path: Path) -> None:
    class Wide(Acting):
        groups = (
            Group(
                "w",
                tuple(Signal(f"V.X{i}", Datatype.FLOAT, "", "m" * 200) for i in range(500)),
            ),
        )

    with pytest.raises(ValueError, match="declare fewer signals"):
        Host("w", "wide", "1", Wide(idle), tmp_path / "s", tmp_path, notifier=Notifier(""))


PROCESS = """
import sys, threading
from pathlib import Path
from agent.host import Host
from agent.sdk import Driver, DriverConfig, Group

class Hanging(Driver):
    config_model = DriverConfig
    groups = ()
    def run(self, ctx):
        threading.Event().wait()

class Willing(Hanging):
    def run(self, ctx):
        while ctx.running():
            threading.Event().wait(0.01)

heavy = {"pydantic", "typer", "rich", "sqlite3", "ssl", "asyncio"} & set(sys.modules)
assert not heavy, heavy
kind = {"hanging": Hanging, "willing": Willing}[sys.argv[1]]
ready = lambda: sys.stdout.write("ready\\n") and sys.stdout.flush()
host = Host("x", "x", "1", kind(DriverConfig()), Path(sys.argv[2]), Path(sys.argv[3]), ready=ready)
sys.exit(host.run())
"""


@pytest.mark.parametrize("kind", ["hanging", "willing"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_within_two_seconds(
    tmp_path: Path, kind: str, number: signal.Signals
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"}
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, kind, str(tmp_path / "none"), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    began = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=5)
    assert process.returncode == 0, said
    assert time.monotonic() - began < (2.2 if kind == "hanging" else 0.7)
    assert "Traceback" not in said


class Notes(Notifier):
    """Keeps what the service manager would have been told."""

    def __init__(self) -> None:
        super().__init__("")
        self.said: list[str] = []

    def send(self, **fields: Any) -> None:
        self.said += [f"{key}={value}" for key, value in fields.items()]


def test_a_reload_goes_on_with_a_new_driver(bench: Bench) -> None:
    notes = Notes()
    second = Acting(emitting(1, kind=Kind.EVENT))
    host = bench.host(emitting(1, kind=Kind.EVENT), reread=lambda: second, notifier=notes)
    far = bench.accept()
    far.upto(1)
    host._ask_reload()
    # The same stream: nothing that the first one emitted is lost or doubled.
    far.upto(2, since=1)
    wait_until(lambda: notes.said[-1].startswith(("READY", "STATUS")))
    at = notes.said.index("RELOADING=1")
    assert notes.said[at + 1].startswith("MONOTONIC_USEC=") and notes.said[at + 2] == "READY=1"
    assert host.counters()["failures"] == 0


def test_a_reload_ends_the_pause_of_an_absent_device(bench: Bench) -> None:
    def absent(_: Context) -> None:
        raise DeviceUnavailable("port /dev/gnss: not there")

    second = Acting(emitting(1, kind=Kind.EVENT))
    host = bench.host(absent, reread=lambda: second)
    host._loop._backoff = Backoff(lambda *_: 60.0)
    far = bench.accept()
    while far.next(Report).device == "starting":
        continue
    host._ask_reload()
    far.upto(1)


def test_a_refused_configuration_is_a_problem_and_changes_nothing(bench: Bench) -> None:
    answers: list[Any] = ["/etc/brain/brain.toml:9  drivers.gnss.bad  unknown key", None]
    host = bench.host(idle, reread=lambda: answers.pop(0))
    far = bench.accept()
    report = far.next(Report)
    while report.device != "ok":
        report = far.next(Report)
    host._ask_reload()
    assert far.next(Report).device.startswith("configuration not taken: /etc/brain/brain.toml:9")
    host._ask_reload()
    assert far.next(Report).device == "ok"
