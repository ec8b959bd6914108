"""What the driver needs of a bus, whatever adaptor it is behind."""

from __future__ import annotations

from typing import NamedTuple, Protocol, Self

from drivers.fms_j1939.load import Traffic
from drivers.fms_j1939.receiver import Receiver, Statement


class Condition(NamedTuple):
    """What is known of a bus beside its frames. None: this kind of adaptor does not tell.

    `trouble` is one line for `brain status`, empty where frames can come. `on_bus`: frames that the
    interface received, wanted or not. `lost`: wanted frames that found the queue full.
    `error_frames`: reports of the controller. `state`: "error-active", "error-warning",
    "error-passive", "bus-off", "stopped" or "sleeping". `listen_only`: whether the controller keeps
    from acknowledging; `virtual`: there is no controller that could.
    `bus_offs`: how often the controller went bus-off. `traffic`: all that the bus carried, wanted
    or not.
    """

    trouble: str = ""
    on_bus: int | None = None
    lost: int | None = None
    error_frames: int | None = None
    state: str | None = None
    listen_only: bool | None = None
    virtual: bool = False
    bus_offs: int | None = None
    traffic: Traffic | None = None


class Bus(Protocol):
    """An open bus; there is no way to send on one."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

    def receive(self, receiver: Receiver, timeout_s: float) -> list[tuple[int, list[Statement]]]:
        """Wait for frames at most `timeout_s`; what they state, with boot time of capture in ms.

        Raises DeviceUnavailable where the adaptor is gone for good.
        """
        ...

    def revive(self) -> None:
        """Called after each 10 s of silence: wake an adaptor that may have been reset."""
        ...

    def condition(self) -> Condition:
        """How the bus is now. Costs no input or output."""
        ...
