"""CAN interfaces that python-can knows, by its names: `socketcan`, `pcan`, `virtual`, ...

Only `recv` and `shutdown` of python-can are used. It is imported when such an interface is opened:
it costs more memory than the rest of this driver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.sdk import DeviceUnavailable, boottime_ms
from drivers.fms_j1939.frames import Frame
from drivers.fms_j1939.receiver import Receiver, Statement

if TYPE_CHECKING:
    import can

# Here the link decides whether the controller acknowledges, not the program that reads.
_LINK_DECIDES = ("socketcan", "virtual")

_MAX_FRAMES = 1000


class PythonCanBus:
    """A bus behind an adaptor of python-can. Use it in a `with`.

    Raises DeviceUnavailable where the interface is unknown, absent or down, and where an adaptor
    that decides it by itself cannot be opened listen-only.
    """

    def __init__(self, interface: str, channel: str, bitrate: int) -> None:
        import can

        self._name = f"CAN {interface} {channel}"
        self._error = can.CanError
        passive: dict[str, Any] = {}
        if interface not in _LINK_DECIDES:
            passive["state"] = can.BusState.PASSIVE
        try:
            self._bus: can.BusABC = can.Bus(
                interface=interface, channel=channel, bitrate=bitrate, **passive
            )
        except (can.CanError, OSError, ImportError, ValueError, TypeError, AttributeError) as error:
            raise DeviceUnavailable(
                f"{self._name} cannot be opened: {error}{self._hint()}"
            ) from error
        if passive and self._bus.state is not can.BusState.PASSIVE:
            self._bus.shutdown()
            raise DeviceUnavailable(
                f"{self._name} cannot be opened listen-only through python-can; this driver opens "
                "a bus in no other way. Use interface socketcan or slcan"
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
                statement = self._take(receiver, message, at_ms)
                if statement is not None:
                    said.append(statement)
                message = self._bus.recv(0)
        except (self._error, OSError) as error:
            raise DeviceUnavailable(f"{self._name} is gone: {error}{self._hint()}") from error
        return [(at_ms, said)] if said else []

    def revive(self) -> None:
        """Nothing to do: the kernel and the drivers of vendors restart by themselves."""

    def close(self) -> None:
        """Close the interface."""
        self._bus.shutdown()

    def _take(self, receiver: Receiver, message: can.Message, at_ms: int) -> Statement | None:
        if message.is_fd or message.is_error_frame:
            receiver.reject()
            return None
        frame = Frame(
            message.arbitration_id,
            bytes(message.data),
            message.is_extended_id,
            message.is_remote_frame,
        )
        return receiver.frame(frame, at_ms)

    def _hint(self) -> str:
        if "socketcan" not in self._name:
            return ""
        channel = self._name.rsplit(" ", 1)[-1]
        return (
            f". Bring it up with: ip link set {channel} up type can bitrate 250000 listen-only on"
        )
