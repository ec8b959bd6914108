"""Jump guards: whether an odometer or a clock can have come to the value that it says now.

Pure step functions over what was seen before; time is the boot time of the frames. What is doubted
is no value for now. It becomes one when the sender has stayed with it for `CONFIRM_MS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

CONFIRM_MS = 60_000
"""A jump is believed after this long without another one: workshop change, clock set right."""

REPLACED_MS = 1_800_000
"""An odometer below that of the run before is believed after this long."""

# No bus drives 162 km/h. The slack is one count of SPN 245 (125 m) and what a late frame hides.
_FASTEST_M_PER_MS = 0.045
_ODOMETER_SLACK_M = 200.0

# A clock in whole seconds, a gateway that passes it on late, a quartz that drifts by 200 ppm.
_CLOCK_SLACK_MS = 5_000
_DRIFT = 200e-6


class Point(NamedTuple):
    """A value and the boot time of its frame."""

    value: float
    at_ms: int


class Course(NamedTuple):
    """What was seen of one counter: where it was believed, and the doubted values since.

    `doubted` is the latest of a run of doubted values that follow from one another, `since_ms` when
    that run began.
    """

    believed: Point | None = None
    doubted: Point | None = None
    since_ms: int = 0


Step = Callable[[Course, Point], tuple[Course, bool]]
"""The course with one more point, and whether that point is believed."""


def odometer(course: Course, now: Point) -> tuple[Course, bool]:
    """An odometer in metres: it never falls, and rises no faster than a bus can drive.

    0 is never believed: clusters say it while they wake up, and no bus in service has driven 0 km.
    Any other first value is believed at once.
    """

    def follows(before: Point) -> bool:
        elapsed_ms = max(0, now.at_ms - before.at_ms)
        gain = now.value - before.value
        return 0 <= gain <= _ODOMETER_SLACK_M + elapsed_ms * _FASTEST_M_PER_MS

    if now.value > 0 and (course.believed is None and course.doubted is None):
        return Course(now), True
    if course.believed is not None and follows(course.believed):
        return Course(now), True
    if course.doubted is None or not follows(course.doubted):
        return Course(course.believed, now, now.at_ms), False
    if now.value > 0 and now.at_ms - course.since_ms >= CONFIRM_MS:
        return Course(now), True
    return Course(course.believed, now, course.since_ms), False


def odometer_from(last_m: float) -> Step:
    """An odometer of which `last_m` was believed in the run before.

    A first value below it is no value until its sender has stayed with it for `REPLACED_MS`: a
    cluster that wakes up, or the odometer that a workshop put in. A first one above is believed.
    """

    def step(course: Course, now: Point) -> tuple[Course, bool]:
        if course.believed is not None:
            return odometer(course, now)
        if now.value >= last_m:
            return odometer(Course(), now)
        before = course.doubted
        stays = (
            before is not None
            and 0
            <= now.value - before.value
            <= _ODOMETER_SLACK_M + (now.at_ms - before.at_ms) * _FASTEST_M_PER_MS
        )
        since_ms = course.since_ms if stays else now.at_ms
        if now.value > 0 and now.at_ms - since_ms >= REPLACED_MS:
            return Course(now), True
        return Course(None, now, since_ms), False

    return step


def clock(course: Course, now: Point) -> tuple[Course, bool]:
    """A clock in milliseconds: it goes as fast as boot time does.

    Judged from a fixed point, so that a clock that stands still or runs wrong is found out. The
    first value is believed at once: whether its year can be is for the table to say.
    """

    def follows(anchor: Point) -> bool:
        elapsed_ms = now.at_ms - anchor.at_ms
        off_ms = now.value - anchor.value - elapsed_ms
        return abs(off_ms) <= _CLOCK_SLACK_MS + abs(elapsed_ms) * _DRIFT

    if course.believed is None and course.doubted is None:
        return Course(now), True
    if course.believed is not None and follows(course.believed):
        return Course(course.believed), True
    if course.doubted is None or not follows(course.doubted):
        return Course(course.believed, now, now.at_ms), False
    if now.at_ms - course.since_ms >= CONFIRM_MS:
        return Course(now), True
    return course, False


class Guard:
    """A step function and the course of one counter so far."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._course = Course()

    def believes(self, value: float, at_ms: int) -> bool:
        """Whether this value, of a frame at `at_ms`, is believed."""
        self._course, believed = self._step(self._course, Point(value, at_ms))
        return believed

    @property
    def settled(self) -> bool:
        """Whether any value was believed so far."""
        return self._course.believed is not None

    def restart(self) -> None:
        """Forget the course: what comes next is another counter."""
        self._course = Course()


GUARDS: Mapping[str, Step] = MappingProxyType(
    {"Vehicle.TraveledDistance": odometer, "Vehicle.Bus.Clock.Vehicle": clock}
)
"""The guarded signals."""
