"""The driver on a real PTY: opening listen-only, reading, surviving, never transmitting."""

from __future__ import annotations

import fcntl
import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import drivers.fms_j1939
from agent.sdk import Decodes, DeviceUnavailable, Kind, boottime_ms
from drivers.fms_j1939 import driver as driver_module
from drivers.fms_j1939 import status
from drivers.fms_j1939.bus import Condition
from drivers.fms_j1939.driver import FmsConfig, FmsJ1939
from drivers.fms_j1939.slcan import SlcanBus

NO = b"\x07"
SPEED = "Vehicle.Speed"
READ = "Vehicle.Bus.Can.FramesRead"
REJECTED = "Vehicle.Bus.Can.FramesRejected"
LISTEN_ONLY = "Vehicle.Bus.Can.ListenOnly"
HOME = Path(drivers.fms_j1939.__file__).parent

Plug = Callable[..., Any]
Start = Callable[..., Any]


def speed(kmh: int) -> bytes:
    return b"T18FEF1008F300%02X0000000000" % kmh


def fms(channel: str, **more: Any) -> FmsJ1939:
    return FmsJ1939(FmsConfig(channel=channel, **more))


def test_it_opens_listen_only_reads_and_closes(plug: Plug, start: Start) -> None:
    stick = plug()
    running = start(fms(stick.path).run)
    stick.wait(lambda: stick.open)
    assert stick.commands == [b"C", b"S5", b"L"]
    before_ms = boottime_ms()
    stick.send(speed(50), speed(50), speed(51))
    ctx = running.ctx
    ctx.wait(lambda: len(ctx.of("ccvs1")) == 2)
    assert [values[SPEED] for values in ctx.of("ccvs1")] == [50.0, 51.0]
    (at_ms,) = {at for name, _, _, at, _ in ctx.emitted if name == "ccvs1"}
    assert before_ms <= at_ms <= boottime_ms()
    assert running.end() is None
    stick.wait(lambda: stick.commands[-1] == b"C")
    assert stick.commands == [b"C", b"S5", b"L", b"C"]


def test_the_first_frames_may_follow_the_answer_at_once(plug: Plug, start: Start) -> None:
    stick = plug()
    stick.after[b"L"] = speed(7) + b"\r" + speed(8)[:9]
    ctx = start(fms(stick.path).run).ctx
    ctx.wait(lambda: len(ctx.of("ccvs1")) == 1)
    stick.raw(speed(8)[9:] + b"\r")
    ctx.wait(lambda: len(ctx.of("ccvs1")) == 2)
    assert [values[SPEED] for values in ctx.of("ccvs1")] == [7.0, 8.0]


def test_stale_frames_are_thrown_away(plug: Plug, start: Start) -> None:
    stick = plug()
    stick.send(speed(99))  # before anybody had the port open
    stick.after[b"C"] = speed(98) + b"\r"
    ctx = start(fms(stick.path).run).ctx
    stick.wait(lambda: stick.open)
    stick.send(speed(50))
    ctx.wait(lambda: bool(ctx.of("ccvs1")))
    assert [values[SPEED] for values in ctx.of("ccvs1")] == [50.0]


def test_noise_and_half_lines_are_survived_and_counted(
    plug: Plug, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "STATUS_MS", 50)
    stick = plug()
    ctx = start(fms(stick.path).run).ctx
    stick.wait(lambda: stick.open)
    stick.raw(b"\x07\x07\xff\xfe\r\x00garbage\rT18FE\rt1232AABB\rR18EAFF003\r\r" + b"x" * 500)
    stick.raw(b"\r" + speed(50)[:11])
    stick.raw(speed(50)[11:] + b"\r")
    wanted = {READ: 3, REJECTED: 6, LISTEN_ONLY: True}
    ctx.wait(lambda: any(wanted.items() <= said.items() for said in ctx.of("bus")))
    assert ctx.of("ccvs1")[0][SPEED] == 50.0
    assert {kind for name, _, _, _, kind in ctx.emitted if name == "bus"} == {Kind.STATUS}


def test_every_byte_that_was_ever_written_is_c_s_or_l(
    plug: Plug, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "SILENCE_MS", 300)
    everything = b""
    for answers in ({}, {b"L": NO}, {b"S5": NO}, {b"C": b""}, {b"C": b"", b"S5": b"", b"L": b""}):
        stick = plug(answers)
        running = start(fms(stick.path).run)
        stick.wait(lambda stick=stick: b"L" in stick.commands or len(stick.commands) >= 5)
        if not answers:
            stick.send(speed(1), b"T18EAFF0033EFF00", *[b"T1CECFF0082012000" + b"3FFECFE00"] * 3)
            stick.wait(lambda stick=stick: stick.commands.count(b"L") >= 2)  # woken up again
        running.end()
        everything += stick.heard
    assert re.fullmatch(rb"(C\r|S5\r|L\r)+", everything)


