"""What is odd about [arbitration]: sources that nobody declares, limits that contradict."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from agent.config_files import Tree
from agent.config_problems import Problem, did_you_mean
from agent.config_text import KeyPath

SIGNALS = ("speed", "odometer", "heading", "clock")


def contradictions(tree: Tree, moving_kmh: float, standing_kmh: float) -> Iterator[Problem]:
    """Reasons for not starting, in a section whose keys are each valid."""
    if standing_kmh > moving_kmh:
        path: KeyPath = ("arbitration", "heading", "standing_kmh")
        if tree.get(path) is None:
            path = (*path[:2], "moving_kmh")
        text = f"standing_kmh = {standing_kmh:g} is above moving_kmh = {moving_kmh:g}"
        yield tree.problem(path, f"{text}, expected at most that", "lower standing_kmh")


def unknown_sources(tree: Tree, drivers: Collection[str]) -> Iterator[Problem]:
    """Entries of an order that name no configured driver: they never count."""
    for path, source, _ in _entries(tree):
        if source != "*" and source not in drivers:
            fix = did_you_mean(source, drivers, "configured") if drivers else "add that driver"
            yield tree.problem(path, f'no driver "{source}" is configured, this never counts', fix)


def unknown_paths(tree: Tree, declared: Mapping[str, Collection[str]]) -> Iterator[Problem]:
    """Entries of an order whose driver states no such signal; `declared` are paths by driver."""
    for path, source, signal in _entries(tree):
        if source == "*":
            known = {one for paths in declared.values() for one in paths}
        elif source in declared:
            known = set(declared[source])
        else:
            continue
        if signal not in known:
            what = f"{source} states no {signal}"
            if source == "*":
                what = f"no configured driver states {signal}"
            fix = did_you_mean(signal, known)
            if len(fix) > 200:
                fix = "brain signals lists what each states"
            yield tree.problem(path, f"{what}, this never counts", fix)


def _entries(tree: Tree) -> Iterator[tuple[KeyPath, str, str]]:
    """Key path, source and signal of each entry of each order that the files state."""
    for name in SIGNALS:
        path: KeyPath = ("arbitration", name, "order")
        order = tree.get(path)
        for position, entry in enumerate(order if isinstance(order, list) else ()):
            if isinstance(entry, str) and ":" in entry:
                source, _, signal = entry.partition(":")
                yield (*path, position), source, signal
