"""CAN interfaces that python-can knows, by its names: `pcan`, `kvaser`, `virtual`, ...

Only `recv` and `shutdown` of python-can are used. It is imported when such an interface is opened:
it costs more memory than the rest of this driver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.sdk import DeviceUnavailable, boottime_ms
from drivers.fms_j1939.bus import Condition
from drivers.fms_j1939.can_raw import pack
from drivers.fms_j1939.frames import Frame
from drivers.fms_j1939.load import Traffic
from drivers.fms_j1939.raw_ring import RawRing
from drivers.fms_j1939.receiver import Receiver, Statement

if TYPE_CHECKING:
    import can

# Here no controller is that could acknowledge.
_VIRTUAL = ("virtual",)

_MAX_FRAMES = 1000


class PythonCanBus:
    """A bus behind an adaptor of python-can. Use it in a `with`.

    Raises DeviceUnavailable where the interface is unknown, absent or down, and where an adaptor
    that decides it by itself cannot be opened listen-only.
    """

    def __init__(
        self, interface: str, channel: str, bitrate: int, *, raw: RawRing | None = None
    ) -> None:
        import can

        self._name = f"CAN {interface} {channel}"
        self._error = can.CanError
        self._error_frames = 0
        self._raw = raw
        passive: dict[str, Any] = {}
        self._virtual = interface in _VIRTUAL
        if not self._virtual:
            passive["state"] = can.BusState.PASSIVE
        try:
            self._bus: can.BusABC = can.Bus(
                interface=interface, channel=channel, bitrate=bitrate, **passive
            )
        except (can.CanError, OSError, ImportError, ValueError, TypeError, AttributeError) as error:
            raise DeviceUnavailable(f"{self._name} cannot be opened: {error}") from error
        if passive and self._bus.state is not can.BusState.PASSIVE:
            self._bus.shutdown()
            raise DeviceUnavailable(
                f"{self._name} cannot be opened listen-only through python-can; this driver opens "
                "a bus in no other way. Use interface slcan or socketcan"
            )

    def __enter__(self) -> PythonCanBus:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def receive(self, receiver: Receiver, timeout_s: float) -> list[tuple[int, list[Statement]]]:
        """Wait for frames at most `timeout_s`; what they state, with boot time of reading in ms."""
        said: list[Statement] = []
        try:
            message = self._bus.recv(timeout_s)
            at_ms = boottime_ms()
            for _ in range(_MAX_FRAMES):
                if message is None:
                    break
                said += self._take(receiver, message, at_ms)
                message = self._bus.recv(0)
        except (self._error, OSError) as error:
            raise DeviceUnavailable(f"{self._name} is gone: {error}") from error
        return [(at_ms, said)] if said else []

    def revive(self) -> None:
        """Nothing to do: the kernel and the drivers of vendors restart by themselves."""

    def condition(self) -> Condition:
        """What python-can tells of the bus."""
        raw = self._raw
        return Condition(
            traffic=None if raw is None else Traffic(raw.frames, raw.payload_bytes, boottime_ms()),
            error_frames=self._error_frames,
            listen_only=None if self._virtual else True,
            virtual=self._virtual,
        )

    def close(self) -> None:
        """Close the interface."""
        self._bus.shutdown()

    def _take(self, receiver: Receiver, message: can.Message, at_ms: int) -> list[Statement]:
        if message.is_error_frame:
            self._error_frames += 1
            return []
        if message.is_fd:
            receiver.reject()
            return []
        frame = Frame(
            message.arbitration_id,
            bytes(message.data),
            message.is_extended_id,
            message.is_remote_frame,
        )
        if self._raw is not None:
            self._raw.can_frames([(pack(frame), at_ms)])
        return receiver.frame(frame, at_ms)
