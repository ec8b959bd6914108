"""The agent with a store that never waits for the disk: what a power-cut test must find."""

import sqlite3
from typing import Any

from agent.store import schema

_connect = schema.connect


def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
    """As the store opens its file, then without any fsync."""
    db = _connect(*arguments, **options)
    db.execute("PRAGMA synchronous = OFF")
    return db


schema.connect = connect
