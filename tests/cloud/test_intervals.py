"""The interval set does what a set of numbers does."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.intervals import Growth, IntervalSet, Range, coalesced, merged

SMALL = st.tuples(st.integers(1, 60), st.integers(0, 12)).map(lambda p: (p[0], p[0] + p[1]))


@pytest.mark.parametrize(
    ("adds", "want"),
    [
        ([(1, 1)], [(1, 1)]),
        ([(1, 2), (3, 4)], [(1, 4)]),  # touching
        ([(3, 4), (1, 2)], [(1, 4)]),
        ([(1, 2), (4, 5)], [(1, 2), (4, 5)]),
        ([(1, 2), (4, 5), (3, 3)], [(1, 5)]),
        ([(5, 9), (1, 20)], [(1, 20)]),
        ([(1, 20), (5, 9)], [(1, 20)]),
        ([(1, 2), (8, 9), (2, 8)], [(1, 9)]),
    ],
)
def test_adding(adds: list[tuple[int, int]], want: list[tuple[int, int]]) -> None:
    assert list(IntervalSet(adds)) == want


def test_growth_names_what_was_absorbed() -> None:
    of = IntervalSet([(1, 2), (5, 6), (20, 30)])
    assert of.add(3, 4) == Growth([Range(1, 2), Range(5, 6)], Range(1, 6))
    assert of.add(2, 5) is None
    with pytest.raises(ValueError, match=r"3\.\.2"):
        of.add(3, 2)


@given(st.lists(SMALL), SMALL)
def test_it_equals_a_set_of_numbers(adds: list[tuple[int, int]], asked: tuple[int, int]) -> None:
    of, model = IntervalSet(), set[int]()
    for first, last in adds:
        new = set(range(first, last + 1))
        before = {tuple(one) for one in of}
        growth = of.add(first, last)
        assert (growth is None) == (new <= model)
        model |= new
        if growth is not None:
            after = before - set(growth.absorbed) | {growth.merged}
            assert after == {tuple(one) for one in of}
    assert {n for first, last in of for n in range(first, last + 1)} == model
    found = list(of)
    assert all(b.first > a.last + 1 for a, b in itertools.pairwise(found))
    wanted = set(range(asked[0], asked[1] + 1))
    assert of.covers(*asked) == (wanted <= model)
    assert of.overlaps(*asked) == bool(wanted & model)
    missing = set(range(1, max(model, default=0) + 1)) - model
    assert {n for first, last in of.gaps() for n in range(first, last + 1)} == missing
    within = [n for first, last in of.within(*asked) for n in range(first, last + 1)]
    assert within == sorted(wanted - model)
    assert all(b.first > a.last + 1 for a, b in itertools.pairwise(of.within(*asked)))
    assert list(of) == merged(adds) == coalesced(model)
