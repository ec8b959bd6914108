"""From the readings of one sender to statements: only what is believed, only what is new."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import NamedTuple

from agent.sdk import Group, Scalar, State
from drivers.fms_j1939.guards import Guard, Step
from drivers.fms_j1939.pgn import Pgn
from drivers.fms_j1939.senders import Belief, Claim, Voice, rank
from drivers.fms_j1939.spn import Reading, Spn


class Statement(NamedTuple):
    """What one message says, ready to be emitted."""

    group: Group
    values: dict[str, Scalar]
    states: dict[str, State]


class Beliefs:
    """All signals of one bus and who is believed about each.

    `prefer` maps signals, and parameter groups by name, to source addresses in order of trust.
    `guards` maps signals to the step functions that doubt their jumps.
    """

    def __init__(
        self,
        pgns: Iterable[Pgn],
        prefer: Mapping[str, Sequence[int]],
        guards: Mapping[str, Step],
    ) -> None:
        self._prefer = prefer
        self._guards = guards
        # A signal is declared in one group, whichever parameter group brings it.
        self._homes = {path: pgn.group for pgn in pgns for path in pgn.group.index}
        self._beliefs: dict[str, Belief] = {}

    def believed(self, path: str) -> Voice | None:
        """The sender that is followed for this signal; None where it was never heard."""
        belief = self._beliefs.get(path)
        return belief.followed.voice if belief is not None and belief.followed is not None else None

    def state(
        self, voice: Voice, readings: Sequence[Reading], at_ms: int, *, everything: bool
    ) -> list[Statement]:
        """What `readings` of `voice` state: all that is believed, or only what differs.

        A value that a guard doubts, or that is beyond its plausible limits, is stated implausible.
        """
        before: Iterable[Reading | None] = voice.readings
        if everything or len(voice.readings) != len(readings):
            before = repeat(None)
        voice.readings = readings
        claims = voice.claims
        values: dict[str, Scalar] = {}
        states: dict[str, State] = {}
        elsewhere: dict[str, Statement] = {}
        for reading, old in zip(readings, before, strict=False):
            # The readings of short fields are made once: mostly they are the same object.
            if reading is old or reading == old:
                continue
            spn, _, state, plausible, path, stated = reading
            if path is None:
                continue
            claim = claims.get(path)
            if claim is None:
                claim = self._claim(voice, spn, path, at_ms)
                if claim is None:
                    continue
            # A raw value that is none by its class may be stated all the same: gear in park.
            said_value = has_value = plausible and stated is not None
            if claim.guard is not None and has_value:
                has_value = _believes(claim.guard, stated, at_ms)
            if has_value is not claim.has_value:
                claim.turn(has_value, at_ms)
            belief = claim.belief
            if belief.followed is not claim and not belief.follows(claim, at_ms):
                continue
            belief.missing = False
            if belief.guard is not None and said_value:
                # What goes on where the signal stood is believed, though its sender jumped there.
                has_value = _believes(belief.guard, stated, at_ms)
            if belief.group is not voice.pgn.group:
                there = elsewhere.setdefault(belief.group.name, Statement(belief.group, {}, {}))
                _, into_values, into_states = there
            else:
                into_values, into_states = values, states
            if has_value and stated is not None:
                into_values[path] = stated
            else:
                into_states[path] = state if state is not None else State.IMPLAUSIBLE
        said = [Statement(voice.pgn.group, values, states)] if values or states else []
        return [*said, *elsewhere.values()] if elsewhere else said

    def missing(self, silent: Iterable[Voice]) -> list[Statement]:
        """What is missing now that `silent` voices fell silent: signals that all others left too.

        A voice that speaks on change only is never silent, and keeps its signals from missing.
        """
        said: dict[str, Statement] = {}
        for voice in silent:
            voice.fall_silent()
            for claim in voice.claims.values():
                belief = claim.belief
                if belief.missing or belief.followed is None or not belief.silent:
                    continue
                belief.missing = True
                group = belief.group
                there = said.setdefault(group.name, Statement(group, {}, {}))
                there.states[belief.path] = State.MISSING
        return list(said.values())

    def forget(self, voice: Voice) -> None:
        """Drop a voice that nobody follows."""
        for claim in voice.claims.values():
            claim.belief.claims.remove(claim)
        voice.claims.clear()

    def _claim(self, voice: Voice, spn: Spn, path: str, at_ms: int) -> Claim | None:
        """A new claim of `voice`; None where no group declares the path."""
        home = self._homes.get(path)
        if home is None:
            return None
        step = self._guards.get(path)
        belief = self._beliefs.get(path)
        if belief is None:
            guard = Guard(step) if step is not None else None
            belief = self._beliefs[path] = Belief(path, home, guard)
        prefer = self._prefer.get(path)
        if prefer is None:
            prefer = self._prefer.get(voice.pgn.group.name, voice.pgn.prefer)
        claim = Claim(
            belief,
            voice,
            rank(voice.sa, prefer),
            at_ms,
            fallback=spn.fallback,
            guard=Guard(step) if step is not None else None,
        )
        belief.claims.append(claim)
        voice.claims[path] = claim
        return claim


def _believes(guard: Guard, stated: Scalar | None, at_ms: int) -> bool:
    """Whether a guard believes what is stated; it has no opinion on what is no number."""
    if isinstance(stated, bool) or not isinstance(stated, (int, float)):
        return True
    return guard.believes(stated, at_ms)
