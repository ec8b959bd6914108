"""Where each key of a TOML text stands: tomllib tells values, never lines."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from contextlib import suppress

KeyPath = tuple[str | int, ...]
"""Keys from the top of the document; an int is a position in an array."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRINGS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        # Up to two quotes may stand right before the closing three.
        r'"""(?:\\.|[^\\])*?""""{0,2}',
        r"'''.*?''''{0,2}",
        r'"(?:\\.|[^"\\\n])*"',
        r"'[^'\n]*'",
    )
)
_BLANK = re.compile(r"[ \t]+")
_BLANK_LINES = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)+")
_OTHER_VALUE = re.compile(r"[^,\]}\n#]+")
_PARSE_ERROR = re.compile(
    r"^(?P<what>.*) \(at (?:line (?P<line>\d+), column \d+|end of document)\)$"
)

_EXPECTED = (
    ("Expected '=' after a key", 'expected KEY = VALUE: there is no "=" after the key'),
    (
        "Expected newline or end of document",
        "expected one KEY = VALUE a line: text follows a value",
    ),
    ("Expected ']' at the end of a table", 'expected "]" at the end of the [table] header'),
    ("Expected ']]' at the end", 'expected "]]" at the end of the [[table]] header'),
    ("Invalid initial character for a key", "expected a key: letters, digits, _ and -"),
    ("Invalid statement", "expected KEY = VALUE or a [table] header"),
    ("Invalid value", 'expected a value: "text" in quotes, a number, true, false, [..] or {..}'),
    ("Cannot overwrite a value", "expected each key once: this key is already set above"),
    ("Cannot declare", "expected each [table] once: this one stands above already"),
    ("Cannot mutate immutable", "expected each key once: this one is closed above already"),
    ("Duplicate inline table key", "expected each key once in { }"),
    ("Unclosed array", 'expected "]" at the end of the list'),
    ("Unclosed inline table", 'expected "}" at the end of the inline table'),
    ("Unterminated string", "expected closing quotes at the end of the text"),
    ("Illegal character '\\n'", "expected closing quotes before the end of the line"),
    ("Illegal character", "expected printable text: a control character stands here"),
    ("Unescaped '\\'", "expected \\\\ for a backslash in \"...\"; '...' takes it as it is"),
    ("Invalid hex value", "expected \\uXXXX with hexadecimal digits"),
    ("Expected", ""),
)


class _Unreadable(Exception):
    """The text is no TOML; whoever asks for lines has parsed it before."""


def syntax_error(error: tomllib.TOMLDecodeError, text: str) -> tuple[int, str]:
    """Line and expectation of what tomllib refused in `text`."""
    match = _PARSE_ERROR.match(str(error))
    what = match["what"] if match else str(error)
    last_line = text.rstrip("\n").count("\n") + 1
    line = int(match["line"]) if match and match["line"] else last_line
    expected = next((ours for theirs, ours in _EXPECTED if what.startswith(theirs)), "")
    return line, expected or what[:1].lower() + what[1:]


def locate(text: str) -> dict[KeyPath, int]:
    """Line (from 1) of every key, table and array element of a TOML text.

    A table that only dotted keys or deeper headers imply has the line of the first of them. Total:
    of a text that is no TOML, the lines up to the point where it stops being so.
    """
    scanner = _Scanner(text.replace("\r\n", "\n"))
    with suppress(_Unreadable):
        scanner.document()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        self._newlines = [i for i, char in enumerate(text) if char == "\n"]
        self._elements: dict[KeyPath, int] = {}
        """How many `[[array]]` headers were seen of each array of tables."""

    def document(self) -> None:
        table: KeyPath = ()
        while True:
            self._skip(_BLANK_LINES)
            if self._at == len(self._text):
                return
            if self._peek("["):
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> KeyPath:
        line = self._line()
        is_element = self._peek("[[")
        self._take("[[" if is_element else "[")
        path: KeyPath = ()
        keys = self._keys()
        for depth, key in enumerate(keys, 1):
            path += (key,)
            self.lines.setdefault(path, line)
            if is_element and depth == len(keys):
                self._elements[path] = self._elements.get(path, 0) + 1
            if path in self._elements:
                path += (self._elements[path] - 1,)
                self.lines.setdefault(path, line)
        # A header after the sub-tables of its table is where a reader looks for that table.
        self.lines[path] = line
        self._take("]]" if is_element else "]")
        return path

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        path = table
        for key in self._keys():
            path += (key,)
            self.lines.setdefault(path, line)
        self._take("=")
        self._skip(_BLANK)
        self._value(path)

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._skip(_BLANK)
            keys.append(self._key())
            self._skip(_BLANK)
            if not self._peek("."):
                return keys
            self._take(".")

    def _key(self) -> str:
        for quoted in _STRINGS[2:]:
            if match := quoted.match(self._text, self._at):
                self._at = match.end()
                return str(tomllib.loads(f"key = {match[0]}")["key"])
        return self._match(_BARE_KEY)

    def _value(self, path: KeyPath) -> None:
        if self._peek("["):
            self._array(path)
        elif self._peek("{"):
            self._inline_table(path)
        else:
            for string in _STRINGS:
                if match := string.match(self._text, self._at):
                    self._at = match.end()
                    return
            self._match(_OTHER_VALUE)

    def _array(self, path: KeyPath) -> None:
        self._take("[")
        position = 0
        while True:
            self._skip(_BLANK_LINES)
            if self._peek("]"):
                self._take("]")
                return
            self.lines[(*path, position)] = self._line()
            self._value((*path, position))
            position += 1
            self._skip(_BLANK_LINES)
            if self._peek(","):
                self._take(",")

    def _inline_table(self, path: KeyPath) -> None:
        self._take("{")
        while True:
            self._skip(_BLANK_LINES)
            if self._peek("}"):
                self._take("}")
                return
            self._pair(path)
            self._skip(_BLANK_LINES)
            if self._peek(","):
                self._take(",")

    def _line(self) -> int:
        return bisect_right(self._newlines, self._at) + 1

    def _peek(self, token: str) -> bool:
        return self._text.startswith(token, self._at)

    def _take(self, token: str) -> None:
        if not self._peek(token):
            raise _Unreadable
        self._at += len(token)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        if match := pattern.match(self._text, self._at):
            self._at = match.end()

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise _Unreadable
        self._at = match.end()
        return match[0]
