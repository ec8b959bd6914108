"""The uplink over TLS: all of it, and nothing where the broker is not who it should be."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from uplink_rig import Box, FarEnd, free_port, mosquitto, needs_mosquitto, samples

OPENSSL = shutil.which("openssl")
pytestmark = [
    pytest.mark.mosquitto,
    needs_mosquitto,
    pytest.mark.skipif(OPENSSL is None, reason="openssl is missing: apt install openssl"),
]


def certificate(directory: Path, name: str) -> tuple[Path, Path]:
    """(certificate, key) of `name`, signed by itself."""
    cert, key = directory / f"{name}.crt", directory / f"{name}.key"
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    command = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    files = ["-keyout", str(key), "-out", str(cert)]
    subprocess.run([str(OPENSSL), *command, *files], check=True, capture_output=True)
    key.chmod(0o644)
    return cert, key


@pytest.mark.parametrize("trusted", [True, False])
def test_tls(tmp_path: Path, trusted: bool) -> None:
    cert, key = certificate(tmp_path, "localhost")
    ca, _ = (cert, key) if trusted else certificate(tmp_path, "other")
    port = free_port()
    lines = (f"listener {port} 127.0.0.1", f"certfile {cert}", f"keyfile {key}")
    with mosquitto(tmp_path, *lines) as broker:
        far = FarEnd(broker.port)
        far.start()
        box = Box(tmp_path, port, broker="localhost", tls="on", ca_file=str(ca))
        try:
            box.commit(*samples(0, 40))
            box.uplink.start()
            if trusted:
                box.until_empty()
                assert sorted(far.seqs) == list(range(1, 41))
            else:
                box.until(lambda: box.uplink.status()["error"], "the reason is stated")
                assert "is not trusted" in str(box.uplink.status()["error"])
                assert not far.messages
        finally:
            box.close()
            far.stop()
