"""Messages that speak of one of several things: axle weights (VW) and service distances (SERV)."""

from __future__ import annotations

from typing import Any

from agent.sdk import Datatype, Scalar, Signal, State
from drivers.fms_j1939.pgn import Composer, Pgn
from drivers.fms_j1939.raw_classes import raw_state
from drivers.fms_j1939.spn import Reading, Spn

_ROWS = 8
_COMPONENTS = 16


class Multiplexed(Pgn):
    """A parameter group whose byte 1 says what the message is about.

    Only messages with the same byte 1 repeat each other. The paths of its signals have a place for
    what that is; what has no signal (axle 9, component 200, none) is read without a path.
    """

    slot = ""
    """The place in the paths."""
    slots: tuple[tuple[int, int], ...] = ()
    """What stands in that place for each multiplexer value that has signals."""

    def __init__(self, number: int, name: str, *spns: Spn, **rest: Any) -> None:
        super().__init__(number, name, *spns, **rest)
        self._paths = {
            (spn.number, value): spn.path.format(**{self.slot: text})
            for spn in spns
            for value, text in self.slots
            if spn.path
        }

    def signals(self) -> list[Signal]:
        """One signal for each thing that a message may be about."""
        found = []
        for spn in (*self.spns, *self.whole):
            paths = [spn.path.format(**{self.slot: text}) for _, text in self.slots]
            found += [spn.declared(path) for path in dict.fromkeys(paths) if path]
        return found

    def key(self, payload: bytes) -> int:
        """Byte 1."""
        return payload[0] if payload else 0

    def about(self, payload: bytes) -> int | None:
        """What the message is about; None where byte 1 is no value."""
        if not payload or raw_state(payload[0], 8) is not None:
            return None
        return payload[0]

    def read(self, payload: bytes) -> list[Reading]:
        """The readings of one message, each with the path for what it is about."""
        about = self.about(payload)
        return [
            reading._replace(
                path=None if about is None else self._paths.get((reading.spn.number, about))
            )
            for reading in super().read(payload)
        ]


class Axles(Multiplexed):
    """Vehicle weight: high nibble of byte 1 is the axle from 0, low nibble the tyre."""

    slot = "row"
    slots = tuple((axle, axle + 1) for axle in range(_ROWS))

    def about(self, payload: bytes) -> int | None:
        """The axle, from 0."""
        location = super().about(payload)
        return None if location is None else location >> 4

    def details(self, payload: bytes) -> dict[str, int]:
        """`axle` and `tyre`, both from 0 as in the standard."""
        return {"axle": payload[0] >> 4, "tyre": payload[0] & 15} if payload else {}


class Services(Multiplexed):
    """Service information of one component a message."""

    slot = "component"
    slots = tuple((component, component) for component in range(_COMPONENTS))

    def details(self, payload: bytes) -> dict[str, int]:
        """`component`."""
        return {"component": payload[0]} if payload else {}

    def composer(self) -> Composer:
        """The smallest of all components that one sender told of."""
        return Smallest(self)


class Smallest:
    """What is left until the next service, over the components that one sender told of.

    A component that takes its value back no longer counts; without any value the state is that of
    the component heard last. Byte 1 has 251 valid values, so memory is bounded.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._left: dict[int, dict[int, Reading]] = {}
        # The rows `whole` are in the order of the parameters that they are made of.
        of = [spn.number for spn in services.spns if spn.bits > 1 and spn.number != _COMPONENT_ID]
        self._whole = dict(zip(of, services.whole, strict=True))

    def add(self, payload: bytes, readings: list[Reading]) -> list[Reading]:
        """The smallest values after this message, one reading a signal."""
        component = self._services.about(payload)
        if component is None:
            return []
        said = []
        for reading in readings:
            whole = self._whole.get(reading.spn.number)
            if whole is not None:
                known = self._left.setdefault(reading.spn.number, {})
                known[component] = reading
                said.append(_smallest(whole, reading, known))
        return said


_COMPONENT_ID = 911


def _smallest(whole: Spn, last: Reading, known: dict[int, Reading]) -> Reading:
    values = [one.stated for one in known.values() if one.plausible and one.stated is not None]
    if not values:
        return whole.reading(None, last.state or State.IMPLAUSIBLE)
    least: Scalar = min(values, key=float)
    return whole.reading(int(least) if whole.datatype is Datatype.INT32 else float(least))
