"""Units of DBC files, which have no standard, by what VSS calls them."""

from __future__ import annotations

UNITS = {
    "": "", "-": "", "%": "percent", "°c": "celsius", "degc": "celsius", "deg c": "celsius",
    "c": "celsius", "celsius": "celsius", "km/h": "km/h", "kmh": "km/h", "kph": "km/h",
    "rpm": "rpm", "1/min": "rpm", "min-1": "rpm", "v": "V", "a": "A", "ah": "Ah", "w": "W",
    "kw": "kW", "kwh": "kWh", "pa": "Pa", "kpa": "kPa", "mbar": "mbar", "hpa": "mbar", "l": "l",
    "ml": "ml", "l/h": "l/h", "km/l": "km/l", "km": "km", "m": "m", "cm": "cm", "mm": "mm",
    "kg": "kg", "g": "g", "g/s": "g/s", "s": "s", "sec": "s", "ms": "ms", "min": "min", "h": "h",
    "hr": "h", "n": "N", "kn": "kN", "nm": "Nm", "n.m": "Nm", "deg": "degrees", "°": "degrees",
    "degrees": "degrees", "deg/s": "degrees/s", "°/s": "degrees/s", "rad/s": "rad/s",
    "m/s": "m/s", "m/s2": "m/s^2", "m/s^2": "m/s^2", "m/s²": "m/s^2", "hz": "Hz", "ohm": "Ohm",
}  # fmt: skip
"""Units that DBC files have, in lower case, by what VSS calls them."""

CONVERTED = {
    "bar": ("100", "kPa"),
    "mv": ("1/1000", "V"),
    "ma": ("1/1000", "A"),
    "wh": ("1/1000", "kWh"),
    "t": ("1000", "kg"),
    "rad": ("180/pi", "degrees"),
}
"""Units that VSS has not: the factor to one that it has."""
