"""The driver of an FMS connector or a J1939 bus: opens it, reads, emits. It never transmits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Protocol, Self

import msgspec

from agent.sdk import (
    Context,
    Driver,
    DriverConfig,
    Group,
    Kind,
    Meta,
    boottime_ms,
)
from drivers.fms_j1939 import capture
from drivers.fms_j1939.receiver import Receiver, Statement
from drivers.fms_j1939.slcan import SlcanBus
from drivers.fms_j1939.table import BUS, GROUPS, PGNS

_WAIT_S = 0.2

# FMS senders repeat all they know within a second.
_SILENCE_MS = 10_000

_STATUS_MS = 2_000
# The last count is repeated beyond the thinning interval of its signal, or it would never arrive.
_STATUS_REPEATS = 4

_PROBE_MS = 3_000

Address = Annotated[int, Meta(ge=0, le=253)]


class FmsConfig(DriverConfig, frozen=True):
    """The section of an FMS driver."""

    channel: Annotated[
        str,
        Meta(description="Serial port of the SLCAN adaptor, or the CAN interface.", min_length=1),
    ]
    interface: Annotated[
        str, Meta(description="slcan, or an interface name of python-can: socketcan, pcan, ...")
    ] = "slcan"
    bitrate: Annotated[
        Literal[10_000, 20_000, 50_000, 100_000, 125_000, 250_000, 500_000, 800_000, 1_000_000],
        Meta(description="Bit rate of the bus in bit/s; FMS has 250000."),
    ] = 250_000
    tty_baud: Annotated[
        Literal[115_200, 230_400, 460_800, 921_600, 1_000_000, 2_000_000, 3_000_000],
        Meta(description="Speed of the serial port; adaptors with USB of their own ignore it."),
    ] = 115_200
    prefer: Annotated[
        dict[str, list[Address]],
        Meta(description="Senders to believe first, by group: prefer = { dc1 = [236] }."),
    ] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {pgn.group.name for pgn in PGNS.values()}
        for name in self.prefer:
            if name not in known:
                raise ValueError(f"prefer: {name!r} is no group ({', '.join(sorted(known))})")


class _Bus(Protocol):
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def receive(
        self, receiver: Receiver, timeout_s: float
    ) -> list[tuple[int, list[Statement]]]: ...
    def revive(self) -> None: ...


class FmsJ1939(Driver[FmsConfig]):
    """Reads J1939 messages that FMS gateways and vehicle buses send, listen-only."""

    config_model: ClassVar[type[DriverConfig]] = FmsConfig
    groups: ClassVar[tuple[Group, ...]] = GROUPS

    @classmethod
    def decode(cls, path: Path) -> Iterator[Mapping[str, object]]:
        """Each value of each frame of a candump log. Raises ValueError with file and line."""
        return capture.decode(path)

    def probe(self) -> str:
        """Listen for 3 s and say what is on the bus. Raises DeviceUnavailable."""
        receiver = Receiver(self.config.prefer)
        heard: set[str] = set()
        with self._open() as bus:
            end_ms = boottime_ms() + _PROBE_MS
            while boottime_ms() < end_ms:
                for _, statements in bus.receive(receiver, _WAIT_S):
                    heard |= {statement.group.name for statement in statements}
        if not receiver.frames_read:
            return (
                f"{self._name} is open listen-only, but the bus is silent: is the ignition on, and "
                f"is {self.config.bitrate} bit/s right?"
            )
        rate = receiver.frames_read * 1000 // _PROBE_MS
        return f"{self._name}: {rate} frames/s, known: {', '.join(sorted(heard)) or 'none'}"

    def run(self, ctx: Context) -> None:
        """Read and emit until stopped. Raises DeviceUnavailable."""
        receiver = Receiver(self.config.prefer)
        status = _Status(receiver)
        with self._open() as bus:
            silence = _Silence(boottime_ms())
            while ctx.running():
                for at_ms, statements in bus.receive(receiver, _WAIT_S):
                    for group, values, states in statements:
                        ctx.emit(group, values, states=states, at_boottime_ms=at_ms)
                now_ms = boottime_ms()
                status.emit(ctx, now_ms)
                revive = silence.revive(receiver.frames_read, now_ms)
                self.device = self._silent_text if silence.long else "ok"
                if revive:
                    bus.revive()

    @property
    def _name(self) -> str:
        return f"{self.config.interface} {self.config.channel}"

    @property
    def _silent_text(self) -> str:
        return (
            f"{self._name}: no frame for {_SILENCE_MS // 1000} s; is the ignition on, and is "
            f"{self.config.bitrate} bit/s right?"
        )

    def _open(self) -> _Bus:
        config = self.config
        if config.interface == "slcan":
            return SlcanBus(config.channel, config.bitrate, config.tty_baud)
        from drivers.fms_j1939.adapters import PythonCanBus

        return PythonCanBus(config.interface, config.channel, config.bitrate)


class _Silence:
    """Notices that no frame came for a while: ignition off, wrong bit rate, or an adaptor reset."""

    def __init__(self, now_ms: int) -> None:
        self.long = False
        self._frames = 0
        self._since_ms = now_ms
        self._revived_ms = now_ms

    def revive(self, frames: int, now_ms: int) -> bool:
        """Whether to wake the adaptor now: after each further spell of silence."""
        if frames != self._frames:
            self._frames, self._since_ms, self.long = frames, now_ms, False
            return False
        self.long = now_ms - self._since_ms >= _SILENCE_MS
        if not self.long or now_ms - self._revived_ms < _SILENCE_MS:
            return False
        self._revived_ms = now_ms
        return True


class _Status:
    """States the frame counters every 2 s while they move, and a few times after."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._stated = (-1, -1)
        self._due_ms = 0
        self._repeats = 0

    def emit(self, ctx: Context, now_ms: int) -> None:
        """State the counters if it is time to."""
        if now_ms < self._due_ms:
            return
        self._due_ms = now_ms + _STATUS_MS
        counts = (self._receiver.frames_read, self._receiver.frames_rejected)
        if counts != self._stated:
            self._stated, self._repeats = counts, _STATUS_REPEATS
        elif self._repeats == 0:
            return
        else:
            self._repeats -= 1
        read, rejected = (count & 0xFFFFFFFF for count in counts)
        names = [signal.path for signal in BUS.signals]
        ctx.emit(BUS, dict(zip(names, (read, rejected), strict=True)), kind=Kind.STATUS)
