"""All parameters of the signal table, the electric groups among them, as the tests walk them."""

from __future__ import annotations

from drivers.fms_j1939.spn import Shape
from drivers.fms_j1939.table import parameter_groups

ALL = parameter_groups(electric=True)
RAW = {Shape.SWITCH, Shape.CODE, Shape.INTEGER, Shape.NUMBER}
SPNS = [(pgn, spn) for pgn in ALL.values() for spn in pgn.spns if spn.shape in RAW]
