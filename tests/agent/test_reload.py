"""What a changed configuration does to a running coordinator, by the keys that changed."""

from __future__ import annotations

from typing import Any

import pytest

from agent.config_models import Config
from agent.reload import compare

BASE: dict[str, Any] = {
    "vehicle": {"id": "bus-1"},
    "uplink": {"broker": "10.0.0.1"},
    "drivers": {"gnss": {"type": "gnss_nmea0183", "port": "/dev/gnss"}},
}


def changed(section: str, **keys: Any) -> Config:
    tree = {name: dict(values) for name, values in BASE.items()}
    tree.setdefault(section, {}).update(keys)
    return Config.model_validate(tree)


@pytest.mark.parametrize(
    ("read", "applied", "waiting", "drivers", "uplink"),
    [
        (changed("agent"), (), (), (), False),
        (changed("agent", log_level="debug"), ("agent.log_level",), (), (), False),
        (changed("store", commit_interval_s=2.0), ("store.commit_interval_s",), (), (), False),
        (changed("uplink", broker="10.0.0.2"), ("uplink.broker",), (), (), True),
        (changed("vehicle", id="bus-2"), (), ("vehicle.id",), (), False),
        (changed("agent", state_dir="/x"), (), ("agent.state_dir",), (), False),
        (changed("store", quota_mb={"bulk": 20}), (), ("store.quota_mb.bulk",), (), False),
        (
            changed("drivers", gnss={"type": "gnss_nmea0183", "port": "/x"}),
            (),
            (),
            ("gnss",),
            False,
        ),
        (
            changed("arbitration", speed={"fresh_s": 9.0}),
            ("arbitration.speed.fresh_s",),
            (),
            (),
            False,
        ),
        (changed("drivers", fms={"type": "fms_j1939"}), (), (), ("fms",), False),
    ],
)
def test_changes(
    read: Config,
    applied: tuple[str, ...],
    waiting: tuple[str, ...],
    drivers: tuple[str, ...],
    uplink: bool,
) -> None:
    running = changed("agent")
    found = compare(running, read)
    assert (found.applied, found.waiting, found.drivers) == (applied, waiting, drivers)
    assert found.uplink is uplink
    # What waits for a restart stays as it runs, so that the next reload names it again.
    assert found.config.vehicle.id == "bus-1"
    assert found.config.store.quota_mb == running.store.quota_mb
    assert compare(found.config, read).waiting == waiting
    assert compare(found.config, read).applied == ()
    words = [*applied, *waiting, *drivers] or ["nothing changed"]
    assert all(word in str(found) for word in words)
