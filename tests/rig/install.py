"""Installs the shipped units in a guest as a package would, before its systemd runs.

What differs from a vehicle is in `RIG_FILES` and the drop-in of `INSTALL`, nowhere else.
"""

from __future__ import annotations

from pathlib import Path

from tests.rig.lifecycle import toml
from tests.rig.network import BROKER, PORT

CONFIG = "/etc/brain/brain.toml"
WATCHDOG_S = 8
"""Instead of 20 s and 10 s, to wait less. Before that the coordinator allows a loop 15 s and a host
its driver 10 s, as shipped."""
CANARY = "canary-7Yt3-password"
STATE = "/var/lib/brain"
FAULTS = "/run/rig-faults"
SRC, PYTHON = "/opt/brain/src", "/opt/brain/venv/bin/python"
BROKEN = f"{SRC}/tests/rig/broken/on_demand"
NAMES = ("run", "gnss", "fms")
SOCKETS = ("brain-ingest.socket", "brain-control.socket")

INSTALL = """
cd /opt/brain/src/systemd
install -D -m 644 -t /usr/lib/systemd/system *.service *.socket
for folder in *.d; do install -D -m 644 -t "/usr/lib/systemd/system/$folder" "$folder"/*; done
install -D -m 644 brain.sysusers.conf /usr/lib/sysusers.d/brain.conf
install -D -m 644 -t /usr/lib/udev/rules.d 99-brain.rules
systemd-sysusers
for unit in {units}; do
	mkdir -p "/etc/systemd/system/$unit.d"
	printf '%s\\n' '[Service]' 'WatchdogSec={watchdog_s}s' \\
		'Environment=PYTHONPATH={broken} BRAIN_RIG_FAULTS={faults}' \\
		>"/etc/systemd/system/$unit.d/rig.conf"
done
systemctl enable -q {sockets} {units}
"""

RIG_FILES = {
    # Lines on the board itself have no ID_PATH by which the shipped rules could name them.
    "/etc/udev/rules.d/99-rig.rules": (
        'KERNEL=="ttyS0", SYMLINK+="gnss", GROUP="brain-gnss", MODE="0660"\n'
        'KERNEL=="ttyS1", SYMLINK+="can-usb", GROUP="brain-fms", MODE="0660"\n'
    ),
    # A stick that speaks SLCAN is a ttyUSB or a ttyACM on a vehicle.
    "/etc/systemd/system/brain-driver@fms.service.d/line.conf": (
        "[Service]\nDeviceAllow=char-ttyS rw\n"
    ),
}

SECTIONS = {
    "vehicle": 'id = "bus-4021"\n',
    "agent": 'log_level = "debug"\n',
    "uplink": (
        f'broker = "{BROKER}"\nport = {PORT}\n'
        'username = "bus"\npassword = "file:/etc/brain/password"\n'
    ),
    "drivers.gnss": 'type = "gnss_nmea0183"\nport = "/dev/gnss"\n',
    "drivers.fms": 'type = "fms_j1939"\ninterface = "slcan"\nchannel = "/dev/can-usb"\n',
}


def unit(name: str) -> str:
    """The unit of `run` or of a driver."""
    return "brain.service" if name == "run" else f"brain-driver@{name}.service"


def installed() -> str:
    """The script that installs all, for Boot.before. Faults on demand can be had from each unit:
    see tests/rig/broken/on_demand; without a signal they change nothing."""
    script = INSTALL.format(
        units=" ".join(map(unit, NAMES)),
        sockets=" ".join(SOCKETS),
        broken=BROKEN,
        faults=FAULTS,
        watchdog_s=WATCHDOG_S,
    )
    texts = {**RIG_FILES, CONFIG: toml(SECTIONS), "/etc/brain/password": f"{CANARY}\n"}
    for path, text in texts.items():
        script += f"mkdir -p '{Path(path).parent}'\ncat >'{path}' <<'END'\n{text}END\n"
    return script + "chown brain /etc/brain/password\nchmod 400 /etc/brain/password\n"
