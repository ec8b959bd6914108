"""The support archive: whole or not at all, and without a secret."""

from __future__ import annotations

import logging
import tarfile
from pathlib import Path

import pytest

from agent.commands import bundle, redaction

CANARIES = ("hunter2", "s3cr3t", "AAAAkey", "eyJhbGciOiJub25lIn0.eyJ4IjoxfQ.c2ln")


def test_no_canary_leaves_the_vehicle(tmp_path: Path) -> None:
    log = bundle.RecentLog()
    for line in (
        "connecting with password=hunter2",
        'header {"token": "s3cr3t"}',
        "-----BEGIN PRIVATE KEY-----\nAAAAkey\n-----END PRIVATE KEY-----",
        "opening rtsp://admin:hunter2@10.0.0.5/stream",
        f"got {CANARIES[3]}",
    ):
        log.emit(logging.LogRecord("brain", logging.INFO, "", 0, line, (), None))
    parts = {
        "configuration": {
            "uplink": {"password": "hunter2", "username": "s3cr3t", "ca_file": "/etc/ca.pem"},
            "commands": {"reply_key": "file:/run/key"},
            "drivers": {"cam": {"url": "rtsp://u:hunter2@cam/1", "pin": "s3cr3t"}},
            "list": ["password: hunter2"],
        }
    }
    path = bundle.write(tmp_path / "spool", "one", parts, log)
    with tarfile.open(path) as archive:
        whole = b"".join(archive.extractfile(name).read() for name in archive.getnames())  # type: ignore[union-attr]
    for canary in CANARIES:
        assert canary.encode() not in whole
    assert b"/etc/ca.pem" in whole and b"file:/run/key" in whole and b"10.0.0.5" in whole


def test_the_oldest_archives_go_and_no_half_one_stays(tmp_path: Path) -> None:
    log = bundle.RecentLog()
    for number in range(6):
        bundle.write(tmp_path, f"b{number}", {"n": number}, log)
    assert len(list(tmp_path.iterdir())) == bundle.KEPT
    with pytest.raises(ValueError, match="Circular"):
        circular: list[object] = []
        circular.append(circular)
        bundle.write(tmp_path, "bad", {"x": 1, "y": _Breaks()}, log)
    assert len(list(tmp_path.iterdir())) == bundle.KEPT


class _Breaks:
    def __str__(self) -> str:
        raise ValueError("Circular")


def test_the_log_is_bounded() -> None:
    log = bundle.RecentLog()
    for _ in range(5_000):
        log.emit(logging.LogRecord("brain", logging.INFO, "", 0, "x" * 10_000, (), None))
    assert len(log.text()) <= bundle.MAX_LINES * (bundle.MAX_LINE + 1)


@pytest.mark.parametrize("text", ["", "speed 12 km/h", "PIN sensor at pin 4", "key = value"])
def test_ordinary_text_stays(text: str) -> None:
    assert redaction.text(text) == text
