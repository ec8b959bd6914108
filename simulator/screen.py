"""What a person sees of a simulated run: one line a second, then the books."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

_NAMES = {
    "no_network": "no network",
    "tunnel": "tunnel: no sky, no network",
    "gnss_garbage": "GNSS garbage",
    "can_silent": "CAN silent",
    "can_flood": "CAN at full load",
    "broker_kill": "broker killed",
    "cloud_kill": "cloud end killed",
    "agent_kill": "coordinator killed",
    "driver_kill": "driver killed",
    "driver_segfault": "driver crashed",
    "driver_hang": "driver hung",
    "driver_raise": "driver raises",
    "driver_flood": "driver floods",
}


def say(text: str) -> None:
    """One line to standard output, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def fault_words(name: str, driver: str | None) -> str:
    """A fault in plain words."""
    return _NAMES[name] + (f" ({driver})" if driver else "")


def clock_text(at_s: float) -> str:
    """World seconds as m:ss."""
    return f"{int(at_s) // 60}:{int(at_s) % 60:02d}"


def progress(at_s: float, speed_kmh: float, audit: Mapping[str, object] | None) -> str:
    """One line of how it goes."""
    head = f"{clock_text(at_s):>6}  {speed_kmh:5.1f} km/h"
    if audit is None:
        return f"{head}   coordinator not reachable"
    return (
        f"{head}   accepted {audit['accepted']:>6} = acknowledged {audit['acknowledged']:>6}"
        f" + queued {audit['queued']:>4} + dropped {audit['dropped']}"
    )


def books(report: Mapping[str, object]) -> Sequence[str]:
    """The end of the run in a few lines."""
    latency = report["latency_ms"]
    signals = report["signals"]
    assert isinstance(latency, Mapping) and isinstance(signals, Mapping)
    missing, invented = report["missing"], report["invented"]
    judged = missing is not None
    lines = [
        "",
        f"accepted {report['accepted']} = acknowledged {report['acknowledged']}"
        f" + queued {report['queued']} + dropped {report['dropped']}"
        f"   {'balanced' if report['balanced'] else 'NOT BALANCED'}",
    ]
    if judged:
        lines.append(
            f"facts {report['facts']}   missing {missing}   invented {invented}"
            f"   (unheard writings, not judged: {report['unheard']})"
        )
    else:
        lines.append("facts are judged at speed 1 without replay only")
    by_source = report["missing_by_source"]
    not_judged = report["not_judged"]
    if isinstance(not_judged, list) and not_judged and isinstance(by_source, Mapping):
        listed = ", ".join(f"{s} {by_source.get(s, 0)}" for s in not_judged)
        lines.append(f"not judged, for the fault befell just them: missing {listed}")
    replayed = report.get("replayed")
    if isinstance(replayed, Mapping):
        for kind, counts in replayed.items():
            lines.append(
                f"replayed {kind}: written {counts['written']}, read {counts['read']},"
                f" rejected {counts['rejected']}"
            )
    lines.append(
        f"cloud ledger: {len(signals)} signals, gaps {report['gaps']}, duplicates received"
        f" {report['duplicates_received']} (removed by number)"
    )
    lines.append(
        f"on the metered link {report['wire_bytes']} bytes of IP packets, both ways;"
        f" wire to ledger p50 {latency['p50']} ms, p99 {latency['p99']} ms"
    )
    examples = report["examples"]
    if isinstance(examples, list):
        lines.extend(f"  {example}" for example in examples[:10])
    lines.append("The books balance." if report["ok"] else "THE BOOKS DO NOT BALANCE.")
    return lines
