"""All that a driver may import: the contract, its context, its errors, signals and records.

A driver states facts. Restart, priority, thinning and retention are the core's affair.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

import msgspec

from agent.clock import boottime_ms
from agent.record import Blob, Kind, Record, Scalar, State
from agent.signals import CHANGE, EVERY, Datatype, Group, Keep, Signal, Thinning, sampled

__all__ = [
    "CHANGE",
    "EVERY",
    "REMOTE",
    "Annotated",
    "Blob",
    "Commandable",
    "ConfigFile",
    "Context",
    "Datatype",
    "Decodes",
    "DeviceUnavailable",
    "Driver",
    "DriverConfig",
    "Group",
    "Keep",
    "Kind",
    "Meta",
    "Prepares",
    "Record",
    "Scalar",
    "Signal",
    "Sink",
    "State",
    "Thinning",
    "boottime_ms",
    "sampled",
]


class DeviceUnavailable(Exception):
    """The device is not there just now: no port, no interface, no answer.

    Costs one line in the log and a quiet retry. The text names the device, what was expected and
    what to do. `path`, where the device has one: when that appears the retry comes at once.
    """

    def __init__(self, text: str = "", *, path: str | None = None) -> None:
        super().__init__(text)
        self.path = path


class DriverConfig(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Base of a driver's config section, without `type`. Each field is described and bounded.

    class Config(DriverConfig):
        port: Annotated[str, Meta(description="Serial port of the receiver.")]
        baud: Annotated[int, Meta(description="Baud rate.", ge=1200, le=921600)] = 9600
    """


Meta = msgspec.Meta
"""Description and bounds of a config field: `port: Annotated[str, Meta(description="...")]`."""

REMOTE = {"remote": True}
"""`Meta(..., extra=REMOTE)`: the option may also be changed by a signed command. Not for places,
hosts and whatever the operator answers for at the vehicle: what names no REMOTE stays."""

ConfigFile = Annotated[str, Meta(extra={"file": True})]
"""Type of a config field that names a file. A relative path starts at the folder of the
configuration file that states it; the driver gets it absolute. "" stays "": no file."""

C = TypeVar("C", bound=DriverConfig)


class Context(Protocol):
    """What the host gives to a running driver."""

    workdir: Path
    """Private to the driver instance; survives restarts."""

    def running(self) -> bool:
        """Heartbeat and stop flag: call it at least every 5 s, leave `run` when it is False."""
        ...

    def emit(
        self,
        group: Group,
        values: Mapping[str, Scalar],
        *,
        states: Mapping[str, State] | None = None,
        at_boottime_ms: int | None = None,
        kind: Kind = Kind.SAMPLE,
        blob: Blob | None = None,
        durable: bool = False,
    ) -> None:
        """State facts of one declared group; paths without news may be left out.

        `at_boottime_ms` is the capture time, None means now. Never blocks, except with `durable`,
        which returns when the record is on flash. Undeclared paths, wrong types, NaN and infinities
        raise ValueError under test and are counted in the field.
        """
        ...


class Driver(ABC, Generic[C]):
    """One device family. The host makes one instance per `[drivers.NAME]` section."""

    config_model: ClassVar[type[DriverConfig]]
    groups: tuple[Group, ...]
    """What the driver may emit, as an attribute of the class. Where the section decides, the
    instance has one of its own, set in `__init__`: that one counts for all that is configured."""
    device: str = "ok"
    """What there is to say of a device that is open and yet of no use ("silent for 12 s, ..."):
    one line for `brain status`. A driver may set it at any time; "ok" takes it back."""

    def __init__(self, config: C) -> None:
        """Keep the config; touch no hardware here."""
        self.config = config

    def probe(self) -> str:
        """Open the device, read once, close, and say in one line what was found.

        Raises DeviceUnavailable. For `brain doctor`.
        """
        raise DeviceUnavailable(f"{type(self).__name__} cannot be probed")

    @abstractmethod
    def run(self, ctx: Context) -> None:
        """Open, loop `while ctx.running()`, close in with/finally. Raises DeviceUnavailable."""


@runtime_checkable
class Sink(Protocol):
    """A driver that shows something: signs, displays."""

    signals: frozenset[str]

    def deliver(self, record: Record) -> None:
        """Show a record that holds at least one of `signals`."""
        ...


@runtime_checkable
class Commandable(Protocol):
    """A driver that can be told to do something; verbs run on a thread of their own."""

    verbs: frozenset[str]

    def command(self, verb: str, args: Mapping[str, Scalar]) -> Mapping[str, Scalar]:
        """Do `verb`, answer with its result. Raises ValueError on bad arguments."""
        ...


@runtime_checkable
class Decodes(Protocol):
    """A driver class whose pure decoder reads captures: `brain decode TYPE FILE`."""

    @classmethod
    def decode(cls, path: Path) -> Iterator[Mapping[str, object]]:
        """One JSON-able mapping a line. Raises ValueError naming the file and line when corrupt.

        A generator may return a text, shown at the end: what of the capture it left out.
        """
        ...


@runtime_checkable
class Prepares(Protocol):
    """A driver class that makes files out of those its section names, when `brain check` runs."""

    @classmethod
    def prepare(cls, section: Mapping[str, object]) -> list[str]:
        """Make what is missing or stale; one line for each thing worth knowing.

        `section` was not validated; its files are absolute. Raises ValueError with "KEY: text".
        """
        ...


def paths(groups: Iterable[Group]) -> frozenset[str]:
    """All VSS paths that `groups` declare."""
    return frozenset(signal.path for group in groups for signal in group.signals)
