"""What every driver owes, over all entry points of `brain.drivers`."""

from __future__ import annotations

import inspect
import re
import threading
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import pytest

from agent.sdk import DeviceUnavailable, Driver, Group, Keep, Kind, Signal
from tests.contracts.conftest import StrictContext
from tests.contracts.feeds import FEEDS, Feed

SOON_S = 2.0
MakeContext = Callable[[tuple[Group, ...]], StrictContext]


@pytest.fixture(params=sorted(entry_points(group="brain.drivers")), ids=lambda point: point.name)
def point(request: pytest.FixtureRequest) -> EntryPoint:
    entry: EntryPoint = request.param
    return entry


@pytest.fixture
def driver_class(point: EntryPoint) -> type[Driver[Any]]:
    loaded: type[Driver[Any]] = point.load()
    assert issubclass(loaded, Driver)
    return loaded


@pytest.fixture
def feed_class(point: EntryPoint) -> type[Feed]:
    assert point.name in FEEDS, f"add a device for {point.name} to tests/contracts/feeds.py"
    return FEEDS[point.name]


@pytest.fixture
def folder(driver_class: type[Driver[Any]]) -> Path:
    return Path(inspect.getfile(driver_class)).parent


class Running:
    """A driver on a thread of its own, stopped at the end."""

    def __init__(self, driver: Driver[Any], context: StrictContext) -> None:
        self.ended_with: BaseException | None = None
        self.context = context
        self._driver = driver
        self._thread = threading.Thread(target=self._run, name="driver under test", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._driver.run(self.context)
        except BaseException as error:
            self.ended_with = error

    def join(self) -> BaseException | None:
        self._thread.join(SOON_S)
        assert not self._thread.is_alive(), f"run has not ended within {SOON_S} s"
        return self.ended_with

    def stop(self) -> BaseException | None:
        self.context.stop()
        return self.join()


@pytest.fixture
def start(
    driver_class: type[Driver[Any]], strict_context: MakeContext
) -> Iterator[Callable[[Feed], Running]]:
    running: list[Running] = []

    def started(feed: Feed) -> Running:
        driver = configured(driver_class, feed.section(feed.path))
        running.append(Running(driver, strict_context(driver.groups)))
        return running[-1]

    yield started
    for one in running:
        one.stop()


def configured(driver_class: type[Driver[Any]], section: dict[str, object]) -> Driver[Any]:
    return driver_class(msgspec.convert(section, driver_class.config_model, strict=True))


def test_an_unknown_key_is_refused(driver_class: type[Driver[Any]], feed_class: type[Feed]) -> None:
    section = feed_class.section("/dev/somewhere")
    configured(driver_class, section)
    with pytest.raises(msgspec.ValidationError, match="colour"):
        configured(driver_class, section | {"colour": "red"})


def test_every_key_is_described(driver_class: type[Driver[Any]]) -> None:
    for name, described in config_keys(driver_class).items():
        assert described, f"{name} has no description"


@pytest.mark.parametrize("method", ["run", "probe"])
def test_an_absent_device_is_unavailable_at_once(
    driver_class: type[Driver[Any]],
    feed_class: type[Feed],
    strict_context: MakeContext,
    tmp_path: Path,
    method: str,
) -> None:
    path = str(tmp_path / "absent")
    driver = configured(driver_class, feed_class.section(path))
    began = monotonic()
    with pytest.raises(DeviceUnavailable) as raised:
        if method == "run":
            driver.run(strict_context(driver_class.groups))
        else:
            driver.probe()
    assert monotonic() - began < SOON_S
    assert path in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("mute", [False, True], ids=["speaking", "mute"])
def test_run_ends_soon_after_it_is_told_to(
    feed_class: type[Feed], start: Callable[[Feed], Running], mute: bool
) -> None:
    with feed_class(mute=mute) as feed:
        running = start(feed)
        assert running.context.asked.wait(SOON_S), "run does not ask ctx.running()"
        if not mute:
            assert running.context.wait(lambda records: len(records) > 0, 5)
        assert running.stop() is None


def test_only_what_is_declared_is_emitted(
    feed_class: type[Feed], start: Callable[[Feed], Running]
) -> None:
    def enough(records: list[tuple[str, Any]]) -> bool:
        kinds = [record.kind for _, record in records]
        return kinds.count(Kind.SAMPLE) >= 10 and Kind.STATUS in kinds

    with feed_class() as feed:
        running = start(feed)
        assert running.context.wait(enough, 8), running.context.records
        assert running.stop() is None
    assert running.context.faults == []
    assert any(record.values for _, record in running.context.records)


def test_an_unplugged_device_is_unavailable_at_once(
    feed_class: type[Feed], start: Callable[[Feed], Running]
) -> None:
    with feed_class() as feed:
        running = start(feed)
        assert running.context.wait(lambda records: len(records) > 0, 5)
        feed.unplug()
        assert isinstance(running.join(), DeviceUnavailable)


def test_a_driver_runs_again_after_its_device_was_gone(
    driver_class: type[Driver[Any]], feed_class: type[Feed], strict_context: MakeContext
) -> None:
    """The host keeps one instance and calls `run` again; the port may have another name by then."""
    with feed_class() as feed:
        driver = configured(driver_class, feed.section(feed.path))
        for _ in range(2):
            running = Running(driver, strict_context(driver_class.groups))
            assert running.context.wait(lambda records: len(records) > 0, 5)
            assert running.stop() is None


def test_probe_says_in_one_line_what_is_there(
    driver_class: type[Driver[Any]], feed_class: type[Feed]
) -> None:
    with feed_class() as feed:
        said = configured(driver_class, feed.section(feed.path)).probe()
    assert said
    assert "\n" not in said


def test_an_instance_declares_what_its_class_does_without_further_keys(
    driver_class: type[Driver[Any]], feed_class: type[Feed]
) -> None:
    driver = configured(driver_class, feed_class.section("/dev/somewhere"))
    assert driver.groups == driver_class.groups


def test_declared_groups_and_paths_are_unique(driver_class: type[Driver[Any]]) -> None:
    names = [group.name for group in driver_class.groups]
    paths = [signal.path for group in driver_class.groups for signal in group.signals]
    assert names
    assert len(set(names)) == len(names)
    assert len(set(paths)) == len(paths)
    for group in driver_class.groups:
        for signal in group.signals:
            assert signal.meaning, f"{signal.path} has no meaning"
            assert signal.source, f"{signal.path} names no source"


def test_the_readme_lists_the_declared_signals(
    driver_class: type[Driver[Any]], folder: Path
) -> None:
    listed = {row[0]: row[1:] for row in rows((folder / "README.md").read_text(), "signal")}
    declared = {
        f"`{signal.path}`": [signal.datatype.value, signal.unit, kept(signal), signal.source]
        for group in driver_class.groups
        for signal in group.signals
    }
    assert listed == declared


def test_the_readme_lists_the_config_keys(driver_class: type[Driver[Any]], folder: Path) -> None:
    listed = {row[0]: row[-1] for row in rows((folder / "README.md").read_text(), "key")}
    assert listed == {f"`{key}`": text for key, text in config_keys(driver_class).items()}


def test_the_readme_has_its_parts(point: EntryPoint, folder: Path) -> None:
    headings = re.findall(r"^#+ .*$", (folder / "README.md").read_text(), re.MULTILINE)
    assert headings == [f"# {point.name}", "## Configuration", "## Signals", "## Captures"]


def test_the_sample_is_valid(
    point: EntryPoint, driver_class: type[Driver[Any]], folder: Path
) -> None:
    sections = tomllib.loads((folder / "sample.toml").read_text())["drivers"]
    assert sections
    for section in sections.values():
        assert section.pop("type") == point.name
        configured(driver_class, section)


def config_keys(driver_class: type[Driver[Any]]) -> dict[str, str]:
    """Key -> description, "" where there is none."""
    model = driver_class.config_model
    schema = msgspec.json.schema(model)["$defs"][model.__name__]
    return {key: value.get("description", "") for key, value in schema["properties"].items()}


def rows(markdown: str, first: str) -> list[list[str]]:
    """The rows of all tables whose first column is headed `first`."""
    found: list[list[str]] = []
    inside = False
    for line in markdown.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif cells[0] == first:
            inside = True
        elif inside and not set(cells[0]) <= set("-: "):
            found.append(cells)
    return found


def kept(signal: Signal) -> str:
    """Thinning as the READMEs write it."""
    thinning = signal.thinning
    if thinning.keep is Keep.SAMPLED:
        return f"{thinning.interval_s:g} s, {thinning.deadband:g}"
    return thinning.keep.value
