"""What is wrong with a configuration, in words: where, what came, what was expected, what to do."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.config_text import KeyPath

_SECRET = re.compile(r"password|passphrase|secret|token|(^|_)pin($|_)", re.IGNORECASE)
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason for not starting.

    `line` counts from 1, None where the whole file is meant. `key` is dotted, "" where the file is
    no TOML. `text` says what came and what was expected, `suggestion` what to do, "" where that is
    plain. A secret is in neither.
    """

    file: str
    line: int | None
    key: str
    text: str
    suggestion: str = ""

    @property
    def place(self) -> str:
        """`FILE:LINE`, as editors open it."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


class ConfigInvalid(Exception):
    """The configuration has `problems`; nothing is started with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{p.place} {p.key} {p.text}" for p in problems))
        self.problems = tuple(problems)


def render(problems: Sequence[Problem]) -> list[str]:
    """Lines for people: place, key, text in columns; a fix on a line of its own."""
    place_width = max((len(p.place) for p in problems if p.key), default=0)
    key_width = max((len(p.key) for p in problems), default=0)
    lines = []
    for problem in problems:
        start = f"{problem.place:<{place_width}}  "
        if problem.key:
            start += f"{problem.key:<{key_width}}  "
        if problem.suggestion.startswith("did you mean"):
            lines.append(f"{start}{problem.text}, {problem.suggestion}")
            continue
        lines.append(start + problem.text)
        if problem.suggestion:
            lines.append(" " * len(start) + f"fix: {problem.suggestion}")
    return lines


def log_lines(problems: Iterable[Problem]) -> list[str]:
    """For logs: each problem with its fix on one line."""
    return [
        "  ".join(filter(None, (p.place, p.key, ", ".join(filter(None, (p.text, p.suggestion))))))
        for p in problems
    ]


def dotted(path: Iterable[str | int]) -> str:
    """A key path as TOML writes it; positions of arrays in brackets."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += ("." if text else "") + (key if _BARE.fullmatch(key) else json.dumps(key))
    return text


def is_secret(path: KeyPath) -> bool:
    """Whether the value of a key is never shown."""
    return any(isinstance(key, str) and _SECRET.search(key) for key in path)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, None where nothing is near."""
    choices = list(known)
    folded = {choice.lower().replace("-", "_"): choice for choice in reversed(choices)}
    close = difflib.get_close_matches(word.lower().replace("-", "_"), folded, n=1, cutoff=0.6)
    if close:
        return folded[close[0]]
    starts = [choice for choice in choices if len(word) > 1 and choice.startswith(word)]
    return starts[0] if len(starts) == 1 else None


def did_you_mean(word: str, known: Iterable[str], what: str = "known here") -> str:
    """The suggestion for an unknown word: the nearest one, else all of them."""
    choices = sorted(known)
    near = nearest(word, choices)
    if near is not None:
        return f'did you mean "{near}"?'
    return f"{what}: {', '.join(choices)}" if choices else "remove it"


def node_at(schema: Mapping[str, Any], path: KeyPath) -> Mapping[str, Any]:
    """The part of a JSON Schema that describes `path`; empty where nothing does."""
    node = _follow(schema, schema)
    for key in path:
        if isinstance(key, int):
            below = node.get("items")
        else:
            below = node.get("properties", {}).get(key, node.get("additionalProperties"))
            # Tables whose names follow a pattern are all alike.
            below = next(iter(node.get("patternProperties", {}).values()), below)
        if not isinstance(below, Mapping):
            return {}
        node = _follow(schema, below)
    return node


def expectation(node: Mapping[str, Any]) -> str:
    """What a JSON Schema node allows, in words: "a whole number 1..20 (batches in flight)"."""
    text = _allowed(node)
    about = str(node.get("description", "")).rstrip(".")
    if about[1:2].islower():
        about = about[:1].lower() + about[1:]
    return f"{text} ({about})" if about else text


def toml_value(value: object) -> str:
    """A value as TOML writes it, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, Mapping):
        pairs = (f"{dotted([key])} = {toml_value(item)}" for key, item in value.items())
        return "{ " + ", ".join(pairs) + " }" if value else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def bad_value(path: KeyPath, value: object, node: Mapping[str, Any]) -> tuple[str, str]:
    """Text and suggestion for a value that its schema node does not allow."""
    came = "a value that is not shown" if is_secret(path) else toml_value(value)
    if isinstance(value, dict):
        came = "a table"
    elif len(came) > _LONGEST_SHOWN:
        came = came[: _LONGEST_SHOWN - 3] + "..."
    return f"got {came}, expected {expectation(node)}", _fix(path, value, node)


def missing_key(path: KeyPath, node: Mapping[str, Any]) -> tuple[str, str]:
    """Text and suggestion for a key that has no default and is not there."""
    examples = {"string": '"..."', "integer": "0", "number": "0.0", "boolean": "false"}
    example = examples.get(str(node.get("type")), "...")
    if "enum" in node:
        example = toml_value(node["enum"][0])
    return f"missing, expected {expectation(node)}", f"add {dotted(path[-1:])} = {example}"


def _fix(path: KeyPath, value: object, node: Mapping[str, Any]) -> str:
    key = dotted(path[-1:]) if path and isinstance(path[-1], str) else dotted(path[-2:])
    if isinstance(value, str):
        if "enum" in node:
            near = nearest(value, [str(word) for word in node["enum"]])
            if near is not None and near not in node["enum"]:
                return f"{key} = {near}, without quotes"
            if near is not None:
                return f'did you mean "{near}"?'
        kinds = {"integer": r"[+-]?\d+", "number": r"[+-]?\d+(\.\d+)?", "boolean": "true|false"}
        if re.fullmatch(kinds.get(str(node.get("type")), "(?!)"), value):
            return f"{key} = {value}, without quotes"
    elif node.get("type") == "string" and isinstance(value, int | float) and not is_secret(path):
        return f'{key} = "{toml_value(value)}", in quotes'
    if "default" in node and node["default"] not in (None, ""):
        return f"{key} = {toml_value(node['default'])} is the default"
    return ""


def _allowed(node: Mapping[str, Any]) -> str:
    if "anyOf" in node:
        kinds = [_allowed(part) for part in node["anyOf"] if part.get("type") != "null"]
        return " or ".join(kinds)
    words = node.get("enum", [node["const"]] if "const" in node else None)
    if words is not None:
        shown = [toml_value(word) for word in words]
        return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"
    kind = node.get("type")
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _bounds(node)
    if kind == "array":
        inner = _allowed(node["items"]) if isinstance(node.get("items"), Mapping) else ""
        return f"a list of: {inner}" if inner else "a list"
    names = {"string": "text in quotes", "boolean": "true or false", "object": "a table"}
    return names.get(str(kind), "another value")


def _bounds(node: Mapping[str, Any]) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" {toml_value(low)}..{toml_value(high)}"
    parts = (("from", low), ("above", above), ("up to", high), ("below", below))
    return "".join(f" {word} {toml_value(bound)}" for word, bound in parts if bound is not None)


def _follow(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Resolve `$ref`, and "X or nothing" to X; what stands beside it wins."""
    while True:
        beside = {key: item for key, item in node.items() if key not in ("$ref", "anyOf")}
        kinds = [part for part in node.get("anyOf", ()) if part.get("type") != "null"]
        if "$ref" in node:
            target = schema
            for step in str(node["$ref"]).removeprefix("#/").split("/"):
                target = target[step]
            node = {**target, **beside}
        elif len(kinds) == 1:
            node = {**kinds[0], **beside}
        else:
            return node
