"""The driver of an FMS connector or a J1939 bus: opens it, reads, emits. It never transmits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec

from agent.sdk import (
    Context,
    DeviceUnavailable,
    Driver,
    DriverConfig,
    Group,
    Meta,
    boottime_ms,
)
from drivers.fms_j1939 import capture
from drivers.fms_j1939.bus import Bus, Condition
from drivers.fms_j1939.receiver import Receiver, Statement
from drivers.fms_j1939.slcan import SlcanBus
from drivers.fms_j1939.status import BUS, SILENCE_MS, Silence, Status
from drivers.fms_j1939.table import GROUPS, PGNS

_WAIT_S = 0.2

_PROBE_MS = 3_000

Address = Annotated[int, Meta(ge=0, le=253)]


class FmsConfig(DriverConfig, frozen=True):
    """The section of an FMS driver."""

    channel: Annotated[
        str,
        Meta(description="Serial port of the SLCAN adaptor, or the CAN interface.", min_length=1),
    ]
    interface: Annotated[
        str, Meta(description="slcan, socketcan, or an interface name of python-can: pcan, ...")
    ] = "slcan"
    link: Annotated[
        Literal["listen-only", "any"],
        Meta(
            description="What a socketcan interface must be; any: also one that acknowledges, or "
            "of which that cannot be told."
        ),
    ] = "listen-only"
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
        Meta(
            description="Senders to believe first, by group or by signal: "
            'prefer = { dc1 = [236], "Vehicle.Speed" = [23] }.'
        ),
    ] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {pgn.group.name for pgn in PGNS.values()}
        signals = {path for pgn in PGNS.values() for path in pgn.group.index}
        for name in self.prefer:
            if name not in known and name not in signals:
                raise ValueError(
                    f"prefer: {name!r} is no group ({', '.join(sorted(known))}) and no signal"
                )


class FmsJ1939(Driver[FmsConfig]):
    """Reads J1939 messages that FMS gateways and vehicle buses send, listen-only."""

    config_model: ClassVar[type[DriverConfig]] = FmsConfig
    groups: ClassVar[tuple[Group, ...]] = (*GROUPS, BUS)

    @classmethod
    def decode(cls, path: Path) -> Iterator[Mapping[str, object]]:
        """Each value of each frame of a candump log. Raises ValueError with file and line."""
        return capture.decode(path)

    def probe(self) -> str:
        """Listen for 3 s and say what is on the bus. Raises DeviceUnavailable."""
        receiver = Receiver(self.config.prefer)
        heard: set[str] = set()
        with self._open() as bus:
            before = bus.condition()
            if before.trouble:
                raise DeviceUnavailable(before.trouble)
            end_ms = boottime_ms() + _PROBE_MS
            while boottime_ms() < end_ms:
                for _, statements in bus.receive(receiver, _WAIT_S):
                    heard |= {statement.group.name for statement in statements}
            condition = bus.condition()
        how = f"{self._name} ({_how(condition)})"
        if not receiver.frames_read:
            others = (condition.on_bus or 0) - (before.on_bus or 0)
            silent = f"{others} frames came and none is known" if others else "the bus is silent"
            return (
                f"{how} is open, but {silent}: is the ignition on, and is {self.config.bitrate} "
                "bit/s right?"
            )
        rate = receiver.frames_read * 1000 // _PROBE_MS
        return f"{how}: {rate} frames/s, known: {', '.join(sorted(heard)) or 'none'}"

    def run(self, ctx: Context) -> None:
        """Read and emit until stopped. Raises DeviceUnavailable."""
        receiver = Receiver(self.config.prefer)
        status = Status(receiver)
        with self._open() as bus:
            silence = Silence(boottime_ms())
            while ctx.running():
                try:
                    said = bus.receive(receiver, _WAIT_S)
                except DeviceUnavailable:
                    _emit(ctx, boottime_ms(), receiver.gone())
                    raise
                for at_ms, statements in said:
                    _emit(ctx, at_ms, statements)
                now_ms = boottime_ms()
                _emit(ctx, now_ms, receiver.missing(now_ms))
                condition = bus.condition()
                status.emit(ctx, condition, now_ms)
                revive = silence.revive(receiver.frames_read, now_ms, condition.on_bus)
                self.device = condition.trouble or self._silent_text(silence, condition) or "ok"
                if revive:
                    bus.revive()

    @property
    def _name(self) -> str:
        return f"{self.config.interface} {self.config.channel}"

    def _silent_text(self, silence: Silence, condition: Condition) -> str:
        if not silence.long:
            return ""
        if others := silence.others(condition.on_bus):
            return (
                f"{self._name}: no known message for {SILENCE_MS // 1000} s among {others} frames; "
                "is it the FMS bus?"
            )
        return (
            f"{self._name}: no frame for {SILENCE_MS // 1000} s; is the ignition on, and is "
            f"{self.config.bitrate} bit/s right?"
        )

    def _open(self) -> Bus:
        config = self.config
        if config.interface == "slcan":
            return SlcanBus(config.channel, config.bitrate, config.tty_baud)
        if config.interface == "socketcan":
            from drivers.fms_j1939.socketcan import SocketCanBus

            return SocketCanBus(config.channel, config.bitrate, insist=config.link == "listen-only")
        from drivers.fms_j1939.adapters import PythonCanBus

        return PythonCanBus(config.interface, config.channel, config.bitrate)


def _emit(ctx: Context, at_ms: int, statements: Iterable[Statement]) -> None:
    for group, values, states in statements:
        ctx.emit(group, values, states=states, at_boottime_ms=at_ms)


def _how(condition: Condition) -> str:
    """In what way the bus is open, in words."""
    if condition.virtual:
        return "virtual"
    how = {True: "listen-only", False: "not listen-only", None: "listen-only unknown"}
    said = how[condition.listen_only]
    return said if condition.state is None else f"{said}, {condition.state}"
