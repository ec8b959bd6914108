"""Recordings of other people's receivers, judged by gpsd's own output for the same bytes.

gpsd reports after many sentences of an epoch, we once at its end; so for each time stamp of gpsd
its last report with a position counts, else its last one. Where we differ, and why that is right:

* mode: GSA says 2D beside a held altitude, we say 2D, gpsd says 3D (AC12, CH-4711, MTK 3329).
* time: gpsd adds 1024 weeks to dates that it finds too old for the leap seconds sent (neo-m8n),
  reports GLL and RMC of one fix as two times (Magellan), and gives no report for the last epoch.
* fix: u-blox 7 says in three epochs of navisys-gr701w that its 2D fix is beyond the limits
  (gpsFixOK 0); gpsd gives it, we do not.
* a fix whose date comes later than its position has no time here; gpsd leaves it out.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from drivers.gnss_nmea0183.driver import GnssNmea0183

FOLDER = Path(__file__).parents[3].parent / "shared" / "data" / "gnss"
POSITION_DEG = 2e-7  # both sides round: gpsd to 1e-9, we to 1e-7
BEYOND_LIMITS = 3
SPEED_KMH = 0.005  # gpsd prints m/s with three decimals

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(),
    reason="not run: no recordings, ../shared/data/gnss is not beside the checkout; test_logs.py "
    "and test_fix.py run without them",
)


def gpsd_reports(path: Path) -> dict[str, dict[str, object]]:
    """gpsd's report for each time stamp: the last with a position, else the last."""
    reports: dict[str, dict[str, object]] = {}
    for line in path.read_text("latin-1").splitlines():
        if not line.startswith('{"class":"TPV"'):
            continue
        report = json.loads(line)
        time = report.get("time")
        if time is not None and ("lat" in report or "lat" not in reports.get(time, {})):
            reports[time] = report
    return reports


def recordings() -> list[Path]:
    return sorted(FOLDER.glob("*.log"))


def compare(path: Path) -> Counter[str]:
    """Counts of what agrees and what does not, over the time stamps that both sides have."""
    fixes = list(GnssNmea0183.decode(path))
    ours = {fix["time"]: fix for fix in fixes if fix["time"] is not None}
    theirs = gpsd_reports(Path(f"{path}.chk"))
    count = Counter(ours=len(fixes), gpsd=len(theirs), repeated=len(fixes) - len(ours))
    count["repeated"] -= sum(fix["time"] is None for fix in fixes)
    for time, report in theirs.items():
        fix = ours.get(time)
        if fix is None:
            count["only gpsd, with a position"] += "lat" in report
            continue
        count["both"] += 1
        count["position"] += same(report, "lat", fix["lat"], POSITION_DEG) and same(
            report, "lon", fix["lon"], POSITION_DEG
        )
        count["mode"] += max(int(str(report["mode"])), 1) == fix["mode"]
        count["fix or none"] += (int(str(report["mode"])) > 1) == (int(str(fix["mode"])) > 1)
        if "speed" in report and fix["speed_kmh"] is not None:
            kmh = float(str(report["speed"])) * 3.6
            count["both speed"] += 1
            count["speed"] += abs(kmh - float(str(fix["speed_kmh"]))) <= SPEED_KMH
    return count


def same(report: dict[str, object], key: str, value: object, tolerance: float) -> bool:
    theirs = report.get(key)
    if theirs is None or value is None:
        return theirs is value
    return abs(float(str(theirs)) - float(str(value))) <= tolerance


def test_all_nmea_recordings_agree_with_gpsd(capsys: pytest.CaptureFixture[str]) -> None:
    total: Counter[str] = Counter()
    lines = []
    for path in recordings():
        count = compare(path)
        lines.append(f"{path.stem}: {dict(count)}")
        total += count
    agreed = ", ".join(
        f"{k} {total[k]}/{total['both']}" for k in ("position", "fix or none", "mode")
    )
    with capsys.disabled():
        sys.stdout.write(f"\ngpsd, {len(lines)} recordings: {agreed}; {dict(total)}\n")
    detail = "\n".join(lines)
    assert len(lines) >= 39
    assert total["both"] >= 0.9 * total["gpsd"], detail
    assert total["position"] == total["both"] - BEYOND_LIMITS, detail
    assert total["fix or none"] == total["both"] - BEYOND_LIMITS, detail
    assert total["mode"] >= 0.96 * total["both"], detail
    assert total["speed"] >= 0.99 * total["both speed"], detail
    assert total["repeated"] == 0, detail
    assert total["only gpsd, with a position"] <= 0.06 * total["gpsd"], detail


@pytest.mark.parametrize("path", recordings(), ids=lambda path: path.stem)
def test_no_position_is_invented(path: Path) -> None:
    """Every position that we give is one that gpsd saw in the same recording.

    The last epoch is left out: gpsd waits for the sentence after it, which is not there.
    """
    seen = set()
    for line in Path(f"{path}.chk").read_text("latin-1").splitlines():
        if line.startswith('{"class":"TPV"') and '"lat"' in line:
            report = json.loads(line)
            seen.add((round(report["lat"], 6), round(report["lon"], 6)))
    fixes = list(GnssNmea0183.decode(path))
    for fix in fixes[:-1]:
        if fix["lat"] is not None:
            lat, lon = float(str(fix["lat"])), float(str(fix["lon"]))
            assert any(abs(a - lat) < 2e-6 and abs(b - lon) < 2e-6 for a, b in seen), fix


@pytest.mark.parametrize("path", recordings(), ids=lambda path: path.stem)
def test_every_place_of_gpsd_is_one_of_ours(path: Path) -> None:
    """Each distinct position that gpsd gives with mode 2 or 3, within 1e-5 degrees."""
    ours = {(fix["lat"], fix["lon"]) for fix in GnssNmea0183.decode(path) if fix["lat"] is not None}
    reports = [
        json.loads(line)
        for line in Path(f"{path}.chk").read_text("latin-1").splitlines()
        if line.startswith('{"class":"TPV"') and '"lat"' in line
    ]
    theirs = {(r["lat"], r["lon"]) for r in reports if r["mode"] >= 2}
    lacking = [
        (lat, lon)
        for lat, lon in theirs
        if not any(abs(a - lat) <= 1e-5 and abs(b - lon) <= 1e-5 for a, b in ours)
    ]
    assert len(lacking) <= (BEYOND_LIMITS if path.stem == "navisys-gr701w" else 0), lacking


@pytest.mark.parametrize("path", recordings(), ids=lambda path: path.stem)
def test_a_drive_of_gpsd_reports_is_read_as_well(path: Path) -> None:
    """gpsd's own output, with its header and other classes between, gives the places in it."""
    chk = Path(f"{path}.chk")
    theirs = {
        (round(r["lat"], 7), round(r["lon"], 7))
        for line in chk.read_text("latin-1").splitlines()
        if line.startswith('{"class":"TPV"') and '"lat"' in line
        for r in [json.loads(line)]
        if r["mode"] >= 2
    }
    fixes = list(GnssNmea0183.decode(chk))
    assert {(f["lat"], f["lon"]) for f in fixes if f["lat"] is not None} == theirs


def test_no_jump_is_seen_where_nothing_jumped() -> None:
    """People recorded these while they stood or drove."""
    marked = [
        (path.stem, fix)
        for path in recordings()
        for fix in GnssNmea0183.decode(path)
        if "plausible" in fix
    ]
    assert marked == []
