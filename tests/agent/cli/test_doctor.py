"""`brain doctor`: every device, disk, broker, clock; each failure with its fix."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.cli import doctor as doctor_module
from agent.cli import findings
from agent.cli.findings import Level
from agent.config import Uplink

from .conftest import Brain, Coordinator


def write(folder: Path, port: int, *devices: str) -> Path:
    text = f'[vehicle]\nid = "b"\n[uplink]\nport = {port}\n'
    for device in devices:
        text += f'[drivers.{device}]\ntype = "probe"\nport = "{device}"\n'
    path = folder / "brain.toml"
    path.write_text(text)
    return path


def found(done: Any, group: str) -> dict[str, dict[str, str]]:
    return {f["name"]: f for f in done.json["findings"] if f["group"] == group}


def test_devices_are_probed_at_once_each_in_its_process(
    brain: Brain, plugins: Path, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_module, "PROBE_LIMIT_S", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as broker:
        config = write(tmp_path, broker.getsockname()[1], "good", "none", "hang", "crash")
        done = brain("doctor", "--json", "-c", config, "--run-dir", run_dir)
    devices = found(done, "devices")
    assert {name: f["level"] for name, f in devices.items()} == {
        "good": "ok",
        "none": "failed",
        "hang": "failed",
        "crash": "failed",
    }
    assert devices["good"]["text"] == "good answers"
    assert devices["none"]["text"] == "none: no such device"
    assert devices["hang"]["text"] == "the device did not answer within 2 s"
    assert "exit code 7" in devices["crash"]["text"]
    assert all(f["fix"] for f in done.json["findings"] if f["level"] == "failed")
    (uplink,) = found(done, "uplink").values()
    assert uplink["level"] == "ok"
    assert (done.code, done.json["healthy"]) == (1, False)


def test_a_device_in_use_is_asked_of_its_driver(
    brain: Brain,
    plugins: Path,
    run_dir: Path,
    tmp_path: Path,
    coordinator: Callable[..., Coordinator],
) -> None:
    drivers = {
        "good": {"connected": True, "device": "ok", "rate_hz": 1.0},
        "none": {"connected": True, "device": "none: unplugged", "rate_hz": 0.0},
    }
    status = {"health": "ok", "problems": [], "drivers": drivers, "clock": {"source": "gnss"}}
    coordinator(status=status)
    config = write(tmp_path, 1, "good", "none")
    done = brain("doctor", "--json", "-c", config, "--run-dir", run_dir)
    devices = found(done, "devices")
    assert devices["good"]["text"] == "in use by its driver, 1.0 records/s"
    assert devices["none"]["text"] == "none: unplugged"
    assert found(done, "clock")["UTC"]["text"] == "synchronised by GNSS"


def test_text_is_a_checklist(brain: Brain, plugins: Path, run_dir: Path, tmp_path: Path) -> None:
    config = write(tmp_path, 1, "good")
    done = brain("doctor", "-c", config, "--run-dir", run_dir)
    rows = done.out.splitlines()
    assert rows[0] == "configuration"
    assert rows[1].startswith(f"  √ {config}")
    broker = next(i for i, row in enumerate(rows) if row.startswith("  × 127.0.0.1:1"))
    assert rows[broker].endswith("nothing listens there")
    assert rows[broker + 1].startswith("    fix: start the broker")
    assert done.code == 1


def test_a_bad_configuration_ends_it(brain: Brain, plugins: Path, tmp_path: Path) -> None:
    config = write(tmp_path, 99_999, "good")
    done = brain("doctor", "-c", config)
    assert done.code == 2
    assert f"× {config}:4" in done.out
    assert "devices" not in done.out


def test_a_broker_without_tls_and_one_without_a_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:
        uplink = Uplink(broker="127.0.0.1", port=plain.getsockname()[1], tls="on")
        plain.settimeout(5)
        import threading

        thread = threading.Thread(target=lambda: plain.accept()[0].sendall(b"no TLS here\n"))
        thread.start()
        finding = findings.broker(uplink)
        thread.join()
    assert finding.level is Level.FAILED
    assert "TLS" in finding.text or "reset" in finding.text.lower()
    finding = findings.broker(Uplink(broker="no-such-host.invalid"))
    assert finding.level is Level.FAILED
    assert "name is not known" in finding.text
    assert findings.broker(Uplink(enabled=False)).level is Level.WARNING


def test_the_state_directory(tmp_path: Path) -> None:
    from agent.config import Config

    config = Config.model_validate({"vehicle": {"id": "b"}})
    writable, _ = findings.state_directory(config, tmp_path / "a" / "b")
    assert (writable.level, writable.text) == (Level.OK, "will be created")
    (tmp_path / "file").touch()
    (refused,) = findings.state_directory(config, tmp_path / "file")
    assert refused.level is Level.FAILED
    huge = Config.model_validate(
        {"vehicle": {"id": "b"}, "store": {"quota_mb": {"history": 1 << 20}}}
    )
    assert findings.state_directory(huge, tmp_path)[1].level is Level.FAILED
