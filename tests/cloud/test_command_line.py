"""`brain-cloud`: every argument is looked at before a counter is used up or a broker dialled."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud import command_keys, command_operations, command_token
from cloud.ledger import Ledger

ROOT = Path(__file__).parents[2]


def program(*argv: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cloud.command_line", *argv],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
    )


@pytest.mark.parametrize("name", ["ops-2026", "a.b", "A_1", "x" * 64])
def test_the_table_of_a_key_is_toml(tmp_path: Path, name: str) -> None:
    done = program("keys", name, "--issuer", "ops", "--role", "clips", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    public = (tmp_path / f"{name}.pub").read_text().strip()
    want = {"key": public, "issuer": "ops", "role": "clips"}
    assert tomllib.loads(done.stdout) == {"commands": {"keys": {name: want}}}
    assert "[commands.roles] says what clips may ask for" in done.stdout


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("a b",), "argument name: got 'a b', expected 1 to 64 letters"),
        (("",), "argument name: got '', expected 1 to 64 letters"),
        (("x" * 65,), "expected 1 to 64 letters"),
        (("k", "--issuer", "the ops"), "argument --issuer: got 'the ops', expected"),
        (("k", "--role", ""), "argument --role: got '', expected"),
    ],
)
def test_names_that_no_vehicle_takes(tmp_path: Path, argv: tuple[str, ...], said: str) -> None:
    done = program("keys", *argv, folder=tmp_path)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == [], "nothing was made"


# What is laid over a command that is right, and what is said of it.
WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "purpose, empty": (("--purpose", ""), "argument --purpose: got '', expected 1 to 200"),
    "purpose, two lines": (("--purpose", "a\nb"), "argument --purpose: got"),
    "purpose, long": (("--purpose", "x" * 201), "expected 1 to 200 printable"),
    "life, negative": (("--life=-5",), "argument --life: got '-5', expected seconds: 1 to 86400"),
    "life, no number": (("--life", "long"), "argument --life: got 'long'"),
    "life, 0": (("--life", "0"), "argument --life: got '0'"),
    "wait": (("--wait", "never"), "argument --wait: got 'never', expected seconds"),
    "port": (("--port", "70000"), "'70000' is not a port (1 to 65535)"),
    "prefix": (("--prefix", "a/+"), "'a/+' is no topic prefix"),
    "issuer": (("--issuer", "../x"), "argument --issuer: got '../x', expected 1 to 64"),
    "role": (("--role", "a b"), "argument --role: got 'a b', expected 1 to 64"),
    "kid": (("--kid", "a b"), "--kid: got 'a b', expected 1 to 64"),
    "reply key, short": (("--reply-key", "abc"), "abc: expected a public key or a file with one"),
    "reply key, no key": (("--reply-key", "*" * 43), "expected 43 characters of base64url"),
    "reply key, none": (("--reply-key", ""), "--reply-key: expected the vehicle's key"),
    "ledger": (("--ledger", "none.db"), "none.db"),
    "certificate": (("--ca", "none.pem"), "none.pem"),
    "out": (("--out", "x"), "--out: status makes no file"),
    "argument": (("--arg", "n=1"), "status: 'n' is no argument of it, there are: none"),
    "argument, no pair": (("--arg", "n"), "'n': expected NAME=VALUE"),
}
OPERATIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "unknown": (("reboot",), "'reboot' is no operation of this version: there are status, bundle"),
    "near": (("driver.restat",), "did you mean driver.restart?"),
    "missing": (("dump", "--arg", "seconds=5"), "dump: source is missing, add --arg source=VALUE"),
    "type": (("dump", "--arg", "source=a", "--arg", "seconds=x"), "seconds: got 'x', expected a"),
    "true for a number": (
        ("dump", "--arg", "source=a", "--arg", "seconds=true"),
        "seconds: got True, expected a whole number",
    ),
    "life": (
        ("driver.restart", "--arg", "source=a", "--life", "901"),
        "--life: got 901, driver.restart may be valid for 900 s",
    ),
    "nothing to set": (("config.set",), "config.set: set is missing, add --set KEY=VALUE"),
    "too large": (
        ("config.set", *(f"--set=budget.k{n}={'x' * 900}" for n in range(8))),
        "at most 8192",
    ),
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    command_keys.make(folder / "ops-1")
    command_keys.make(folder / "bus")
    with Ledger(folder / "ledger.db"):
        pass
    return folder


def refused(desk: Path, *argv: str) -> str:
    right = ("--key", "ops-1.key", "--purpose", "a test", "--reply-key", "bus.pub", "--port", "9")
    done = program("command", "bus-1", *argv[:1], *right, *argv[1:], folder=desk)
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_uses_up_no_counter(desk: Path, name: str) -> None:
    argv, said = WRONG[name]
    assert said in refused(desk, "status", *argv)
    assert not (desk / "ops.counter").exists()


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_wrong_operation_uses_up_no_counter(desk: Path, name: str) -> None:
    argv, said = OPERATIONS[name]
    assert said in refused(desk, *argv)
    assert not (desk / "ops.counter").exists()


def test_what_is_right_goes_as_far_as_the_broker(desk: Path, tmp_path: Path) -> None:
    for file in desk.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
        (tmp_path / file.name).chmod(0o600)
    assert "broker 127.0.0.1:9: " in refused(tmp_path, "status")
    assert (tmp_path / "ops.counter").exists()
    assert "broker 127.0.0.1:9: " in refused(tmp_path, "reboot", "--unchecked")


@pytest.mark.parametrize("verb", ["keys", "command"])
def test_each_option_says_what_it_is(tmp_path: Path, verb: str) -> None:
    done = program(verb, "--help", folder=tmp_path)
    options = [line for line in done.stdout.splitlines() if line.startswith("  --")]
    assert options and all(len(line.split(None, 1)) == 2 for line in options)
    for option in ("--issuer", "--role", "--broker", "--port", "--no-wait", "--kid"):
        line = next((line for line in options if line.startswith(f"  {option} ")), None)
        if verb == "command" or option in ("--issuer", "--role"):
            assert line is not None and len(line.split()) > 4, option


@given(
    st.sampled_from([*command_operations.OPERATIONS, "x", ""]),
    st.dictionaries(st.text(max_size=8), st.none() | st.booleans() | st.integers() | st.text()),
    st.integers(1, 90_000),
    st.booleans(),
)
def test_a_check_says_yes_or_why_not(
    name: str, args: dict[str, object], life_s: int, wants_file: bool
) -> None:
    try:
        command_operations.check(name, args, life_s, wants_file=wants_file)
    except ValueError as error:
        assert str(error)
    else:
        assert set(command_operations.OPERATIONS[name].required) <= set(args)


def test_the_largest_counter_signs_no_longer_than_any(desk: Path) -> None:
    key = command_keys.load(desk / "ops-1.key")
    order = command_token.Order("bus-1", "status", "ops", "operator", "a test")
    sizes = [
        len(command_token.sign(order, key, "k", counter, now_s=1_800_000_000)[1])
        for counter in (1, command_token.MAX_COUNTER)
    ]
    assert sizes == sorted(sizes)
