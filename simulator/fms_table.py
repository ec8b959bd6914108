"""What the FMS connector carries: the parameter groups of each vehicle that can be simulated."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from simulator.addresses import ENGINE, VEHICLE_CONTROLLER
from simulator.fms_body import BODY_AND_DASH
from simulator.fms_chassis import CHASSIS
from simulator.fms_drive import DRIVE
from simulator.fms_electric import ELECTRIC
from simulator.fms_tachograph import OF_TACHOGRAPH
from simulator.spn import Message

VehicleKind = Literal["diesel", "electric"]
KINDS: tuple[VehicleKind, ...] = ("diesel", "electric")

_DIESEL = (*DRIVE, *CHASSIS, *BODY_AND_DASH, *OF_TACHOGRAPH)
# Where there is no engine, its controller's part is played by the one of the vehicle.
_ELECTRIC = (
    *ELECTRIC,
    *(
        replace(message, sender=VEHICLE_CONTROLLER) if message.sender == ENGINE else message
        for message in (*CHASSIS, *BODY_AND_DASH, *OF_TACHOGRAPH)
    ),
)

MESSAGES: dict[VehicleKind, tuple[Message, ...]] = {"diesel": _DIESEL, "electric": _ELECTRIC}
"""Phases are staggered so that a second is filled evenly."""
