"""From the section [arbitration] of the configuration to the rules of the arbiter."""

from __future__ import annotations

from agent.config_models import Arbitration
from agent.processors import arbitrated
from agent.processors.contest import Rule


def rules(section: Arbitration) -> tuple[Rule, ...]:
    """Speed first: whether the vehicle moves decides about the heading."""
    speed, odometer, heading = section.speed, section.odometer, section.heading
    return (
        Rule(
            "speed",
            arbitrated.SPEED,
            arbitrated.SPEED_TOLD,
            tuple(speed.order),
            speed.fresh_s,
            speed.take_over_s,
            speed.fall_back_s,
            speed.differ_kmh,
            speed.differ_s,
        ),
        Rule(
            "odometer",
            arbitrated.ODOMETER,
            arbitrated.ODOMETER_TOLD,
            tuple(odometer.order),
            odometer.fresh_s,
            odometer.take_over_s,
            odometer.fall_back_s,
            odometer.differ_m,
            odometer.differ_s,
        ),
        Rule(
            "heading",
            arbitrated.HEADING,
            arbitrated.HEADING_TOLD,
            tuple(heading.order),
            heading.fresh_s,
            heading.take_over_s,
            heading.fall_back_s,
            heading.differ_degrees,
            heading.differ_s,
            circular=True,
        ),
    )
