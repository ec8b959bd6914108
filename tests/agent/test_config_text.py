"""Lines of keys: a table of hard texts, then random documents in every style of TOML."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config_text import KeyPath, locate, syntax_error


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("a = 1\nb = 2", ("b",), 2),
        ("# x = 1\n\n  x = 1", ("x",), 3),
        ("[t]\nx = 1 # [u]\n[u]\nx = 2", ("u", "x"), 4),
        ("[a.b]\nx = 1\n[a]\ny = 2", ("a",), 3),
        ("[a.b]\nx = 1", ("a",), 1),
        ("a.b.c = 1\na.b.d = 2", ("a", "b", "d"), 2),
        ("a.b.c = 1\na.b.d = 2", ("a", "b"), 1),
        ('"a.b" = 1\n"c\\u0064" = 2', ("cd",), 2),
        ("'a b'.\"c]\" = 1", ("a b", "c]"), 1),
        ('t = """\n[no]\nx = 1\n"""\nx = 2', ("x",), 5),
        ('t = """a\\"""b\n"""""\nx = 2', ("x",), 3),
        ("t = '''\n'x' = 1\n'''''\nx = 2", ("x",), 4),
        ('t = "\\"\\\\"\nx = 2', ("x",), 2),
        ("t = 'C:\\'\nx = 2", ("x",), 2),
        ("t = [\n 1, # ]\n 2,\n]\nx = 2", ("x",), 5),
        ("t = [\n 1, # ]\n 2,\n]\nx = 2", ("t", 1), 3),
        ("t = [ [1],\n [2, 3] ]", ("t", 1, 1), 2),
        ("t = { a = 1, b = { c = [\n 1,\n {d = 2} ] } }", ("t", "b", "c", 1, "d"), 3),
        ("[[t]]\nx = 1\n[[t]]\nx = 2", ("t", 1, "x"), 4),
        ("[[t]]\n[[t.u]]\n[t.u.v]\nx = 1\n[[t]]\n[[t.u]]\nx = 2", ("t", 1, "u", 0, "x"), 7),
        ("[[t]]\n[[t.u]]\n[t.u.v]\nx = 1", ("t", 0, "u", 0, "v", "x"), 4),
        ("a = 1\r\n\r\nb = 2\r\n", ("b",), 3),
        ("d = 1979-05-27 07:32:00Z\nx = 1", ("x",), 2),
        ("[ a . b ]\nx = 1", ("a", "b", "x"), 2),
    ],
)
def test_a_key_is_found_where_it_stands(text: str, path: KeyPath, line: int) -> None:
    tomllib.loads(text)
    assert locate(text)[path] == line


