"""Files PUT to an S3-compatible store through presigned URLs: a double of ours, and moto's server.

`make test-s3` installs that server; without it what needs it is reported as not run.
"""

from __future__ import annotations

import contextlib
import subprocess
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator.processes import free_port, listening, wait_for
from tests.hil.conftest import ROOT
from tests.hil.files_rig import VEHICLE, Rig, running
from tests.hil.s3_double import Fate, S3Double

MIB = 1 << 20
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret/key+of=tests"}
MOTO = ROOT / ".venv.s3" / "bin" / "python"
needs_moto = pytest.mark.skipif(
    not MOTO.with_name("moto_server").exists(), reason="not run: no S3 server; make test-s3"
)


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[str]:
    """Moto's server with an empty bucket; its URL."""
    port = free_port()
    program = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    with (folder / "moto.log").open("wb") as log:
        server = subprocess.Popen([str(MOTO), "-c", program], stdout=log, stderr=log)
        try:
            wait_for("moto listens", lambda: listening(port))
            url = f"http://127.0.0.1:{port}/bucket"
            make = urllib.request.Request(url, method="PUT")
            make.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/")
            urllib.request.urlopen(make, timeout=10).close()
            yield url
        finally:
            server.kill()
            server.wait()


@contextlib.contextmanager
def double() -> Iterator[S3Double]:
    store = S3Double()
    try:
        yield store
    finally:
        store.stop()


def with_store(run_dir: Path, url: str) -> contextlib.AbstractContextManager[Rig]:
    return running(run_dir, s3=(url, KEYS), uplink={"files_url": f"{url}/"})


def wait_acked(rig: Rig, within_s: float = 90.0) -> None:
    rig.wait("the records are acknowledged", lambda: rig.made_all() and rig.settled(), within_s)
    assert rig.audit()["balanced"]
    assert rig.audit()["dropped"] == 0
    files = rig.report()["vehicles"][VEHICLE]["files"]
    assert {f["sha256"] for f in files if f["whole"]} == set(rig.ordered.values())


@needs_moto
def test_moto_small_and_multipart(run_dir: Path) -> None:
    with moto(run_dir) as url, with_store(run_dir, url) as rig:
        rig.order("small.mp4", 300_000)
        rig.order("large.mp4", 11 * MIB + 5, seed=2)
        wait_acked(rig)
        assert rig.link.chunks == []
        assert rig.status()["uplink"]["put_bytes"] == 300_000 + 11 * MIB + 5


@needs_moto
def test_moto_agent_killed_between_parts(run_dir: Path) -> None:
    with moto(run_dir) as url, with_store(run_dir, url) as rig:
        rig.order("large.mp4", 21 * MIB)
        rig.wait(
            "a part is there",
            lambda: (rig.status().get("uplink") or {}).get("put_bytes", 0) > 6 * MIB,
        )
        rig.kill_agent()
        wait_acked(rig)
        assert rig.status()["uplink"]["put_bytes"] <= 16 * MIB


def test_small_and_multipart(run_dir: Path) -> None:
    with double() as store, with_store(run_dir, store.url) as rig:
        rig.order("small.mp4", 300_000)
        rig.order("large.mp4", 11 * MIB + 5, seed=2)
        wait_acked(rig)
        assert sorted(store.puts) == [(0, 300_000), (1, 5 * MIB), (2, 5 * MIB), (3, MIB + 5)]
        assert rig.link.chunks == []
        sent = 300_000 + 11 * MIB + 5
        rig.wait("the parts are counted", lambda: rig.metered()["bulk"] >= sent)
        spent = rig.metered()
        assert spent["bulk"] < sent + 10_000, "beside them the messages of two records"
        assert spent["total"] > spent["bulk"], "headers count too"


def test_an_expired_url_is_asked_for_again(run_dir: Path) -> None:
    with double() as store, with_store(run_dir, store.url) as rig:

        def judge(number: int) -> Fate:
            return {1: "expired", 3: "cut"}.get(number, "take")  # type: ignore[return-value]

        store.judge = judge
        rig.order("large.mp4", 11 * MIB)
        wait_acked(rig)
        assert Counter(number for number, _ in store.puts) == {1: 1, 2: 1, 3: 1}
        assert store.asked == 5


def test_kills_during_parts(run_dir: Path) -> None:
    with double() as store, with_store(run_dir, store.url) as rig:
        store.bytes_per_s = 4 * MIB
        rig.order("large.mp4", 16 * MIB)
        for part, kill in ((1, rig.kill_agent), (2, rig.cloud.kill)):
            rig.wait(f"part {part} is there", lambda part=part: len(store.puts) >= part)
            kill()
        rig.start_cloud()
        wait_acked(rig)
        assert Counter(number for number, _ in store.puts).total() <= 5


def test_a_store_that_is_away_costs_nothing_but_time(run_dir: Path) -> None:
    with double() as store, with_store(run_dir, store.url) as rig:
        store.judge = lambda number: "expired"
        rig.order("small.mp4", 300_000)
        wait_acked(rig)
        assert rig.whole(rig.ordered["small.mp4"])
        assert len(rig.link.chunks) > 3


def test_a_url_that_nobody_configured_is_not_used(run_dir: Path) -> None:
    """The broker cannot send files anywhere else: they go in chunks."""
    with double() as store:
        other = "http://127.0.0.1:9/bucket/"
        with running(run_dir, s3=(store.url, KEYS), uplink={"files_url": other}) as rig:
            rig.order("small.mp4", 300_000)
            wait_acked(rig)
            assert store.asked == 0
            assert rig.whole(rig.ordered["small.mp4"])
