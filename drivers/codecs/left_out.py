"""What a capture holds and J1939 has no use for: counted, so that it can be said."""

from __future__ import annotations

from collections import Counter

from drivers.codecs.logged_frame import LoggedFrame


class LeftOut:
    """Counts the frames of a capture that carry no message of J1939."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self.seen = False
        """Whether any frame came, of whatever kind."""

    def takes(self, frame: LoggedFrame) -> bool:
        """Whether `frame` is none for J1939: only data frames of classic CAN with 29 bits are."""
        self.seen = True
        if frame.extended and not (frame.remote or frame.fd or frame.error):
            return False
        if frame.error:
            self._counts["error frame"] += 1
        elif frame.fd:
            self._counts["CAN FD frame"] += 1
        elif frame.remote:
            self._counts["remote request"] += 1
        else:
            self._counts["11-bit frame"] += 1
        return True

    def note(self) -> str:
        """One line for people; empty where nothing was left out."""
        counts = ", ".join(
            f"{count} {what}{'s' * (count > 1)}" for what, count in sorted(self._counts.items())
        )
        return f"left out, for J1939 has none: {counts}" if counts else ""
