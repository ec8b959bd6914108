"""The fixture `rig`, which of its tests run, and the report.

BRAIN_RIG_ALL=1 runs all (`make test-rig`); else those marked `slice=True`, for which `make test`
has time. BRAIN_RIG_REPORT names the file of the report. Where there is no rig a test is skipped,
which the report shows as "not run".
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.report import Report
from tests.rig.place import NoRig
from tests.rig.rig import Rig

LIMIT_S = 240
"""Of one test: three boots with systemd on a busy machine and what it does between them."""
REPORT = Report()
HERE = Path(__file__).parent
VERDICTS = {"passed": "passed", "skipped": "not run", "failed": "failed"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not in the slice; give each test of the rig its time."""
    everything = os.environ.get("BRAIN_RIG_ALL") == "1"
    kept, left = [], []
    for item in items:
        marker = item.get_closest_marker("rig") if HERE in item.path.parents else None
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
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    """See tests.rig.rig.Rig."""
    try:
        made = Rig(tmp_path)
    except NoRig as reason:
        pytest.skip(str(reason))
    request.node.stash[FIGURES] = made.figures
    try:
        yield made
    finally:
        made.close()
    if made.has_cloud and request.node.stash.get(PASSED, False):
        assert "lost" in made.figures, "records without books: note_books"


FIGURES: pytest.StashKey[dict[str, Any]] = pytest.StashKey()
PASSED: pytest.StashKey[bool] = pytest.StashKey()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the test enters into the report, for those that share a machine and have no `rig`."""
    noted: dict[str, Any] = {"runs": 1}
    request.node.stash[FIGURES] = noted
    return noted


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, None]:
    """What a fixture finds missing is "not run" too."""
    _not_run((yield))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, None]:
    """What the kernel or the machine lacks is "not run", never "passed"."""
    _not_run((yield))


def _not_run(outcome: Any) -> None:
    """Turn a NoRig into a skip with its line."""
    if outcome.excinfo is not None and issubclass(outcome.excinfo[0], NoRig):
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
    for marker in item.iter_markers("rig"):  # one that shows several things has several
        identity, what = marker.args
        figures = dict(item.stash.get(FIGURES, {}))
        figures.update(figures.pop("by_id", {}).get(identity, {}))
        found = {"id": identity, "what": what, "figures": figures}
        result.user_properties.append(("rig", found))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Enter each result, in the one process that hears of all of them."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        return
    reason = ""
    if report.skipped and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
    shown = [found for name, found in report.user_properties if name == "rig"]
    if report.failed and not shown and report.nodeid.startswith("tests/rig/"):
        # The worker died with the test: nobody else will tell of it.
        REPORT.enter(report.nodeid, "ended without a result", {}, "failed")
    for found in shown:
        if isinstance(found, dict):
            REPORT.enter(
                found["id"], found["what"], found["figures"], VERDICTS[report.outcome], reason
            )


def pytest_sessionfinish() -> None:
    """Write the report."""
    path = os.environ.get("BRAIN_RIG_REPORT")
    if path and not os.environ.get("PYTEST_XDIST_WORKER"):
        REPORT.write(Path(path))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show the report where it was asked for."""
    if os.environ.get("BRAIN_RIG_REPORT"):
        terminalreporter.section("rig")
        for line in REPORT.lines():
            terminalreporter.write_line(line)
