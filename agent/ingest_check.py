"""What the door checks: pure functions from wire messages to groups and records, or ValueError.

Strict decoding has settled shapes and types; here come ranges, lengths and what was declared.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import msgspec

from agent.protocol import (
    MAX_GROUPS,
    MAX_SIGNALS,
    PROTOCOL_VERSION,
    Answer,
    Hello,
    Report,
    WireGroup,
    WireRecord,
    declared,
)
from agent.record import Blob, Kind, Record, Scalar, State
from agent.signals import Group
from agent.values import INT64_MAX, INT64_MIN, MAX_TEXT, checked

FUTURE_MS = 1_000
"""A capture time further ahead than this is set to now: clocks of one box do not differ."""

MAX_COUNTERS = 200

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_STREAM = re.compile(r"[0-9a-f]{32}")
_PATH = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_]+)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_STATES = {state.value: state for state in State}
_KINDS = {kind.value: kind for kind in Kind}

_groups_encoder = msgspec.msgpack.Encoder()
_groups_decoder = msgspec.msgpack.Decoder(list[WireGroup])


def encode_groups(groups: list[WireGroup]) -> bytes:
    """The groups of a hello as bytes, for the catalogue that the store remembers."""
    return _groups_encoder.encode(groups)


def decode_groups(encoded: bytes) -> tuple[Group, ...]:
    """What `encode_groups` made. Raises ValueError on anything else."""
    return tuple(declared(group) for group in _groups_decoder.decode(encoded))


def checked_hello(hello: Hello) -> tuple[Group, ...]:
    """The declared groups. Raises ValueError where the hello cannot be accepted."""
    if hello.protocol != PROTOCOL_VERSION:
        raise ValueError(
            f"ingest protocol {hello.protocol}, expected {PROTOCOL_VERSION}: "
            "install driver and agent of one release"
        )
    if not _NAME.fullmatch(hello.name):
        raise ValueError(f"name {hello.name[:80]!r}: expected 1-64 of A-Z a-z 0-9 _ -")
    if not _STREAM.fullmatch(hello.stream):
        raise ValueError(f"stream {hello.stream[:40]!r}: expected 32 hex digits")
    _text("type", hello.type)
    _text("version", hello.version)
    if len(hello.groups) > MAX_GROUPS:
        raise ValueError(f"{len(hello.groups)} groups, at most {MAX_GROUPS}")
    signals = sum(len(group.signals) for group in hello.groups)
    if signals > MAX_SIGNALS:
        raise ValueError(f"{signals} signals, at most {MAX_SIGNALS}")
    if len({group.name for group in hello.groups}) != len(hello.groups):
        raise ValueError("two groups of one name")
    for group in hello.groups:
        _check_group(group)
    return tuple(declared(group) for group in hello.groups)


def _check_group(group: WireGroup) -> None:
    _text("group name", group.name)
    for signal in group.signals:
        if len(signal.path) > MAX_TEXT or not _PATH.fullmatch(signal.path):
            raise ValueError(f"path {signal.path[:80]!r}: expected a VSS path like Vehicle.Speed")
        _text("unit", signal.unit)
        _text("meaning", signal.meaning)
        _text("source", signal.source)
        bounds = [bound for bound in (signal.minimum, signal.maximum) if bound is not None]
        thinning = (signal.interval_s, signal.deadband)
        if not all(map(math.isfinite, [*bounds, *thinning])) or min(thinning) < 0:
            raise ValueError(f"{signal.path}: bounds, interval and deadband must be finite")
        if not 0 <= signal.steps_per_unit <= INT64_MAX:
            raise ValueError(f"{signal.path}: {signal.steps_per_unit} steps per unit")


def checked_report(report: Report) -> Report:
    """The report, its text cut to size. Raises ValueError where it is too large."""
    if len(report.counters) > MAX_COUNTERS:
        raise ValueError(f"{len(report.counters)} counters, at most {MAX_COUNTERS}")
    for name, value in report.counters.items():
        _text("counter", name)
        if not INT64_MIN <= value <= INT64_MAX:
            raise ValueError(f"counter {name[:80]!r} is beyond 64 bits")
    return Report(report.counters, report.device[:MAX_TEXT])


def checked_answer(answer: Answer) -> Answer:
    """The answer, its error cut to size. Raises ValueError where it is none."""
    _text("answer id", answer.id)
    for name, value in answer.values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"answer {name[:80]!r}: expected a finite number")
    return Answer(answer.id, answer.ok, answer.values, " ".join(answer.error.split())[:MAX_TEXT])


def checked_record(
    source: str, groups: Sequence[Group], wire: WireRecord, now_boottime_ms: int
) -> Record:
    """The record that `source` sent, its capture time not in the future.

    Raises ValueError with the group, the path and what was expected.
    """
    if not 0 <= wire.group < len(groups):
        raise ValueError(f"group {wire.group}, declared are {len(groups)}")
    group = groups[wire.group]
    if len(wire.values) != len(group.signals):
        raise ValueError(
            f"group {group.name!r}: {len(wire.values)} values for {len(group.signals)} signals"
        )
    values: dict[str, Scalar] = {}
    for signal, value in zip(group.signals, wire.values, strict=True):
        if value is not None:
            try:
                values[signal.path] = checked(signal.datatype, value)
            except ValueError as error:
                raise ValueError(f"{signal.path}: {error}") from None
    states = _checked_states(group, wire)
    if wire.kind is not None and wire.kind not in _KINDS:
        raise ValueError(f"kind {wire.kind[:40]!r}, expected one of {', '.join(_KINDS)}")
    if wire.boottime_ms < 0:
        raise ValueError(f"capture time {wire.boottime_ms} ms is before the boot")
    if not values and not states and wire.blob is None:
        raise ValueError(f"group {group.name!r}: a record without a value, a state or a file")
    late = wire.boottime_ms > now_boottime_ms + FUTURE_MS
    return Record(
        source,
        now_boottime_ms if late else wire.boottime_ms,
        values,
        states,
        Kind.SAMPLE if wire.kind is None else _KINDS[wire.kind],
        None if wire.blob is None else _checked_blob(*wire.blob),
    )


def _checked_states(group: Group, wire: WireRecord) -> dict[str, State]:
    states: dict[str, State] = {}
    for position, word in (wire.states or {}).items():
        if not 0 <= position < len(group.signals):
            raise ValueError(f"group {group.name!r}: a state at position {position}")
        path = group.signals[position].path
        if wire.values[position] is not None:
            raise ValueError(f"{path}: a value and a state, expected one of them")
        if word not in _STATES:
            raise ValueError(f"{path}: state {word[:40]!r}, expected one of {', '.join(_STATES)}")
        states[path] = _STATES[word]
    return states


def _checked_blob(path: str, media_type: str, size: int, sha256: str) -> Blob:
    _text("blob path", path)
    _text("media type", media_type)
    if not path or "\0" in path:
        raise ValueError("a blob without a path")
    if not 0 <= size <= INT64_MAX:
        raise ValueError(f"blob {path[:80]!r}: impossible size")
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"blob {path[:80]!r}: sha256 is not 64 hex digits")
    return Blob(path, media_type, size, sha256)


def _text(what: str, text: str) -> None:
    if len(text) > MAX_TEXT:
        raise ValueError(f"{what} of {len(text)} characters, at most {MAX_TEXT}")
