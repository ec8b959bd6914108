"""The fixtures `world`, which fault tests run, and `liar`, and the report.

BRAIN_FAULTS_ALL=1 runs all (`make faults`); else those marked `slice=True`, for which `make test`
has time. BRAIN_FAULTS_REPORT names the file of the report. What this machine cannot inject is
skipped, which the report shows as "not run".
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.catalogue import TITLES
from tests.faults.injection import NotHere
from tests.faults.liar import Liar, between
from tests.faults.orders import Orders
from tests.faults.world import World
from tests.report import Report

LIMIT_S = 240
REPORT = Report("faults", plain=True)
HERE = Path(__file__).parent
VERDICTS = {"passed": "passed", "skipped": "not run", "failed": "failed"}
FIGURES: pytest.StashKey[dict[str, Any]] = pytest.StashKey()
PASSED: pytest.StashKey[bool] = pytest.StashKey()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not in the slice; give each fault test its time."""
    everything = os.environ.get("BRAIN_FAULTS_ALL") == "1"
    kept, left = [], []
    for item in items:
        marker = item.get_closest_marker("fault") if HERE in item.path.parents else None
        if marker is not None and not everything and not marker.kwargs.get("slice", False):
            left.append(item)
            continue
        if marker is not None and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(LIMIT_S))
        kept.append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the test enters into the report: runs, accepted, delivered, dropped, heal_ms ..."""
    noted: dict[str, Any] = {}
    request.node.stash[FIGURES] = noted
    return noted


@pytest.fixture
def world(request: pytest.FixtureRequest, figures: dict[str, Any]) -> Iterator[World]:
    """See tests.faults.world.World. A short path: a socket's address has 108 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="brain-") as name:
        made = World(Path(name))
        made.figures = figures
        try:
            yield made
        finally:
            made.close()
    if request.node.stash.get(PASSED, False):
        assert "lost" in figures, "records without books: settle"


@pytest.fixture
def orders(world: World) -> Orders:
    """The owner of the vehicle, who gives orders."""
    return Orders(world)


@pytest.fixture
def liar(world: World) -> Iterator[Liar]:
    """A way to the broker that lies; see tests.faults.liar.Liar."""
    with between(world) as made:
        yield made


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, None]:
    """What a fixture finds missing is "not run" too."""
    _not_run((yield))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, None]:
    """What this machine cannot inject is "not run", never "passed"."""
    _not_run((yield))


def _not_run(outcome: Any) -> None:
    """Turn a NotHere into a skip with its line."""
    if outcome.excinfo is not None and issubclass(outcome.excinfo[0], NotHere):
        try:
            pytest.skip(str(outcome.excinfo[1]))
        except pytest.skip.Exception as skipped:
            outcome.force_exception(skipped)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, None]:
    """Send what a test with the marker has found with its result: workers have no report."""
    outcome = yield
    result: pytest.TestReport = outcome.get_result()
    if result.when == "call":
        item.stash[PASSED] = result.passed
    elif result.passed:
        return
    for marker in item.iter_markers("fault"):
        identity, what = marker.args
        found = {"id": identity, "what": what, "figures": item.stash.get(FIGURES, {})}
        result.user_properties.append(("fault", found))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Enter each result, in the one process that hears of all of them."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        return
    reason = ""
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
    shown = [found for name, found in report.user_properties if name == "fault"]
    if report.failed and not shown and report.nodeid.startswith("tests/faults/"):
        # The worker died with the test: nobody else will tell of it.
        REPORT.enter(report.nodeid, "ended without a result", {}, "failed")
    for found in shown:
        if isinstance(found, dict):
            verdict = VERDICTS[report.outcome]
            title = TITLES.get(found["id"], found["what"])
            REPORT.enter(found["id"], title, found["figures"], verdict, reason)


def pytest_sessionfinish() -> None:
    """Write the report."""
    path = os.environ.get("BRAIN_FAULTS_REPORT")
    if path and not os.environ.get("PYTEST_XDIST_WORKER"):
        REPORT.write(Path(path))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show the report where it was asked for."""
    if os.environ.get("BRAIN_FAULTS_REPORT"):
        terminalreporter.section("faults")
        for line in REPORT.lines():
            terminalreporter.write_line(line)
