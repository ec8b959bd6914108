"""From the section [arbitration] of the configuration to the rules of the arbiter."""

from __future__ import annotations

from agent.config_models import Arbitration
from agent.processors import arbitrated
from agent.processors.arbitrate import Arbiter
from agent.processors.clock import ClockTable
from agent.processors.contest import Rule


def arbiter(source: str, section: Arbitration, clock: ClockTable) -> Arbiter:
    """The arbiter that states as `source` what it decides; `clock` tells it who gives UTC."""
    return Arbiter(
        source,
        rules(section),
        moving_kmh=section.heading.moving_kmh,
        standing_kmh=section.heading.standing_kmh,
        clock=lambda: clock.followed,
    )


def apply(section: Arbitration, arbiter: Arbiter, clock: ClockTable) -> None:
    """Let both go on by another configuration. From any thread."""
    heading = section.heading
    arbiter.replace(rules(section), heading.moving_kmh, heading.standing_kmh)
    clock.reorder(section.clock.order)


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
