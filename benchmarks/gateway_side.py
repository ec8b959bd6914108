"""thingsboard-gateway, as the comparison sees it: its own SQLite storage and its own program."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from benchmarks.measured import BESIDE, Child

# Runs in the gateway's interpreter. What its connectors give to `put` has this form.
_FILL = """
import json, logging, os, sys, threading, time
from threading import Event
directory, n, kill = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "kill"
sys.path.insert(0, sys.argv[4])
from benchmarks.short_names import records
from thingsboard_gateway.storage.sqlite.sqlite_event_storage import SQLiteEventStorage
class Log(logging.Logger):
    def trace(self, *args, **kwargs): pass
log = Log("storage")
log.setLevel(logging.CRITICAL)
texts = [json.dumps({"deviceName": "bus-4021", "deviceType": "default", "telemetry":
    [{"ts": at, "values": fields}], "attributes": {}}, separators=(",", ":"))
    for at, fields in records(n)]
storage = SQLiteEventStorage({"data_file_path": directory + "/data/"}, log, Event())
accepted = sum(bool(storage.put(text)) for text in texts)
if not kill:
    pause = threading.Event()
    while storage.write_queue.qsize() or storage._SQLiteEventStorage__write_database \
            .get_stored_messages_count() < n:
        pause.wait(0.05)
    pause.wait(0.5)
written = [line for line in open("/proc/self/io") if line.startswith("write_bytes")][0]
print(written.split()[1] if accepted == n else -1, flush=True)
sys.stdin.read()
os._exit(0)
"""


class Gateway:
    """The released program in an environment of its own."""

    name = "gateway"

    def __init__(self, python: Path) -> None:
        self._python = str(python)

    def fill(self, directory: Path, n: int) -> int:
        """See Side."""
        return self._filled(directory, n, "fill")

    def _filled(self, directory: Path, n: int, how: str) -> int:
        argv = [self._python, "-c", _FILL, str(directory), str(n), how, str(BESIDE)]
        with Child(argv, directory / "fill.log", cwd=directory, said=True) as child:
            line = child.line()
            child.kill()
        assert line and int(line) >= 0, (directory / "fill.log").read_text()
        return int(line)

    def start(self, directory: Path, port: int) -> Child:
        """See Side."""
        config = directory / "config"
        config.mkdir()
        (directory / "logs").mkdir()
        (config / "logs.json").write_text(
            json.dumps(
                {"version": 1, "disable_existing_loggers": False, "root": {"level": "ERROR"}}
            )
        )
        settings = {
            "thingsboard": {
                "host": "127.0.0.1",
                "port": port,
                "remoteShell": False,
                "remoteConfiguration": False,
                "statistics": {"enable": False},
                "minPackSendDelayMS": 0,
                "maxPayloadSizeBytes": 65_536,
                "security": {"accessToken": "bus"},
                "qos": 1,
                "checkConnectorsConfigurationInSeconds": 60,
            },
            "storage": {
                "type": "sqlite",
                "data_file_path": f"{directory}/data/",
                "max_read_records_count": 1_000,
            },
            "grpc": {"enabled": False},
            "connectors": [],
        }
        (config / "tb_gateway.json").write_text(json.dumps(settings))
        (config / "connected_devices.json").write_text("{}")
        argv = [self._python, "-m", "thingsboard_gateway.tb_gateway"]
        env = {"TB_GW_CONFIG_DIR": f"{config}/"}
        return Child(argv, directory / "gateway.log", env=env, cwd=directory)

    def killed(self, directory: Path, n: int) -> int:
        """See Side."""
        self._filled(directory, n, "kill")
        found = 0
        for file in (directory / "data").glob("*.db"):
            with closing(sqlite3.connect(file)) as db:
                tables = db.execute("SELECT name FROM sqlite_master WHERE name = 'messages'")
                if tables.fetchone():
                    found += int(db.execute("SELECT count(*) FROM messages").fetchone()[0])
        return found