def test_the_package_has_no_word_for_transmitting() -> None:
    said: set[tuple[str, str]] = set()
    for path in HOME.glob("*.py"):
        text = path.read_text()
        assert not re.search(r"b\"[tTrR]%|\bO\\r|sendto|sendmsg|sendmmsg|\.send\(", text), path
        said |= {
            (path.name, call) for call in re.findall(r"\w+\.(?:send|sendall|write\w*)\(.*\)", text)
        }
    # The port of an SLCAN adaptor, for its three commands; a question to the kernel about a link;
    # the files with the key of the pseudonyms, the last odometer and a compiled DBC.
    assert said == {
        ("odometer_memory.py", 'aside.write_text(f"{int(self._now_m)}\\n", encoding="ascii")'),
        ("driver_ids.py", "os.write(fd, key)"),
        ("dbc.py", 'part.write_text(text, encoding="utf-8")'),
        ("slcan.py", 'os.write(self._fd, b"C\\r")'),
        ("slcan.py", 'os.write(self._fd, command + b"\\r")'),
        ("link_state.py", "kernel.sendall(request)"),
        ("recording.py", "_file.write(whole)"),
    }
    asked = re.findall(r"self\._ask\(([^,]+),", (HOME / "slcan.py").read_text())
    assert set(asked) == {'b"C"', "BITRATE_COMMANDS[self._bitrate]", 'b"L"'}
    # Of the C library, which could do more, one function is used.
    library = re.findall(r"library\.(\w+)", (HOME / "frame_socket.py").read_text())
    assert library == ["recvmmsg"]
    families = {path.name: set(re.findall(r"\bAF_\w+", code(path))) for path in HOME.glob("*.py")}
    assert {name: found for name, found in families.items() if found} == {
        "frame_socket.py": {"AF_CAN"},
        "link_state.py": {"AF_NETLINK"},
    }


def code(path: Path) -> str:
    """A module without its texts."""
    return re.sub(r'"""[\s\S]*?"""|"[^"\n]*"', "", path.read_text())


def test_an_adaptor_that_refuses_listen_only_is_not_opened(plug: Plug) -> None:
    stick = plug({b"L": NO})
    with pytest.raises(DeviceUnavailable, match=r"listen-only.*opens a bus in no other way"):
        SlcanBus(stick.path, 250_000, 115_200)
    stick.wait(lambda: stick.commands[-1] == b"C")
    assert not stick.open
    assert b"O" not in stick.heard


def test_an_adaptor_that_was_left_half_way_is_tried_twice(plug: Plug, start: Start) -> None:
    stick = plug({b"C": NO, b"S5": NO})
    bells = [NO]

    class Once(dict[bytes, bytes]):
        def get(self, command: bytes, default: Any = None) -> Any:
            return bells.pop() if command == b"S5" and bells else default

    stick.answers = Once()
    start(fms(stick.path).run)
    stick.wait(lambda: stick.open)
    assert stick.commands == [b"C", b"S5", b"C", b"S5", b"L"]


def test_a_bit_rate_that_is_refused(plug: Plug) -> None:
    stick = plug({b"S8": NO})
    with pytest.raises(DeviceUnavailable, match="refuses 1000000 bit/s"):
        SlcanBus(stick.path, 1_000_000, 115_200)
    assert b"L" not in stick.commands


def test_a_firmware_that_answers_nothing_is_believed_by_its_frames(
    plug: Plug, start: Start
) -> None:
    stick = plug({b"C": b"", b"S5": b"", b"L": speed(5) + b"\r"})
    ctx = start(fms(stick.path).run).ctx
    ctx.wait(lambda: bool(ctx.of("ccvs1")))
    assert ctx.of("ccvs1")[0][SPEED] == 5.0


@pytest.mark.parametrize("noise", [b"", b"$GPRMC,,V,,,,,,,,,,N*53\r\n"])
def test_a_port_that_is_no_adaptor(plug: Plug, noise: bytes) -> None:
    stick = plug(dict.fromkeys([b"C", b"S5", b"L"], noise))
    begun_ms = boottime_ms()
    with pytest.raises(DeviceUnavailable, match=r"nothing on .* answers like an SLCAN adaptor"):
        SlcanBus(stick.path, 250_000, 115_200)
    assert boottime_ms() - begun_ms < 2000


def test_absent_port(tmp_path: Path) -> None:
    with pytest.raises(DeviceUnavailable, match=r"can-usb: No such file.*plugged in"):
        fms(str(tmp_path / "can-usb")).probe()


def test_no_serial_port(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DeviceUnavailable, match="no serial port"):
        fms(str(tmp_path / "file")).probe()


