"""`brain status`, `audit`, `watch`, `signals` against a coordinator that only talks, or none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.cli.words import count, duration, size

from .conftest import BRAIN, Brain, Coordinator

Start = Callable[..., Coordinator]


def driver(**changes: object) -> dict[str, object]:
    return {
        "type": "probe",
        "connected": True,
        "device": "ok",
        "last_record_age_s": 0.4,
        "records": 12_345,
        "rate_hz": 1.0,
        "counters": {},
        **changes,
    }


def tally(**changes: int) -> dict[str, int]:
    zero = dict.fromkeys(("accepted", "acknowledged", "queued", "dropped", "bytes"), 0)
    return {**zero, "quota_bytes": 32_000_000, **changes}


def healthy() -> dict[str, Any]:
    return {
        "vehicle": "bus-4021",
        "pid": 1,
        "version": "0.1.0",
        "uptime_s": 8_040.2,
        "health": "ok",
        "problems": [],
        "clock": {"source": "gnss", "utc": "2026-11-05T07:00:00.000Z"},
        "drivers": {"gnss": driver(), "fms": driver(rate_hz=412.4)},
        "outbox": {
            "alarm": tally(),
            "history": tally(queued=1_284, bytes=41_000_000),
            "bulk": tally(),
            "oldest_queued_age_s": 240.0,
            "directory": "/var/lib/brain",
        },
        "uplink": {
            "state": "up",
            "broker": "mqtt.example:8883",
            "since_s": 250.0,
            "retry_in_s": None,
            "error": None,
            "last_ack_age_s": 0.8,
            "in_flight": 2,
            "sent_batches": 84,
            "resent_batches": 0,
            "sent_bytes": 1_200_000,
        },
    }


def degraded() -> dict[str, Any]:
    status = healthy()
    status["health"] = "degraded"
    status["problems"] = ["gnss: /dev/gnss: no such device", "uplink: connection refused"]
    status["drivers"]["gnss"] = driver(device="/dev/gnss: no such device, " + "x" * 200)
    status["drivers"]["tacho"] = driver(connected=False)
    status["outbox"]["history"]["dropped"] = 7
    status["uplink"] |= {
        "state": "down",
        "retry_in_s": 22.0,
        "error": "connection refused " + "y" * 100,
        "resent_batches": 3,
    }
    return status


def test_status_is_one_screen(process: Brain, coordinator: Start, run_dir: Path) -> None:
    coordinator(status=healthy())
    done = process("status", "--run-dir", run_dir)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "bus-4021  running 2 h 14 min   clock GNSS-synced",
        "inputs    gnss  ok         1.0 /s  12 345 records  last 0.4 s ago",
        "          fms   ok       412.4 /s  12 345 records  last 0.4 s ago",
        "outbox    alarm 0   history 1 284   bulk 0   oldest 4 min 0 s   41 MB of 96 MB",
        "uplink    up 4 min 10 s   mqtt.example:8883",
        "          last ack 0.8 s ago   sent 84 batches, 1.2 MB   in flight 2",
    ]


def test_a_degraded_status_says_what_is_wrong(
    brain: Brain, coordinator: Start, run_dir: Path
) -> None:
    coordinator(status=degraded())
    done = brain("status", "--run-dir", run_dir)
    assert done.code == 1
    rows = done.out.splitlines()
    assert max(map(len, rows)) <= 80
    assert rows[0].endswith("DEGRADED")
    assert rows[1].startswith("inputs    gnss   NOT OK  /dev/gnss: no such device, xxx")
    assert rows[3] == "          tacho  DOWN    not connected -> brain doctor"
    assert rows[5] == "          dropped: history 7 -> brain audit"
    assert rows[6] == "uplink    DOWN 4 min 10 s   mqtt.example:8883   retry in 22 s"
    assert rows[7].startswith("          connection refused yyy")
    assert "sent 84 batches, 3 again" in rows[8]
    assert rows[9:] == [
        "problem   gnss: /dev/gnss: no such device",
        "problem   uplink: connection refused",
    ]


def test_sources_that_disagree_are_noted_and_no_problem(
    brain: Brain, coordinator: Start, run_dir: Path
) -> None:
    status = healthy()
    one = {"signal": "Vehicle.Speed", "other": "gnss:V.S", "difference": 12.5, "for_s": 30.0}
    status["arbitration"] = {"followed": {}, "disagreements": [one] * 9}
    coordinator(status=status)
    done = brain("status", "--run-dir", run_dir)
    assert done.code == 0
    note = "note      Vehicle.Speed: gnss:V.S differs by 12.5 -> brain explain"
    assert done.out.splitlines()[-3:] == [note] * 3


def test_status_fits_the_screen_whatever_is_configured(
    brain: Brain, coordinator: Start, run_dir: Path
) -> None:
    status = degraded()
    status["drivers"] = {f"driver-{i}": driver(device="w" * 300) for i in range(40)}
    status["problems"] = [f"problem {i} " + "z" * 200 for i in range(40)]
    coordinator(status=status)
    rows = brain("status", "--run-dir", run_dir).out.splitlines()
    assert len(rows) < 24
    assert max(map(len, rows)) <= 80


def test_status_as_json_is_the_answer(brain: Brain, coordinator: Start, run_dir: Path) -> None:
    coordinator(status=degraded())
    done = brain("status", "--json", "--run-dir", run_dir)
    assert done.code == 1
    assert done.json == degraded()


@pytest.mark.parametrize("verb", ["status", "watch", "audit"])
def test_without_a_coordinator_one_line_says_what_to_do(
    process: Brain, run_dir: Path, verb: str
) -> None:
    done = process(verb, "--run-dir", run_dir)
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("brain is not running. Start it with: brain up --config FILE")
    assert str(run_dir) in done.err
    assert done.err.count("\n") == 1


def test_a_socket_that_nobody_serves_is_the_same(
    brain: Brain, coordinator: Start, run_dir: Path
) -> None:
    coordinator().stop()
    assert brain("status", "--run-dir", run_dir).code == 3
    done = brain("status", "--json", "--run-dir", run_dir)
    assert (done.code, done.json["health"]) == (3, "not running")


def test_a_coordinator_that_comes_back_by_itself_is_told(brain: Brain, run_dir: Path) -> None:
    up = {"pid": os.getpid(), "run": {"pid": None, "state": "down", "restarts": 4}, "drivers": {}}
    (run_dir / "up.json").write_text(json.dumps(up))
    done = brain("status", "--run-dir", run_dir)
    assert done.code == 3
    assert "brain up restarts it (state down, restarts 4)" in done.err


@pytest.mark.parametrize("answer", [b"", b"nonsense", b"[]", b'{"ok": true, "result": {}}'])
def test_a_coordinator_that_talks_nonsense_is_one_line(
    brain: Brain, coordinator: Start, run_dir: Path, answer: bytes
) -> None:
    coordinator(status=answer)
    done = brain("status", "--run-dir", run_dir)
    assert done.code == 1
    assert done.err.count("\n") == 1
    assert "Traceback" not in done.err and "internal" not in done.err


def test_the_run_directory_comes_from_the_configuration(
    brain: Brain, coordinator: Start, run_dir: Path, tmp_path: Path
) -> None:
    coordinator(status=healthy())
    (tmp_path / "b.toml").write_text('nonsense.key = 1\n[agent]\nrun_dir = "run"\n')
    assert brain("status", "-c", tmp_path / "b.toml").code == 0


BOOKS = {
    "vehicle": "bus-4021",
    "epochs": ["ab" * 16],
    "accepted": 184_220,
    "acknowledged": 182_929,
    "queued": 1_284,
    "dropped": 7,
    "balanced": True,
    "by_class": {
        "alarm": {"accepted": 0, "acknowledged": 0, "queued": 0, "dropped": 0},
        "history": {"accepted": 184220, "acknowledged": 182929, "queued": 1284, "dropped": 7},
    },
    "drops": [
        {
            "class": "history",
            "epoch": "ab" * 16,
            "first": 5,
            "last": 11,
            "count": 7,
            "reason": "quota",
        }
    ],
    "gaps": 0,
    "duplicates_sent": 17,
}


def test_audit_prints_the_equation(brain: Brain, coordinator: Start, run_dir: Path) -> None:
    coordinator(audit=BOOKS)
    done = brain("audit", "--run-dir", run_dir)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "accepted 184 220 = acknowledged 182 929 + queued 1 284 + dropped 7 ; gaps 0 ; "
        "duplicates sent 17 (by number, stored once)",
        "",
        "class    accepted  acknowledged  queued  dropped",
        "history  184 220   182 929       1 284   7",
        "",
        "dropped  reason  records  numbers  epoch",
        "history  quota   7        5..11    abababab",
    ]
    assert brain("audit", "--json", "--run-dir", run_dir).json == BOOKS


@pytest.mark.parametrize("wrong", [{"balanced": False}, {"gaps": 2}])
def test_books_that_do_not_balance_are_degraded(
    brain: Brain, coordinator: Start, run_dir: Path, wrong: dict[str, object]
) -> None:
    coordinator(audit={**BOOKS, **wrong})
    done = brain("audit", "--run-dir", run_dir)
    assert done.code == 1
    assert ("IS NOT" in done.out) == ("balanced" in wrong)


VALUES = [
    {
        "signal": "Vehicle.Speed",
        "value": 42.50000000001,
        "state": None,
        "unit": "km/h",
        "source": "fms",
        "boottime_ms": 123_456,
        "utc": "2026-11-05T07:00:00.250Z",
    },
    {
        "signal": "Vehicle.CurrentLocation.Latitude",
        "value": None,
        "state": "not_available",
        "unit": "degrees",
        "source": "gnss",
        "boottime_ms": 123_456,
        "utc": None,
    },
]


def test_watch_prints_a_value_a_line(process: Brain, coordinator: Start, run_dir: Path) -> None:
    asked = coordinator(watch=VALUES).asked
    done = process("watch", "Vehicle.*", "--run-dir", run_dir, TZ="UTC")
    assert asked == [{"verb": "watch", "pattern": "Vehicle.*"}]
    rows = [" ".join(row.split()) for row in done.out.splitlines()]
    assert rows == [
        "07:00:00.250 Vehicle.Speed 42.5 km/h fms",
        "boot+123.456 s Vehicle.CurrentLocation.Latitude not available gnss",
    ]
    # The coordinator hung up.
    assert done.code == 3
    assert done.err.startswith("brain ended.")


def test_watch_as_json_is_what_came(brain: Brain, coordinator: Start, run_dir: Path) -> None:
    coordinator(watch=VALUES)
    out = brain("watch", "--json", "--run-dir", run_dir).out
    assert [json.loads(line) for line in out.splitlines()] == VALUES


def test_ctrl_c_is_quiet(coordinator: Start, run_dir: Path) -> None:
    coordinator(status=healthy())
    command = [BRAIN, "status", "--watch", "--json", "--run-dir", str(run_dir)]
    watch = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert watch.stdout is not None and watch.stderr is not None
    assert json.loads(watch.stdout.readline())["vehicle"] == "bus-4021"
    watch.send_signal(signal.SIGINT)
    assert watch.wait(10) == 130
    assert watch.stderr.read() == b""
    watch.stdout.close()
    watch.stderr.close()


def test_signals_of_the_running_agent(brain: Brain, coordinator: Start, run_dir: Path) -> None:
    signals = [
        {
            "source": "fms",
            "group": "ccvs1",
            "path": "Vehicle.Speed",
            "datatype": "float",
            "unit": "km/h",
            "meaning": "Road speed",
            "keep": "sampled",
            "interval_s": 1.0,
            "deadband": 0.5,
            "minimum": 0.0,
            "maximum": 250.0,
            "steps_per_unit": 256,
            "definition": "",
        }
    ]
    coordinator(signals=signals)
    assert brain("signals", "--json", "--run-dir", run_dir).json == signals
    assert brain("signals", "--run-dir", run_dir).out.splitlines() == [
        "signal         unit  kept       from       meaning",
        "Vehicle.Speed  km/h  1 s > 0.5  fms.ccvs1  Road speed",
    ]


def test_signals_of_what_is_configured_where_nothing_runs(
    brain: Brain, plugins: Path, run_dir: Path, tmp_path: Path
) -> None:
    config = tmp_path / "brain.toml"
    config.write_text('[drivers.g1]\ntype = "probe"\nport = "x"\n')
    found = brain("signals", "--format", "json", "--run-dir", run_dir, "-c", config).json
    assert [(s["source"], s["path"]) for s in found] == [
        ("g1", "Vehicle.Speed"),
        ("g1", "Vehicle.Bus.Gnss.Satellites"),
        ("g1", "Vehicle.Exterior.AirPressure"),
    ]
    everything = brain("signals", "--json", "--run-dir", run_dir)
    assert "probe" in {s["source"] for s in everything.json}
    assert "no_such_module" in everything.err


def test_the_overlay_has_each_leaf_and_the_branches_that_vss_lacks(
    brain: Brain, plugins: Path, run_dir: Path, tmp_path: Path
) -> None:
    config = tmp_path / "brain.toml"
    config.write_text('[drivers.g1]\ntype = "probe"\nport = "x"\n')
    out = brain("signals", "--format", "vspec", "--run-dir", run_dir, "-c", config).out
    nodes = [line for line in out.splitlines() if line.startswith("Vehicle")]
    assert nodes == [
        "Vehicle.Bus:",
        "Vehicle.Bus.Gnss:",
        "Vehicle.Bus.Gnss.Satellites:",
        "Vehicle.Exterior.AirPressure:",
        "Vehicle.Speed:",
    ]
    assert "Vehicle.Bus.Gnss:\n  type: branch\n  description: " in out
    assert (
        "Vehicle.Bus.Gnss.Satellites:\n  type: sensor\n  datatype: uint8\n"
        '  description: "Satellites: in use (NMEA 0183 GGA)"\n  min: 0\n  max: 40\n'
    ) in out
    # VSS has hectopascals by the name of millibars.
    assert 'unit: mbar\n  description: "Air \\"outside\\""\n' in out


def test_words_for_people() -> None:
    assert [count(n) for n in (0, 999, 1_284_220)] == ["0", "999", "1 284 220"]
    assert [duration(s) for s in (-1, 0.44, 9.96, 59.4, 59.6, 3_599, 90_000)] == [
        *("0.0 s", "0.4 s", "10 s", "59 s", "1 min 0 s", "59 min 59 s", "1 d 1 h"),
    ]
    assert [size(n) for n in (0, 999, 1_500, 41_000_000, 5e12)] == [
        *("0 B", "999 B", "1.5 kB", "41 MB", "5000 GB"),
    ]
