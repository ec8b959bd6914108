"""What the driver says about the bus itself: counters, state of the controller, silence."""

from __future__ import annotations

from agent.sdk import Context, Datatype, Group, Kind, Scalar, Signal, State, sampled
from drivers.fms_j1939.addresses import AddressConflicts
from drivers.fms_j1939.bus import Condition
from drivers.fms_j1939.load import Meter
from drivers.fms_j1939.receiver import Receiver

STATUS_MS = 2_000
# The last count is repeated beyond the thinning interval of its signal, or it would never arrive.
_STATUS_REPEATS = 4

SILENCE_MS = 10_000
"""FMS senders repeat all they know within a second."""

_READ, _REJECTED = "Vehicle.Bus.Can.FramesRead", "Vehicle.Bus.Can.FramesRejected"
_LOST, _ERRORS = "Vehicle.Bus.Can.FramesLost", "Vehicle.Bus.Can.ErrorFrames"
_RATE, _LOAD = "Vehicle.Bus.Can.FramesPerSecond", "Vehicle.Bus.Can.Load"
_BUS_OFFS, _CONFLICTS = "Vehicle.Bus.Can.BusOffs", "Vehicle.Bus.Can.AddressConflicts"
_STATE, _LISTEN_ONLY = "Vehicle.Bus.Can.State", "Vehicle.Bus.Can.ListenOnly"


def _counter(path: str, meaning: str) -> Signal:
    return Signal(
        path,
        Datatype.UINT32,
        "",
        meaning,
        sampled(5, 0),
        steps_per_unit=1,
        source="counted by the driver",
    )


BUS = Group(
    "bus",
    (
        _counter(
            _READ,
            "CAN frames that reached the driver since it began; with socketcan the kernel hands on "
            "known messages only",
        ),
        _counter(_REJECTED, "What was no J1939 data frame: 11-bit, remote, FD, and damaged lines"),
        _counter(_LOST, "Frames that found the kernel's queue full (socketcan)"),
        _counter(_ERRORS, "Error frames: reports of the CAN controller, not on the bus"),
        Signal(
            _STATE,
            Datatype.STRING,
            "",
            "The CAN controller: error-active, error-warning, error-passive, bus-off, stopped, "
            "sleeping",
            source="kernel and error frames",
        ),
        Signal(
            _LISTEN_ONLY,
            Datatype.BOOLEAN,
            "",
            "The controller acknowledges nothing; not available on a virtual interface",
            source="link",
        ),
        Signal(
            _RATE,
            Datatype.UINT32,
            "",
            "Frames on the bus in a second, known or not, over the last second or two",
            sampled(10, 50),
            steps_per_unit=1,
            source="counted by the driver or the interface",
        ),
        Signal(
            _LOAD,
            Datatype.FLOAT,
            "percent",
            "Share of the bus's time that frames take, by their number and lengths",
            sampled(10, 5),
            0,
            source="counted by the driver or the interface",
        ),
        _counter(_BUS_OFFS, "How often the CAN controller went bus-off (socketcan)"),
        _counter(
            _CONFLICTS,
            "Signs that two units use one address: claims, and messages that contradict each other",
        ),
    ),
)
"""What the driver says about the bus itself."""


class Status:
    """States counters and condition every 2 s while they change, and a few times after.

    A state of the controller may be short: it is stated at once.
    """

    def __init__(
        self,
        receiver: Receiver,
        meter: Meter | None = None,
        addresses: AddressConflicts | None = None,
    ) -> None:
        self._receiver = receiver
        self._meter = meter
        self._addresses = addresses
        self._stated: tuple[dict[str, Scalar], dict[str, State]] | None = None
        self._told: str | None = None
        self._due_ms = 0
        self._repeats = 0

    def emit(self, ctx: Context, condition: Condition, now_ms: int) -> None:
        """State them if it is time to."""
        if now_ms < self._due_ms and condition.state == self._told:
            return
        self._told = condition.state
        self._due_ms = now_ms + STATUS_MS
        said = self._facts(condition)
        if said != self._stated:
            self._stated, self._repeats = said, _STATUS_REPEATS
        elif self._repeats == 0:
            return
        else:
            self._repeats -= 1
        values, states = said
        ctx.emit(BUS, values, states=states, kind=Kind.STATUS)

    def _facts(self, condition: Condition) -> tuple[dict[str, Scalar], dict[str, State]]:
        counts = {
            _READ: self._receiver.frames_read,
            _REJECTED: self._receiver.frames_rejected,
            _LOST: condition.lost,
            _ERRORS: condition.error_frames,
            _BUS_OFFS: condition.bus_offs,
            _CONFLICTS: self._addresses.count if self._addresses is not None else None,
        }
        values: dict[str, Scalar] = {
            path: count & 0xFFFFFFFF for path, count in counts.items() if count is not None
        }
        states: dict[str, State] = {}
        if condition.state is not None:
            values[_STATE] = condition.state
        if condition.listen_only is not None:
            values[_LISTEN_ONLY] = condition.listen_only
        elif condition.virtual:
            states[_LISTEN_ONLY] = State.NOT_AVAILABLE
        if self._meter is not None:
            self._rates(self._meter, values, states)
        return values, states

    @staticmethod
    def _rates(meter: Meter, values: dict[str, Scalar], states: dict[str, State]) -> None:
        """How busy the bus is; nothing in the first second."""
        if meter.frames_per_s is not None and meter.load_percent is not None:
            values |= {_RATE: meter.frames_per_s, _LOAD: meter.load_percent}
        elif not meter.counted:
            states |= dict.fromkeys((_RATE, _LOAD), State.NOT_AVAILABLE)


class Silence:
    """Notices that no frame came for a while: ignition off, wrong bit rate, or an adaptor reset."""

    def __init__(self, now_ms: int) -> None:
        self.long = False
        self._frames = 0
        self._since_ms = now_ms
        self._revived_ms = now_ms
        self._on_bus_then: int | None = None

    def revive(self, frames: int, now_ms: int, on_bus: int | None = None) -> bool:
        """Whether to wake the adaptor now: after each further spell of silence.

        `frames`: that reached the driver so far; `on_bus`: that the interface received.
        """
        if frames != self._frames:
            self._frames, self._since_ms, self.long = frames, now_ms, False
            self._on_bus_then = on_bus
            return False
        if self._on_bus_then is None or now_ms - self._since_ms < SILENCE_MS // 2:
            # The interface is asked now and then: its count may still lack the last known frames.
            self._on_bus_then = on_bus
        self.long = now_ms - self._since_ms >= SILENCE_MS
        if not self.long or now_ms - self._revived_ms < SILENCE_MS:
            return False
        self._revived_ms = now_ms
        return True

    def others(self, on_bus: int | None) -> int:
        """Frames that the interface received in the latter half of the silence, unknown to us."""
        if on_bus is None or self._on_bus_then is None:
            return 0
        return max(0, on_bus - self._on_bus_then)
