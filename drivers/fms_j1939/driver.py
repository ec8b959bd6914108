"""The driver of an FMS connector or a J1939 bus: opens it, reads, emits. It never transmits."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec

from agent.sdk import (
    REMOTE,
    ConfigFile,
    Context,
    DeviceUnavailable,
    Driver,
    DriverConfig,
    Group,
    Meta,
    Scalar,
    boottime_ms,
)
from drivers.fms_j1939 import capture, dynamics, recording
from drivers.fms_j1939.bus import Bus, Condition
from drivers.fms_j1939.configured import parameter_groups
from drivers.fms_j1939.driver_ids import Identity
from drivers.fms_j1939.dynamics import Dynamics
from drivers.fms_j1939.guards import GUARDS, odometer_from
from drivers.fms_j1939.load import Meter
from drivers.fms_j1939.odometer_memory import ODOMETER, OdometerMemory
from drivers.fms_j1939.pgn import Pgn
from drivers.fms_j1939.raw_ring import RawRing
from drivers.fms_j1939.receiver import Receiver, Statement
from drivers.fms_j1939.slcan import SlcanBus
from drivers.fms_j1939.status import BUS, SILENCE_MS, Silence, Status
from drivers.fms_j1939.table import GROUPS, declared

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
            'prefer = { dc1 = [236], "Vehicle.Speed" = [23] }.',
            extra=REMOTE,
        ),
    ] = msgspec.field(default_factory=dict)
    driver_id: Annotated[
        Literal["pseudonym", "plain", "off"],
        Meta(
            description="How drivers' cards are named: a pseudonym of this vehicle, the card's own "
            "number (personal data), or not at all."
        ),
    ] = "pseudonym"
    electric: Annotated[
        bool,
        Meta(description="Also read the parameter groups of battery-electric buses.", extra=REMOTE),
    ] = False
    overlay: Annotated[
        ConfigFile, Meta(description="TOML file that adds, changes or switches off parameters.")
    ] = ""
    dbc: Annotated[
        ConfigFile, Meta(description="DBC file of further messages; brain check compiles it.")
    ] = ""

    def __post_init__(self) -> None:
        pgns = self.parameter_groups(Identity(self.driver_id)).values()
        known = {pgn.group.name for pgn in pgns}
        signals = {path for pgn in pgns for path in pgn.group.index}
        for name in self.prefer:
            if name not in known and name not in signals:
                raise ValueError(
                    f"prefer: {name!r} is no group ({', '.join(sorted(known))}) and no signal"
                )

    def parameter_groups(self, identity: Identity) -> Mapping[int, Pgn]:
        """The parameter groups that this section asks for. Raises ValueError."""
        return parameter_groups(
            electric=self.electric,
            identity=identity,
            overlay_file=self.overlay,
            dbc_file=self.dbc,
            own=[group for group in FmsJ1939.groups if group not in GROUPS],
        )


class FmsJ1939(Driver[FmsConfig]):
    """Reads J1939 messages that FMS gateways and vehicle buses send, listen-only."""

    config_model: ClassVar[type[DriverConfig]] = FmsConfig
    groups: tuple[Group, ...] = (*GROUPS, *dynamics.GROUPS, BUS)
    verbs: frozenset[str] = frozenset({"dump", "record"})

    def __init__(self, config: FmsConfig) -> None:
        super().__init__(config)
        self._identity = Identity(config.driver_id)
        self._pgns = config.parameter_groups(self._identity)
        self.groups = (*declared(self._pgns.values()), *dynamics.GROUPS, BUS)
        # These outlive a bus that is opened anew.
        self._dynamics = Dynamics()
        self._raw = RawRing()
        self._workdir: Path | None = None
        self._stopped = threading.Event()

    @classmethod
    def prepare(cls, section: Mapping[str, object]) -> list[str]:
        """Compile the DBC file of a section. Raises ValueError."""
        dbc_file = section.get("dbc")
        if not dbc_file or not isinstance(dbc_file, str):
            return []
        from drivers.fms_j1939 import dbc

        try:
            return dbc.prepare(Path(dbc_file))
        except ValueError as error:
            raise ValueError(f"dbc: {error}") from None

    @classmethod
    def decode(cls, path: Path) -> Iterator[Mapping[str, object]]:
        """Each value of each frame of a candump log. Raises ValueError with file and line."""
        return capture.decode(path)

    def probe(self) -> str:
        """Listen for 3 s and say what is on the bus. Raises DeviceUnavailable."""
        receiver = Receiver(self.config.prefer, pgns=self._pgns)
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
        self._identity.keep_in(ctx.workdir)
        self._workdir = ctx.workdir
        self._stopped.clear()
        memory = OdometerMemory(ctx.workdir)
        guards = dict(GUARDS)
        if memory.last_m is not None:
            guards[ODOMETER] = odometer_from(memory.last_m)
        receiver = Receiver(
            self.config.prefer, pgns=self._pgns, guards=guards, dynamics=self._dynamics
        )
        with self._open(self._raw) as bus:
            try:
                self._listen(ctx, bus, receiver, memory)
            except DeviceUnavailable:
                _emit(ctx, boottime_ms(), receiver.gone())
                raise
            finally:
                memory.keep()
        # A recording goes on where the device is only away for a while.
        self._stopped.set()

    def _listen(self, ctx: Context, bus: Bus, receiver: Receiver, memory: OdometerMemory) -> None:
        meter = Meter(self.config.bitrate)
        meter.see(bus.condition().traffic)
        status = Status(receiver, meter, self._dynamics.addresses)
        silence = Silence(boottime_ms())
        while ctx.running():
            for at_ms, statements in bus.receive(receiver, _WAIT_S):
                _emit(ctx, at_ms, statements)
                memory.see(statements, at_ms)
            now_ms = boottime_ms()
            _emit(ctx, now_ms, receiver.missing(now_ms))
            self._dynamics.emit(ctx, now_ms)
            condition = bus.condition()
            meter.see(condition.traffic)
            status.emit(ctx, condition, now_ms)
            revive = silence.revive(receiver.frames_read, now_ms, condition.on_bus)
            self.device = condition.trouble or self._silent_text(silence, condition) or "ok"
            if revive:
                bus.revive()

    def command(self, verb: str, args: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
        """`dump` the last seconds of the bus or `record` the next into a file; see `recording`.

        Raises ValueError on bad arguments and before the bus was opened for the first time.
        """
        if self._workdir is None:
            raise ValueError(f"{self._name} was not opened yet: there is nothing to write")
        folder = self._workdir / recording.FOLDER
        interface = self.config.channel if self.config.interface == "socketcan" else "can0"
        if verb == "dump":
            return recording.dump(self._raw, folder, interface, args)
        if verb == "record":
            return recording.record(self._raw, folder, interface, args, self._stopped)
        raise ValueError(f"{verb!r} is no command of this driver: {', '.join(sorted(self.verbs))}")

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

    def _open(self, raw: RawRing | None = None) -> Bus:
        config = self.config
        if config.interface == "slcan":
            return SlcanBus(config.channel, config.bitrate, config.tty_baud, raw=raw)
        if config.interface == "socketcan":
            from drivers.fms_j1939.socketcan import SocketCanBus

            insist = config.link == "listen-only"
            return SocketCanBus(
                config.channel, config.bitrate, insist=insist, pgns=self._pgns, raw=raw
            )
        from drivers.fms_j1939.adapters import PythonCanBus

        return PythonCanBus(config.interface, config.channel, config.bitrate, raw=raw)


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
