"""The messages between processes: ingest (driver to coordinator), and sd_notify.

Ingest is AF_UNIX SEQPACKET; a datagram is one msgpack message, at most 64 KiB; an empty datagram is
the end. Records are numbered from 1 within a driver's stream, a random id per driver start. Only
`Durable` lets the driver forget them: a successful send proves nothing.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import Any

import msgspec

from agent.record import Scalar
from agent.signals import Datatype, Group, Keep, Signal, Thinning

MAX_DATAGRAM = 65_536
MAX_RECORDS = 50
MAX_LINGER_S = 0.050
MAX_GROUPS = 1_000
MAX_SIGNALS = 5_000
PROTOCOL_VERSION = 1

_PR_SET_PDEATHSIG = 1

LISTEN_FDS_START = 3
"""First inherited descriptor of socket activation, see sd_listen_fds(3)."""


class WireSignal(msgspec.Struct, array_like=True):
    """A Signal as `hello` declares it."""

    path: str
    datatype: str
    unit: str
    meaning: str
    keep: str
    interval_s: float
    deadband: float
    minimum: float | None
    maximum: float | None
    steps_per_unit: int
    source: str


class WireGroup(msgspec.Struct, array_like=True):
    """A Group as `hello` declares it; its id is its position."""

    name: str
    signals: list[WireSignal]


class Message(msgspec.Struct, tag_field="message"):
    """Base of all messages; the key `message` says which one it is."""


class Hello(Message, tag="hello"):
    """First message of a driver. `stream` is 32 hex digits, new at each start of the driver."""

    name: str
    type: str
    version: str
    stream: str
    groups: list[WireGroup]
    pid: int
    protocol: int = PROTOCOL_VERSION


class WireRecord(msgspec.Struct, array_like=True):
    """One record: `group` is the position in `hello.groups`.

    `values` has one entry per signal of the group, None where there is no news. `states` maps
    positions to states. `kind` None means sample. `blob` is (path, media_type, size, sha256).
    """

    group: int
    boottime_ms: int
    values: list[Scalar | None]
    states: dict[int, str] | None = None
    kind: str | None = None
    blob: tuple[str, str, int, str] | None = None


class Records(Message, tag="records"):
    """Records `first`, `first + 1`, ... of the stream; at most MAX_RECORDS."""

    first: int
    records: list[WireRecord]

    @property
    def numbers(self) -> tuple[int, int]:
        """The first and the last number."""
        return self.first, self.first + len(self.records) - 1


class Skipped(Message, tag="skipped"):
    """The ring overflowed: numbers `first` to `last` never come; `count` samples are lost."""

    first: int
    last: int
    count: int


class Report(Message, tag="report"):
    """What the host counts about its driver, since its start; sent at most once a second."""

    counters: dict[str, int]
    device: str
    """`ok`, `starting`, or the text of the last DeviceUnavailable or exception."""


class Answer(Message, tag="answer"):
    """How command `id` ended: `values` where `ok`, else `error` says why. Keys are no signals."""

    id: str
    ok: bool
    values: dict[str, Scalar]
    error: str


class Welcome(Message, tag="welcome"):
    """Answer to `hello`: all numbers up to `upto` are durable, go on after it."""

    upto: int


class Durable(Message, tag="durable"):
    """All numbers up to `upto` are on flash or were thinned: forget them."""

    upto: int


class Refused(Message, tag="refused"):
    """The coordinator will not speak with this driver; `reason` is for the log."""

    reason: str


class Command(Message, tag="command"):
    """Do `verb` before `deadline_boottime_ms` and send an Answer.

    The result becomes a REPLY record too, unless somebody at this computer asked (`local`).
    `attach`: the file that `path` of the result names goes with the Answer, open.
    """

    id: str
    verb: str
    args: dict[str, Scalar]
    deadline_boottime_ms: int
    local: bool = False
    attach: bool = False


class Deliver(Message, tag="deliver"):
    """A record for a sink."""

    source: str
    boottime_ms: int
    values: dict[str, Scalar]
    states: dict[str, str]
    kind: str


class Stop(Message, tag="stop"):
    """Leave `run` and end."""


Upward = Hello | Records | Skipped | Report | Answer
Downward = Welcome | Durable | Refused | Command | Deliver | Stop

_encoder = msgspec.msgpack.Encoder()
_upward: msgspec.msgpack.Decoder[Upward] = msgspec.msgpack.Decoder(Upward)
_downward: msgspec.msgpack.Decoder[Downward] = msgspec.msgpack.Decoder(Downward)


def encode(message: Upward | Downward) -> bytes:
    """One message as one datagram."""
    return _encoder.encode(message)


def decode_upward(datagram: bytes) -> Upward:
    """What a driver sent. Raises ValueError (msgspec's errors are such) on anything else."""
    return _upward.decode(datagram)


def decode_downward(datagram: bytes) -> Downward:
    """What the coordinator sent. Raises ValueError on anything else."""
    return _downward.decode(datagram)


def declare(group: Group) -> WireGroup:
    """A group as `hello` carries it."""
    return WireGroup(
        group.name,
        [
            WireSignal(
                s.path,
                s.datatype.value,
                s.unit,
                s.meaning,
                s.thinning.keep.value,
                s.thinning.interval_s,
                s.thinning.deadband,
                s.minimum,
                s.maximum,
                s.steps_per_unit,
                s.source,
            )
            for s in group.signals
        ],
    )


def declared(group: WireGroup) -> Group:
    """The group that `hello` carried. Raises ValueError on unknown words or a path twice."""
    return Group(
        group.name,
        tuple(
            Signal(
                s.path,
                Datatype(s.datatype),
                s.unit,
                s.meaning,
                Thinning(Keep(s.keep), s.interval_s, s.deadband),
                s.minimum,
                s.maximum,
                s.steps_per_unit,
                s.source,
            )
            for s in group.signals
        ),
    )


def listen_fds(environ: dict[str, str] | None = None) -> dict[str, int]:
    """Inherited sockets by name (LISTEN_FDS, LISTEN_FDNAMES); empty where none were passed."""
    env = dict(os.environ) if environ is None else environ
    if env.get("LISTEN_PID") not in (str(os.getpid()), None) or "LISTEN_FDS" not in env:
        return {}
    names = env.get("LISTEN_FDNAMES", "").split(":")
    count = int(env["LISTEN_FDS"])
    return {name: LISTEN_FDS_START + i for i, name in enumerate(names[:count]) if name}


class Notifier:
    """sd_notify(3) without a library; does nothing where no NOTIFY_SOCKET is set."""

    def __init__(self, address: str | None = None) -> None:
        target = address if address is not None else os.environ.get("NOTIFY_SOCKET", "")
        self._address: str | bytes = "\0" + target[1:] if target.startswith("@") else target

    def reloading(self) -> None:
        """Say that a reload begins; it ends with READY=1."""
        # Both fields, as Type=notify-reload of systemd 253 and newer wants them.
        self.send(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)

    def send(self, **fields: Any) -> None:
        """Send `READY=1`, `STATUS=...`, `WATCHDOG=1`, ... as one datagram; never raises."""
        if not self._address:
            return
        text = "\n".join(f"{key}={value}" for key, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.sendto(text.encode(), self._address)
        except OSError:
            pass


def watchdog_s(environ: dict[str, str] | None = None) -> float | None:
    """The watchdog's limit in seconds (WATCHDOG_USEC); None where no watchdog is set for us."""
    env = dict(os.environ) if environ is None else environ
    if env.get("WATCHDOG_PID") not in (str(os.getpid()), None):
        return None
    try:
        return int(env["WATCHDOG_USEC"]) / 1e6
    except (KeyError, ValueError):
        return None


def die_with_parent(environ: dict[str, str] | None = None) -> None:
    """End with `brain up` (BRAIN_DIE_WITH holds its pid), however that ends; see prctl(2).

    systemd does this by control groups. Does nothing where the variable is not set.
    """
    env = dict(os.environ) if environ is None else environ
    parent = env.get("BRAIN_DIE_WITH", "")
    if not parent.isdigit():
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        os.kill(os.getpid(), signal.SIGTERM)
