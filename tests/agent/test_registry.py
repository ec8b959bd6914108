"""Driver types are found by their entry points; each way a package can be broken has its line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.registry import BrokenPlugin, UnknownDriver, available, find, load

GOOD = """
from agent.sdk import Driver, DriverConfig
class Good(Driver):
    config_model = DriverConfig
    groups = ()
    def run(self, ctx): ...
class NoRun(Driver):
    config_model = DriverConfig
    groups = ()
class NoModel(Driver):
    groups = ()
    def run(self, ctx): ...
class NoGroups(Driver):
    config_model = DriverConfig
    def run(self, ctx): ...
function = print
"""

Install = Callable[[str, str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """A package with metadata and one module on the path, as pip would leave it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(package: str, entries: str, source: str = GOOD) -> None:
        info = tmp_path / f"{package}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[brain.drivers]\n{entries}\n")
        (tmp_path / f"{package}.py").write_text(source)

    return make


def test_the_own_drivers_are_registered_and_listing_imports_none() -> None:
    listed = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from agent.registry import available; found = list(available());"
            "found += [name for name in sys.modules if name.startswith('drivers.')];"
            "sys.stdout.write(' '.join(found))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stdout == "fms_j1939 gnss_nmea0183"


def test_a_driver_of_another_package(install: Install) -> None:
    install("good_pkg", "acme_good = good_pkg:Good\nacme_broken = good_pkg:Missing")
    assert available()["acme_good"].package == "good_pkg"
    assert find("acme_good").version == "1.2"
    assert load("acme_good").__name__ == "Good"


def test_an_unknown_type_names_the_nearest_and_all(install: Install) -> None:
    install("good_pkg", "acme_good = good_pkg:Good")
    with pytest.raises(UnknownDriver) as error:
        load("acme_goood")
    assert "unknown driver type 'acme_goood'. Did you mean 'acme_good'?" in str(error.value)
    assert "Installed: acme_good, fms_j1939, gnss_nmea0183" in str(error.value)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("1 +", "SyntaxError"),
        ("Good = 1", "is not a class derived from agent.sdk.Driver"),
        ("", "AttributeError"),
    ],
)
def test_a_package_that_fails_to_import(install: Install, source: str, text: str) -> None:
    name = f"bad_pkg_{abs(hash(source))}"
    install(name, f"acme_bad = {name}:Good", source)
    with pytest.raises(BrokenPlugin) as error:
        load("acme_bad")
    assert f"driver type 'acme_bad' of package {name} 1.2" in str(error.value)
    assert text in str(error.value)
    assert "acme_bad" in available()


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("NoRun", "does not define run"),
        ("NoModel", "has no config_model"),
        ("NoGroups", "has no groups"),
        ("function", "is not a class"),
    ],
)
def test_a_class_that_is_no_driver(install: Install, target: str, text: str) -> None:
    install("odd_pkg", f"acme_odd = odd_pkg:{target}")
    with pytest.raises(BrokenPlugin, match=text):
        load("acme_odd")


def test_two_packages_with_one_name_spoil_that_name_only(install: Install) -> None:
    install("good_pkg", "acme_good = good_pkg:Good\nacme_twin = good_pkg:Good")
    install("twin_pkg", "acme_twin = twin_pkg:Good")
    with pytest.raises(BrokenPlugin, match=r"Uninstall all but one") as error:
        load("acme_twin")
    assert "good_pkg" in str(error.value)
    assert "twin_pkg" in str(error.value)
    assert load("acme_good")
