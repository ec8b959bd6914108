"""Who was heard in which parameter group: every voice of one bus, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

from drivers.fms_j1939.beliefs import Beliefs
from drivers.fms_j1939.pgn import Pgn
from drivers.fms_j1939.senders import Voice
from drivers.fms_j1939.staleness import limit_ms

MAX_VOICES = 128
"""Kept of one parameter group, each value of a multiplexer counted; a healthy bus has 1 to 20."""

# Stands for a multiplexer: byte 1 has no negative values.
_TOGETHER = -1


class Voices:
    """All voices by parameter group, source address and multiplexer.

    `forgotten` grows when voices were dropped, so that nobody keeps one that is not here.
    """

    def __init__(self, beliefs: Beliefs) -> None:
        self._beliefs = beliefs
        self._voices: dict[int, dict[tuple[int, int], Voice]] = {}
        self.forgotten = 0

    def __iter__(self) -> Iterator[Voice]:
        for voices in self._voices.values():
            yield from voices.values()

    def find(self, pgn: Pgn, sa: int, multiplexer: int) -> Voice:
        """What `sa` says in this parameter group; learnt if it is new."""
        voices = self._voices.setdefault(pgn.number, {})
        voice = voices.get((sa, multiplexer))
        if voice is None:
            if len(voices) >= MAX_VOICES:
                self._make_room(voices)
            voice = voices[sa, multiplexer] = Voice(pgn, sa, multiplexer)
            voice.together = self._together(voices, pgn, sa)
            turns = [one for (address, _), one in voices.items() if address == sa]
            for one in turns:
                # Who speaks of n things in turn speaks of each of them n times as seldom.
                one.allow(limit_ms(pgn.period_ms * len(turns)))
        return voice

    def _together(self, voices: dict[tuple[int, int], Voice], pgn: Pgn, sa: int) -> Voice | None:
        """The voice for what all messages of a sender say together; None where that is nothing."""
        known = voices.get((sa, _TOGETHER))
        if known is None and (composer := pgn.composer()) is not None:
            known = voices[sa, _TOGETHER] = Voice(pgn, sa, _TOGETHER, composer)
        return known

    def _make_room(self, voices: dict[tuple[int, int], Voice]) -> None:
        """Of too many senders keep those that are believed: at most one for each signal."""
        for place, voice in list(voices.items()):
            if not voice.followed:
                self._beliefs.forget(voice)
                del voices[place]
        self.forgotten += 1
