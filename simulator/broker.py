"""The embedded MQTT broker of a simulated run, as a process: `python -m simulator.broker`.

iotcore is rumqttd in a wheel. It always gets a config file: without one it listens on every address
and speaks MQTT 3.1.1 only. Its sessions live in RAM, so killing it loses them, as it should here.
"""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path

_CONFIG = """\
id = 0
[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 1048576
max_segment_count = 8
[v5.1]
name = "v5-1"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 262144
max_inflight_count = 100
dynamic_filters = true
"""


def write_config(path: Path, port: int) -> None:
    """Write a config for one MQTT 5 listener on loopback."""
    path.write_text(_CONFIG.format(port=port))


def main() -> None:
    """Serve until killed; ends when standard input closes, so it never outlives its parent."""
    from iotcore import Broker

    logging.basicConfig(level="WARNING")
    # Its spans log a line per message at ERROR.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    threading.Thread(target=_end_with_parent, name="stdin", daemon=True).start()
    Broker(config_path=sys.argv[1]).run_forever()


def _end_with_parent() -> None:
    import os

    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