KEYS = st.text("ab-_", min_size=1, max_size=3) | st.sampled_from(
    ["a.b", "x y", "]", "#", "ü", '"', "="]
)
TEXTS = st.text("ab\"'\\\n#[]{}=,ü\t", max_size=8)
SCALARS = st.integers(-5, 5) | TEXTS | st.booleans() | st.just(1.5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


class Writer:
    """Writes a document in styles that `data` draws and notes the line of each key."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.text = ""
        self.lines: dict[KeyPath, int] = {}

    def one_of(self, *styles: str) -> str:
        return self.data.draw(st.sampled_from(styles))

    def here(self, path: KeyPath) -> None:
        self.lines[path] = self.text.count("\n") + 1

    def put(self, text: str) -> None:
        self.text += text

    def key(self, key: str) -> None:
        bare = key.isascii() and key.replace("-", "a").replace("_", "a").isalnum()
        styles = ["basic"] + ["bare"] * bare + ["literal"] * ("'" not in key)
        quoted = {"bare": key, "literal": f"'{key}'", "basic": json.dumps(key)}
        self.put(quoted[self.one_of(*styles)])

    def blank(self) -> None:
        self.put(self.one_of("", "", "\n", "  \t\n", "# [no]\n", '# x = """\n'))

    def table(self, values: dict[str, Any], path: KeyPath, header: list[str]) -> None:
        deeper = {
            k for k, v in values.items() if isinstance(v, dict) and self.one_of("h", "v") == "h"
        }
        arrays = {
            k
            for k, v in values.items()
            if isinstance(v, list)
            and v
            and all(isinstance(i, dict) for i in v)
            and self.one_of("h", "v") == "h"
        }
        for key, value in values.items():
            if key not in deeper | arrays:
                self.blank()
                self.pair(key, value, path)
                self.put(self.one_of("\n", " # x = 1\n", "\r\n"))
        for key, value in values.items():
            if key in deeper:
                self.lines[*path, key] = self.header(key, header, "[", "]")
                self.table(value, (*path, key), [*header, key])
            elif key in arrays:
                for at, element in enumerate(value):
                    line = self.header(key, header, "[[", "]]")
                    self.lines[*path, key, at] = line
                    self.lines.setdefault((*path, key), line)
                    self.table(element, (*path, key, at), [*header, key])

    def header(self, key: str, header: list[str], left: str, right: str) -> int:
        self.blank()
        line = self.text.count("\n") + 1
        self.put(left)
        for at, part in enumerate([*header, key]):
            self.put("." if at else "")
            self.key(part)
        self.put(f"{right}\n")
        return line

    def pair(self, key: str, value: object, path: KeyPath, *, inline: bool = False) -> None:
        self.put(self.one_of("", "  "))
        at = (*path, key)
        self.here(at)
        self.key(key)
        # One entry only: a second dotted key may stand lines away from the first.
        while isinstance(value, dict) and len(value) == 1 and self.one_of("dot", "no") == "dot":
            ((key, value),) = value.items()
            at = (*at, key)
            self.put(self.one_of(".", " . "))
            self.here(at)
            self.key(key)
        self.put(self.one_of("=", " = ", "\t=  "))
        self.value(value, at, inline)

    def value(self, value: object, path: KeyPath, inline: bool = False) -> None:
        if isinstance(value, dict):
            self.put("{")
            for at, (key, item) in enumerate(value.items()):
                self.put(", " if at else " ")
                self.pair(key, item, path, inline=True)
            self.put(" }")
        elif isinstance(value, list):
            self.put("[")
            for at, item in enumerate(value):
                self.put("," if at else "")
                self.put(self.one_of("", " ", "\n", " # ]\n"))
                self.here((*path, at))
                self.value(item, (*path, at), inline)
            self.put(self.one_of("", "\n", ",\n") if value else self.one_of("", "\n"))
            self.put("]")
        elif isinstance(value, str):
            self.string(value)
        else:
            self.put(str(value).lower())

    def string(self, value: str) -> None:
        styles = ["basic", "multi"]
        styles += ["literal"] * (not set(value) & set("'\n"))
        styles += ["multi-literal"] * ("'" not in value)
        escaped = json.dumps(value, ensure_ascii=False)[1:-1]
        style = self.one_of(*styles)
        if style == "basic":
            self.put(f'"{escaped}"')
        elif style == "literal":
            self.put(f"'{value}'")
        elif style == "multi-literal":
            self.put(f"'''\n{value}'''")
        else:
            tail = '"' if escaped.endswith('\\"') and not escaped.endswith('\\\\"') else ""
            body = escaped[:-2] + tail if tail else escaped
            body = body.replace("\\n", "\n") if "\\\\" not in body else body
            self.put(f'"""\n{body}"""')


@settings(max_examples=250, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=4), st.data())
def test_lines_agree_with_tomllib_on_random_documents(
    document: dict[str, Any], data: st.DataObject
) -> None:
    writer = Writer(data)
    writer.table(document, (), [])
    assert tomllib.loads(writer.text) == document
    found = locate(writer.text)
    assert {path: found.get(path) for path in writer.lines} == writer.lines
    assert set(found) == set(paths_of(document))


def paths_of(value: object, path: KeyPath = ()) -> list[KeyPath]:
    if isinstance(value, dict):
        inner = [((*path, key), item) for key, item in value.items()]
    elif isinstance(value, list):
        inner = [((*path, at), item) for at, item in enumerate(value)]
    else:
        return []
    return [p for at, item in inner for p in (at, *paths_of(item, at))]


@given(st.text("ab=[]{}\"'.#\n, 1", max_size=30))
def test_any_text_ends(text: str) -> None:
    locate(text)


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("a = 1\nb 2", 2, '"=" after the key'),
        ("a = ", 1, "expected a value"),
        ("a = fast", 1, "expected a value"),
        ("a = 1\na = 2", 2, "each key once"),
        ("[a]\n[a]", 2, "each [table] once"),
        ('a = "x', 1, "quotes"),
        ('a = "x\nb = 1', 1, "quotes"),
        ("a = [1, 2", 1, '"]"'),
        ("[a\nb = 1", 1, '"]"'),
        ("a = 1 b = 2", 1, "one KEY = VALUE a line"),
        ("a = {b = 1, b = 2}", 1, "each key once"),
        ('a = "C:\\dev"', 1, "backslash"),
        ("\n\n=", 3, "expected"),
    ],
)
def test_a_syntax_error_says_where_and_what(text: str, line: int, expected: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    where, what = syntax_error(caught.value, text)
    assert where == line
    assert expected in what
