"""What the agent says of itself after a fault: its books, its files and its bill must be true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.faults.spending import Spending


def judge(answer: Callable[..., dict[str, Any]], spending: Spending) -> None:
    """`answer`: a verb of `brain` with --json. Raises AssertionError for what cannot be."""
    audit, verify = answer("audit"), answer("outbox", "verify")
    terms = (audit["acknowledged"], audit["queued"], audit["dropped"])
    assert audit["accepted"] == sum(terms) and audit["balanced"], audit
    assert not audit["gaps"], audit
    assert verify["sound"], verify
    spending.hear(answer("budget"))
    assert not spending.wrong, spending.wrong
