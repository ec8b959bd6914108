"""What a judge of a run has found."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Verdict:
    """What was judged and what was found; `examples` names a few of the findings."""

    facts: dict[str, int] = field(default_factory=dict)
    unheard: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    invented: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def fact(self, source: str, met: bool, example: str) -> None:
        """Enter one judged fact."""
        self.facts[source] = self.facts.get(source, 0) + 1
        self.missing.setdefault(source, 0)
        if not met:
            self.missing[source] += 1
            self._note("missing", example)

    def invent(self, source: str, example: str) -> None:
        """Enter one delivered value that nobody wrote."""
        self.invented[source] = self.invented.get(source, 0) + 1
        self._note("invented", example)

    def _note(self, what: str, example: str) -> None:
        if len(self.examples) < 20:
            self.examples.append(f"{what}: {example}")
