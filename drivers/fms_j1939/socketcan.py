"""A CAN interface of the kernel, only ever read: survives it going down, up, away and coming back.

The link decides about bit rate and acknowledging, so it is looked at before the bus is opened and
every second: this driver listens on a link that is listen-only, unless it is told otherwise.
"""

from __future__ import annotations

import errno
import select
import time
from collections.abc import Iterable

from agent.sdk import DeviceUnavailable, boottime_ms
from drivers.fms_j1939 import can_errors, can_raw, link_state
from drivers.fms_j1939.bus import Condition
from drivers.fms_j1939.dynamics import WATCHED
from drivers.fms_j1939.frame_socket import BATCH, FrameSocket
from drivers.fms_j1939.link_state import Link
from drivers.fms_j1939.load import Traffic
from drivers.fms_j1939.raw_ring import RawRing
from drivers.fms_j1939.receiver import Receiver, Statement
from drivers.fms_j1939.table import PGNS

# After the first frame others may gather for so long: one wake-up then serves many frames.
_GATHER_MS = 20

_LOOK_MS = 1_000
_RETRY_MS = 200

# Batches before the driver beats again; in a flood there is always another one.
_MAX_BATCHES = 16


class SocketCanBus:
    """A CAN interface. Use it in a `with`.

    `insist`: refuse a link that acknowledges, and one of which that cannot be told. `pgns`: what
    the kernel hands on, besides the transport protocol. Raises
    DeviceUnavailable for these, where the interface is absent at first, and where it is none.
    """

    def __init__(
        self,
        interface: str,
        bitrate: int,
        *,
        insist: bool,
        pgns: Iterable[int] = PGNS,
        raw: RawRing | None = None,
    ) -> None:
        self._interface = interface
        self._bitrate = bitrate
        self._insist = insist
        self._filters = can_raw.filters({*pgns, *WATCHED})
        self._raw = raw
        self._drops = can_raw.Drops()
        self._error_frames = 0
        self._bus_offs = 0
        self._last_error = ""
        self._state: str | None = None
        self._readable = select.poll()
        self._pause = select.poll()
        self._socket: FrameSocket | None = None
        self._link: Link | None = None
        self._blind = False  # rtnetlink is refused to this process
        self._down = False
        self._index = 0
        self._looked_ms = self._since_ms = boottime_ms()
        try:
            self._look()
            if self._link is None and not self._blind:
                raise DeviceUnavailable(self._absent())
            self._open()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> SocketCanBus:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def receive(self, receiver: Receiver, timeout_s: float) -> list[tuple[int, list[Statement]]]:
        """Wait for frames at most `timeout_s`; what they state, with boot time of arrival in ms."""
        self._look_again()
        if self._socket is None:
            self._pause.poll(min(int(timeout_s * 1000), _RETRY_MS))
            return []
        if not self._readable.poll(int(timeout_s * 1000)):
            self._since_ms = boottime_ms()
            return []
        if self._down:
            self._look()  # before its frames are believed
        self._pause.poll(_GATHER_MS)
        said: list[tuple[int, list[Statement]]] = []
        for _ in range(_MAX_BATCHES):
            if not self._take(receiver, said):
                break
        return said

    def revive(self) -> None:
        """Nothing to do: the kernel restarts a controller by itself, see restart-ms."""

    def condition(self) -> Condition:
        """How link and controller are."""
        link = self._link
        return Condition(
            trouble=self._trouble(),
            on_bus=link.received if link is not None else None,
            lost=self._drops.total,
            error_frames=self._error_frames,
            state=self._state,
            listen_only=link.listen_only if link is not None else None,
            virtual=link is not None and link.virtual,
            bus_offs=self._bus_offs,
            traffic=self._traffic(),
        )

    def close(self) -> None:
        """Close the socket. Never raises."""
        if self._socket is not None:
            self._readable.unregister(self._socket)
            self._socket.close()
            self._socket = None

    def _take(self, receiver: Receiver, said: list[tuple[int, list[Statement]]]) -> bool:
        """Read one batch into `said`; whether more may wait."""
        assert self._socket is not None
        now_ms = boottime_ms()
        try:
            batch = self._socket.take()
        except OSError as error:
            return self._survive(error)
        wall_ns = time.time_ns()
        read_ms = boottime_ms()
        self._down = self._down and not batch
        stamped: list[tuple[bytes, int]] = []
        for raw, control in batch:
            stamp_ns, lost = can_raw.control(control)
            if lost is not None:
                self._drops.see(lost)
            if can_raw.is_error(raw):
                self._report(raw)
                continue
            # The stamp is wall time, which may step. What waits came after the frame before it,
            # and after the queue was empty.
            age_ms = 0 if stamp_ns is None else (wall_ns - stamp_ns) // 1_000_000
            self._since_ms = min(max(read_ms - age_ms, self._since_ms), read_ms)
            stamped.append((raw, self._since_ms))
        if self._raw is not None:
            self._raw.can_frames(stamped)
        said += receiver.can_frames(stamped)
        if len(batch) == BATCH:
            return True
        self._since_ms = max(now_ms, self._since_ms)
        return False

    def _survive(self, error: OSError) -> bool:
        """What happened to the interface costs its frames only; any other error is raised."""
        if error.errno == errno.ENETDOWN:
            self._down = True
            self._look()
            return True
        if error.errno in (errno.ENODEV, errno.ENXIO):
            self.close()
            self._look()
            return False
        raise DeviceUnavailable(f"{self._interface} cannot be read: {error.strerror}") from error

    def _report(self, raw: bytes) -> None:
        """Count an error frame and believe its state until the next look."""
        self._error_frames += 1
        said = can_errors.decode(raw)
        self._last_error = ", ".join(said.facts)
        if said.state is not None:
            self._enter(said.state)

    def _enter(self, state: str) -> None:
        """The controller is in `state`, by itself or by the link."""
        if state == can_errors.BUS_OFF != self._state:
            self._bus_offs += 1
        self._state = state

    def _traffic(self) -> Traffic | None:
        """What the interface counted: the filter hides most of the bus from the socket."""
        link = self._link
        if link is None or link.received is None or link.received_bytes is None:
            return None
        return Traffic(link.received, link.received_bytes, self._looked_ms)

    def _look_again(self) -> None:
        """Look at the link from time to time; open the socket of one that has come back."""
        due_ms = _LOOK_MS if self._socket is not None else _RETRY_MS
        if boottime_ms() - self._looked_ms >= due_ms:
            self._look()
            if self._link is not None and self._link.index != self._index:
                self.close()  # another interface of this name
        if self._socket is None and (self._link is not None or self._blind):
            self._open()

    def _look(self) -> None:
        """Ask the kernel how the link is. Raises DeviceUnavailable where it must not be used."""
        self._looked_ms = boottime_ms()
        try:
            self._link = link = link_state.ask(self._interface)
        except OSError as error:
            if self._insist:
                raise DeviceUnavailable(
                    f"whether {self._interface} is listen-only cannot be told: rtnetlink "
                    f"({error.strerror}). Allow the address family AF_NETLINK, or set "
                    'link = "any"'
                ) from error
            self._blind = True
            return
        if link is None:
            self._state = None
            return
        if not link.is_can:
            raise DeviceUnavailable(
                f"{self._interface} is no CAN interface; for those see: ip -br link show type can"
            )
        self._down = not link.up
        if link.state is not None:
            self._enter(link.state)
        if self._insist and link.up and not link.virtual and not link.listen_only:
            raise DeviceUnavailable(
                f"{self._interface} is not listen-only: its controller acknowledges frames. Set "
                f'it with: {self._set_up_command(down=True)}; or set link = "any"'
            )

    def _open(self) -> None:
        """A socket on the interface, whatever index it has now."""
        try:
            self._socket = FrameSocket(self._interface, self._filters)
        except OSError as error:
            absent = error.errno in (errno.ENODEV, errno.ENXIO)
            if absent and self._index:
                return  # between two lives
            raise DeviceUnavailable(
                self._absent()
                if absent
                else (
                    f"{self._interface} cannot be opened: {error.strerror}; is the module can-raw "
                    "there, and may this process use AF_CAN?"
                )
            ) from error
        self._readable.register(self._socket, select.POLLIN)
        self._drops.new_socket()
        self._index = self._link.index if self._link is not None else -1
        self._since_ms = boottime_ms()

    def _trouble(self) -> str:
        """What keeps frames away, and what to do; empty where nothing does."""
        link = self._link
        if self._socket is None:
            return self._absent()
        if self._down:
            return f"{self._interface} is down. Bring it up with: {self._set_up_command()}"
        if link is not None and link.bitrate not in (None, self._bitrate):
            return (
                f"{self._interface} runs at {link.bitrate} bit/s, the configuration says "
                f"{self._bitrate}"
            )
        if self._state in (None, can_errors.ERROR_ACTIVE, can_errors.ERROR_WARNING):
            return ""
        last = f" ({self._last_error})" if self._last_error else ""
        return (
            f"{self._interface} is {self._state}{last}; are wires and terminator sound, and is "
            f"{self._bitrate} bit/s right?"
        )

    def _absent(self) -> str:
        return (
            f"CAN interface {self._interface} is not there; is the adaptor plugged in and its "
            "driver loaded? See: ip -br link show type can"
        )

    def _set_up_command(self, *, down: bool = False) -> str:
        command = f"ip link set {self._interface} up"
        if self._link is None or not self._link.virtual:
            command += f" type can bitrate {self._bitrate} listen-only on"
        return f"ip link set {self._interface} down && {command}" if down else command