def test_port_in_use(plug: Plug) -> None:
    stick = plug()
    fd = os.open(stick.path, os.O_RDWR | os.O_NOCTTY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(DeviceUnavailable, match="in use by another program"):
            fms(stick.path).probe()
    finally:
        os.close(fd)
    assert stick.heard == b""


def test_unplugged_while_open(plug: Plug, start: Start) -> None:
    stick = plug()
    running = start(fms(stick.path).run)
    stick.wait(lambda: stick.open)
    stick.pull()
    error = running.end(stop=False)
    assert isinstance(error, DeviceUnavailable)
    assert "is gone" in str(error)


def test_a_silent_bus_is_said_and_the_adaptor_woken(
    plug: Plug, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "SILENCE_MS", 400)
    stick = plug()
    driver = fms(stick.path)
    running = start(driver.run)
    stick.wait(lambda: stick.commands.count(b"L") >= 2)
    assert driver.device.startswith(f"slcan {stick.path}: no frame for")
    stick.send(speed(50))
    ctx = running.ctx
    ctx.wait(lambda: bool(ctx.of("ccvs1")))
    assert running.end() is None


def test_the_last_count_is_repeated_past_its_thinning_interval(tmp_path: Path) -> None:
    class Counts:
        frames_read, frames_rejected = 7, 1

    stated: list[int] = []

    class Context:
        def emit(self, *_: object, **__: object) -> None:
            stated.append(now_ms)

    told = status.Status(Counts())  # type: ignore[arg-type]
    for now_ms in range(0, 30_000, 100):
        told.emit(Context(), Condition(), now_ms)  # type: ignore[arg-type]
    assert stated[0] == 0
    assert stated[-1] >= 6000
    assert len(stated) < 6


def test_a_state_of_the_controller_is_told_at_once() -> None:
    class Counts:
        frames_read, frames_rejected = 7, 1

    told: list[tuple[int, object]] = []

    class Context:
        def emit(self, _group: object, values: dict[str, object], **_: object) -> None:
            told.append((now_ms, values["Vehicle.Bus.Can.State"]))

    states = {0: "error-active", 100: "bus-off", 200: "error-active"}
    watched = status.Status(Counts())  # type: ignore[arg-type]
    for now_ms, state in states.items():
        watched.emit(Context(), Condition(state=state), now_ms)  # type: ignore[arg-type]
    assert told == list(states.items())


def test_time_that_was_slept_through_is_spread_over_the_frames(
    plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    stick = plug()
    with SlcanBus(stick.path, 250_000, 115_200) as bus:
        from drivers.fms_j1939.receiver import Receiver

        receiver = Receiver()
        bus.receive(receiver, 0.01)
        bus._polled_ms -= 10_000  # as if stopped for 10 s
        stick.send(*[speed(n) for n in range(100)])
        said = bus.receive(receiver, 0.2)
    times = [at_ms for at_ms, _ in said]
    assert times == sorted(times)
    assert times[-1] - times[0] > 8_000
    assert sum(len(statements) for _, statements in said) == 100


def test_probe_says_what_is_on_the_bus(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "_PROBE_MS", 300)
    stick = plug()
    assert "the bus is silent" in fms(stick.path).probe()
    stick.after[b"L"] = speed(5) + b"\r"
    assert re.search(r"3 frames/s, known: ccvs1", fms(stick.path).probe())


def test_sample_and_config() -> None:
    sample = tomllib.loads((HOME / "sample.toml").read_text())["drivers"]["fms"]
    assert sample.pop("type") == "fms_j1939"
    assert msgspec.convert(sample, FmsConfig) == FmsConfig(channel="/dev/can-usb")
    assert isinstance(FmsJ1939, Decodes)


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({}, "channel"),
        ({"channel": ""}, "length >= 1"),
        ({"channel": "x", "bitrat": 1}, "unknown field `bitrat`"),
        ({"channel": "x", "bitrate": 9}, "bitrate"),
        ({"channel": "x", "prefer": {"ccvs": [1]}}, "'ccvs' is no group"),
        ({"channel": "x", "prefer": {"ccvs1": [254]}}, "<= 253"),
    ],
)
def test_bad_config(section: dict[str, object], why: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=why):
        msgspec.convert(section, FmsConfig)


def test_the_readme_lists_the_declaration() -> None:
    text = (HOME / "README.md").read_text()
    rows = re.findall(r"^\| `(Vehicle[^`]+)` \| (\w+) \| ([^|]*?) *\|", text, re.M)
    assert rows == [
        (signal.path, signal.datatype.value, signal.unit)
        for group in FmsJ1939.groups
        for signal in group.signals
    ]
    for field in msgspec.json.schema(FmsConfig)["$defs"]["FmsConfig"]["properties"].items():
        name, schema = field
        assert f"| `{name}` |" in text
        assert schema["description"] in text
