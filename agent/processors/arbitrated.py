"""The signals that the agent states after weighing what several sources say."""

from __future__ import annotations

from agent.signals import CHANGE, Datatype, Group, Signal, sampled

SPEED = "Vehicle.Speed"
ODOMETER = "Vehicle.TraveledDistance"
HEADING = "Vehicle.CurrentLocation.Heading"

SPEED_TOLD = "Vehicle.Bus.Arbitration.Speed"
ODOMETER_TOLD = "Vehicle.Bus.Arbitration.Odometer"
HEADING_TOLD = "Vehicle.Bus.Arbitration.Heading"
CLOCK_TOLD = "Vehicle.Bus.Arbitration.Clock"
DISAGREEMENT = "Vehicle.Bus.Arbitration.Disagreement"

_SOURCE = "the agent, by [arbitration]"


def _told(path: str, what: str) -> Signal:
    meaning = f"Who is followed for {what}, as SOURCE:PATH; none where nobody is good."
    return Signal(path, Datatype.STRING, "", meaning, CHANGE, source=_SOURCE)


ARBITRATED = Group(
    "arbitrated",
    (
        Signal(
            SPEED,
            Datatype.FLOAT,
            "km/h",
            "Speed of the followed source.",
            sampled(1, 0.5),
            0,
            steps_per_unit=256,
            source=_SOURCE,
        ),
        Signal(
            ODOMETER,
            Datatype.DOUBLE,
            "m",
            "Odometer of the followed source.",
            sampled(5),
            0,
            steps_per_unit=1,
            source=_SOURCE,
        ),
        Signal(
            HEADING,
            Datatype.DOUBLE,
            "degrees",
            "Heading of the followed source while the vehicle moves.",
            sampled(1, 2),
            0,
            360,
            source=_SOURCE,
        ),
        _told(SPEED_TOLD, "the speed"),
        _told(ODOMETER_TOLD, "the odometer"),
        _told(HEADING_TOLD, "the heading"),
        Signal(
            CLOCK_TOLD,
            Datatype.STRING,
            "",
            "Who gave the UTC offset that is in force: SOURCE:PATH, system:ntp, system:rtc, "
            "stored:KIND from before a restart of the agent, or none.",
            CHANGE,
            source=_SOURCE,
        ),
        Signal(
            DISAGREEMENT,
            Datatype.STRING,
            "",
            "Which good sources have long differed from the followed one; empty where none does.",
            CHANGE,
            source=_SOURCE,
        ),
    ),
)
"""What source `brain` states about what others state."""
