"""Reads a temperature in thousandths of a degree from a file, as Linux hwmon shows it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated

from agent.sdk import (
    Context,
    Datatype,
    DeviceUnavailable,
    Driver,
    DriverConfig,
    Group,
    Meta,
    Signal,
    sampled,
)

TEMPERATURE = "Vehicle.Cabin.HVAC.AmbientAirTemperature"
CABIN = Group(
    "cabin",
    (
        Signal(
            TEMPERATURE,
            Datatype.FLOAT,
            "celsius",
            "Temperature in the saloon.",
            sampled(1, 0.1),
            minimum=-40,
            maximum=85,
            steps_per_unit=1000,
        ),
    ),
)


class Config(DriverConfig):
    """Where the sensor is."""

    path: Annotated[str, Meta(description="File of the sensor, e.g. temp1_input of hwmon.")]
    period_s: Annotated[float, Meta(description="Time between readings.", ge=0.1, le=60)] = 1.0


class Thermometer(Driver[Config]):
    """One sensor."""

    config_model = Config
    groups = (CABIN,)

    def probe(self) -> str:
        """What the sensor reads."""
        return f"{self._read():.1f} degrees Celsius"

    def run(self, ctx: Context) -> None:
        """Read every `period_s`."""
        pause = threading.Event()
        while ctx.running():
            ctx.emit(CABIN, {TEMPERATURE: self._read()})
            pause.wait(min(self.config.period_s, 1.0))

    def _read(self) -> float:
        try:
            return int(Path(self.config.path).read_text()) / 1000
        except (OSError, ValueError) as error:
            raise DeviceUnavailable(f"{self.config.path}: {error}; is it plugged in?") from None
