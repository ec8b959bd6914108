"""What the driver does besides driving: the start of the shift, stops, lights, doors, the card.

A halt runs as a script of (when, what, value), drawn from the seed at the moment it begins.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from simulator.route import Halt, Route

DOORS_OPEN, DOORS_CLOSING, DOORS_CLOSED = 0, 1, 2  # SPN 1821
REST, AVAILABLE, WORK, DRIVE = 0, 1, 2, 3  # SPN 1612
TIME_NORMAL, TIME_NEAR_4H30, TIME_AT_4H30 = 0, 1, 2  # SPN 1617

DOORS = 3
"""Fitted; DC2 has room for ten."""
OPENED_AFTER_MS = (0, 250, 500)
CLOSED_AFTER_MS = (600, 1_100, 1_800)
"""Door by door, after the button; the last one closes the doors as a whole."""
KNEELING_NEEDED = 0.6
CLOSING_MS = 4_000
"""From the closing of the doors to driving."""

CARD_IN_MS = 4_000
CARD_READ_MS = 7_500
DRIVING_LIMIT_S = 4.5 * 3_600
WORK_AFTER_MS = 8_000
"""A tachograph leaves "driving" some time after the wheels have stopped."""

FIRST_DEPARTURE_MS = 12_000
"""World time at which the bus leaves its first stop."""
WAIT_MAX_MS = 600_000
"""Nobody waits longer than this for the minute of the timetable."""

LIGHT_RED = 0.4
STOP_REQUESTED = 0.9
RAMP_NEEDED = 0.12


class Cue(NamedTuple):
    """At `at_ms` of world time the attribute `what` becomes `value`."""

    at_ms: int
    what: str
    value: int | bool


class Service:
    """Doors, brake, ramp and working state; `halt_m` is where the bus is to stand next."""

    def __init__(self, rng: random.Random, route: Route) -> None:
        self._rng = rng
        self._route = route
        self.driving = False
        self.doors = DOORS_CLOSED
        self.doors_enabled = False
        self.ramp_out = False
        self.kneeling = False
        self.doors_open = [False] * DOORS
        self.parking_brake = True
        self.working_state = REST
        self.card_present = False
        self.card_read = False
        self.system_event = False
        self.driving_s = rng.uniform(0.0, 3.0 * 3_600)
        self._last_motion_ms = -WORK_AFTER_MS
        self._index = 0
        self._lap_m = 0.0
        self.halt_m = 0.0
        self.at_kind = self.next_kind = "stop"
        """Of the halt where the bus stands or stood last, and of the one it goes to."""
        self.pulled_out_ms = -1_000_000
        self._script: list[Cue] = _in_order(
            Cue(3_600, "doors_enabled", True),
            *_opening(4_000),
            *_closing(8_400),
            Cue(10_600, "doors_enabled", False),
            Cue(11_300, "parking_brake", False),
            Cue(FIRST_DEPARTURE_MS, "driving", True),
        )
        self._next_halt()

    @property
    def time_state(self) -> int:
        """Driver 1's time-related state (SPN 1617) by the time driven without a break."""
        if self.driving_s >= DRIVING_LIMIT_S:
            return TIME_AT_4H30
        return TIME_NEAR_4H30 if self.driving_s >= DRIVING_LIMIT_S - 900 else TIME_NORMAL

    def step(self, now_ms: int, dt_s: float, speed_ms: float, distance_m: float) -> None:
        """Let the script go on; begin the next halt where the bus has come to stand at it."""
        while self._script and self._script[0].at_ms <= now_ms:
            self._play(self._script.pop(0), now_ms)
        if self.driving and speed_ms == 0.0 and distance_m > self.halt_m - 0.5:
            self.driving = False
            halt = self._route.halts[self._index]
            self.at_kind = halt.kind
            self._script = self._halt(now_ms, halt)
            self._next_halt()
        self._watch_card(now_ms, dt_s, speed_ms)

    def _play(self, cue: Cue, now_ms: int) -> None:
        if cue.what.startswith("door_"):
            self.doors_open[int(cue.what[5:])] = bool(cue.value)
            return
        setattr(self, cue.what, cue.value)
        if cue.what == "driving" and self.at_kind == "stop":
            self.pulled_out_ms = now_ms

    def _watch_card(self, now_ms: int, dt_s: float, speed_ms: float) -> None:
        self.card_present = now_ms >= CARD_IN_MS
        self.card_read = now_ms >= CARD_READ_MS
        self.system_event = CARD_IN_MS <= now_ms < CARD_IN_MS + 1_500
        if speed_ms > 0.0:
            self._last_motion_ms = now_ms
            self.driving_s += dt_s
            self.working_state = DRIVE
            return
        begins = self.card_read and self.working_state == REST and not self._on_layover()
        stood_ms = now_ms - self._last_motion_ms
        if begins or (self.working_state == DRIVE and stood_ms >= WORK_AFTER_MS):
            self.working_state = WORK

    def _on_layover(self) -> bool:
        return any(cue.what == "working_state" for cue in self._script)

    def _next_halt(self) -> None:
        """Choose where to stand next; lights may be green and stops unwanted."""
        while True:
            before = self._index
            self._index, halt = self._route.halt_after(before)
            if self._index <= before:
                self._lap_m += self._route.length_m
            chance = LIGHT_RED if halt.kind == "light" else STOP_REQUESTED
            if self._index == 0 or self._rng.random() < chance:
                self.halt_m = self._lap_m + halt.distance_m
                self.next_kind = halt.kind
                return

    def _halt(self, now_ms: int, halt: Halt) -> list[Cue]:
        if halt.kind == "light":
            return [Cue(now_ms + self._rng.randrange(4_000, 22_000), "driving", True)]
        script = [
            Cue(now_ms + 500, "parking_brake", True),
            Cue(now_ms + 900, "doors_enabled", True),
            *_opening(now_ms + 1_300),
        ]
        if self._rng.random() < KNEELING_NEEDED:
            script.append(Cue(now_ms + 1_200, "kneeling", True))
        at = now_ms + 1_300 + self._rng.randrange(6_000, 16_000)
        if self._rng.random() < RAMP_NEEDED:
            script += [Cue(at, "ramp_out", True), Cue(at + 14_000, "ramp_out", False)]
            at += 15_000
        if halt.distance_m == 0.0:
            # The end of the line: a few minutes of rest.
            rest_ms = self._rng.randrange(60_000, 180_000)
            script += [
                Cue(at, "working_state", AVAILABLE),
                Cue(at + 10_000, "working_state", REST),
                Cue(at + rest_ms, "working_state", WORK),
            ]
            at += rest_ms
        elif halt.depart_s is not None and self._lap_m == 0.0:
            leave_ms = FIRST_DEPARTURE_MS + round(halt.depart_s * 1_000) - CLOSING_MS
            at = max(at, min(leave_ms, at + WAIT_MAX_MS))
        script += [
            Cue(at - 300, "kneeling", False),
            *_closing(at),
            Cue(at + 2_300, "doors_enabled", False),
            Cue(at + 2_900, "parking_brake", False),
            Cue(at + CLOSING_MS, "driving", True),
        ]
        return _in_order(*script)


def _opening(at_ms: int) -> list[Cue]:
    doors = [Cue(at_ms + OPENED_AFTER_MS[k], f"door_{k}", True) for k in range(DOORS)]
    return [Cue(at_ms, "doors", DOORS_OPEN), *doors]


def _closing(at_ms: int) -> list[Cue]:
    doors = [Cue(at_ms + CLOSED_AFTER_MS[k], f"door_{k}", False) for k in range(DOORS)]
    closed_ms = at_ms + CLOSED_AFTER_MS[-1]
    return [Cue(at_ms, "doors", DOORS_CLOSING), *doors, Cue(closed_ms, "doors", DOORS_CLOSED)]


def _in_order(*cues: Cue) -> list[Cue]:
    return sorted(cues, key=lambda cue: cue.at_ms)
