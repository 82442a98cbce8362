"""Evaluation rows that have a twin among the training rows."""

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llara.data import Dataset, Examples, Split, SplitConfig, split_dataset
from llara.leakage import twins as module
from llara.leakage.twins import twins

if TYPE_CHECKING:
    from tests.leakage.conftest import Build, Check

Row = tuple[list[int], int]


def examples(rows: list[Row], width: int = 5) -> Examples:
    history = np.zeros((len(rows), width), dtype=np.int64)
    for place, (items, _) in enumerate(rows):
        history[place, : len(items)] = items
    lengths = np.array([len(items) for items, _ in rows], dtype=np.int64)
    targets = np.array([target for _, target in rows], dtype=np.int64)
    return Examples(history, lengths, targets, np.arange(len(rows)))


def are_twins(one: Row, other: Row) -> tuple[bool, bool]:
    """Exact, and exact or near, as a person would say it."""
    if one[1] != other[1]:
        return False, False
    mine, theirs = Counter(one[0]), Counter(other[0])
    missing, added = (mine - theirs).total(), (theirs - mine).total()
    return missing == added == 0, missing <= 1 and added <= 1


rows = st.lists(st.tuples(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.integers(1, 3)), max_size=8)


@given(rows.filter(bool), rows)
def test_twins_are_those_that_a_pairwise_comparison_finds(judged: list[Row], training: list[Row]) -> None:
    exact, near = twins(examples(judged), examples(training), num_items=5)
    pairs = [[are_twins(one, other) for other in training] for one in judged]
    assert exact.tolist() == [any(pair[0] for pair in row) for row in pairs]
    assert near.tolist() == [any(pair[1] for pair in row) for row in pairs]


def test_training_rows_are_looked_through_in_blocks(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = twins(split.train, split.train, num_items=150)
    assert whole[0].all()
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 7)
    blocked = twins(split.train.select(np.arange(50)), split.train, num_items=150)
    assert blocked[0].all()


def with_copies(split: Split, count: int, *, changed: int) -> Split:
    """The training rows, and `count` test rows among them of which the first `changed` items are others."""
    copies = split.test.select(np.arange(count))
    history = copies.history.copy()
    history[:, :changed] = 1 + (history[:, :changed] + 70) % 150
    train = Examples(
        np.concatenate([split.train.history, history]),
        np.concatenate([split.train.history_length, copies.history_length]),
        np.concatenate([split.train.target, copies.target]),
        np.concatenate([split.train.user_index, copies.user_index]),
    )
    return replace(split, train=train)


@pytest.mark.parametrize(
    ("count", "changed", "level"),
    [(20, 0, "leak"), (3, 0, "leak"), (2, 0, "note"), (20, 1, "leak"), (2, 1, "note"), (20, 2, "ok")],
)
def test_copies_of_test_rows_in_training_are_found(
    check: "Check", clean: Dataset, split: Split, *, count: int, changed: int, level: str
) -> None:
    found = check("near-duplicate-rows", clean, with_copies(split, count, changed=changed))
    assert found.level == level
    assert found.numbers["rows"] == 20
    assert found.numbers["exact"] == (count if changed == 0 else 0)
    assert found.numbers["exact_or_near"] == (count if changed <= 1 else 0)


@pytest.mark.parametrize(("changed", "level"), [(0, "leak"), (1, "note")])
def test_exact_copies_weigh_more_than_near_ones(check: "Check", clean: Dataset, changed: int, level: str) -> None:
    split = split_dataset(clean, SplitConfig(method="leave-one-out"))
    found = check("near-duplicate-rows", clean, with_copies(split, 4, changed=changed))
    assert (found.level, found.numbers["rows"], found.numbers["exact_or_near"]) == (level, 200, 4)


def test_the_order_of_the_history_does_not_matter(check: "Check", clean: Dataset, split: Split) -> None:
    copied = with_copies(split, 20, changed=0)
    backwards = replace(split, train=replace(copied.train, history=copied.train.history[:, ::-1].copy()))
    assert check("near-duplicate-rows", clean, backwards).numbers["exact"] == 20


def test_short_histories_are_not_compared(check: "Check", clean: Dataset, split: Split) -> None:
    short = replace(split, test=replace(split.test, history_length=np.full(20, 2)))
    assert check("near-duplicate-rows", clean, with_copies(short, 20, changed=0)).numbers["rows"] == 0


def test_twins_by_chance_are_no_leak(check: "Check", build: "Build") -> None:
    """Independent choices of six items, two of them popular: histories repeat, but tell nothing about the target."""
    rng = np.random.default_rng(0)
    chosen = rng.choice(np.arange(1000, 1006), size=(1500, 4), p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.05])
    users, places = np.indices(chosen.shape).reshape(2, -1)
    log = pl.DataFrame({"user_id": users, "item_id": chosen.ravel(), "timestamp": users * 10 + places})
    found = check("near-duplicate-rows", build(log), candidates=[])
    assert found.level == "note"
    assert found.numbers["exact"] > 100  # type: ignore[operator]


def test_many_rows_are_thinned(check: "Check", clean: Dataset, split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_ROWS", 6)
    assert check("near-duplicate-rows", clean, split).numbers["rows"] == 6
