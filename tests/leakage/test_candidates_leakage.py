"""Targets that stand out, negatives that are none, positions that tell the answer."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llara.data import CandidateSet, Dataset, Examples, Split, SplitConfig, sample_candidates, split_dataset
from llara.leakage import candidates as module

if TYPE_CHECKING:
    from tests.leakage.conftest import Check


@pytest.mark.parametrize(("count", "level"), [(0, "ok"), (1, "warning"), (2, "warning"), (3, "leak")])
def test_targets_in_the_visible_history_are_recognizable(
    check: "Check", clean: Dataset, count: int, level: str
) -> None:
    split = split_dataset(clean, SplitConfig(method="leave-one-out"))
    history = split.test.history.copy()
    history[:count, 4] = split.test.target[:count]
    repeated = replace(split, test=replace(split.test, history=history))
    found = check("target-in-history", clean, repeated, candidates=[])
    assert (found.level, found.numbers["repeated_targets"], found.numbers["rows"]) == (level, count, 200)


def paper_draws(rows: Examples, count: int) -> list[CandidateSet]:
    return [sample_candidates(rows, num_items=150, num_negatives=19, seed=1, draw=draw) for draw in range(count)]


def test_touched_negatives_are_counted(check: "Check", clean: Dataset) -> None:
    """Of 12 items, 10 are visible and one is the target: the first can be drawn as a negative."""
    split = split_dataset(clean, SplitConfig(method="leave-one-out"))
    sets = paper_draws(split.test, 3)
    found = check("touched-candidates", clean, split, candidates=sets)
    expected = sum(
        len(set(draw.items[row].tolist()) & set(clean.log.sequences[user].tolist()) - {target})
        for draw in sets
        for row, (user, target) in enumerate(zip(split.test.user_index, split.test.target.tolist(), strict=True))
    )
    assert expected > 0
    assert found.level == "note"
    assert found.numbers == {"touched_negatives": expected, "negatives": 3 * 200 * 19}
    assert "data.candidates.exclude=touched" in found.message


def test_a_part_of_many_negatives_is_counted(
    check: "Check", clean: Dataset, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_NEGATIVES", 200)
    found = check("touched-candidates", clean, split, candidates=paper_draws(split.test, 4))
    assert found.numbers["negatives"] == 8 * 19  # 10 sets at most: 2 rows of 4 draws


def rows_of(targets: np.ndarray) -> Examples:
    count = len(targets)
    return Examples(np.zeros((count, 3), np.int64), np.zeros(count, np.int64), targets, np.zeros(count, np.int64))


def position(columns: np.ndarray, targets: np.ndarray, num_candidates: int, clean: Dataset, check: "Check") -> str:
    """The level found for targets in given columns, shape [draws, N]."""
    sets = []
    for draw in columns:
        items = np.ones((len(targets), num_candidates), dtype=np.int64)
        items[np.arange(len(targets)), draw] = targets
        sets.append(CandidateSet(items, draw))
    return check("target-position", clean, "users", examples=rows_of(targets), candidates=sets).level


SIZES = [(95, 20, 20), (122, 20, 20), (1186, 1, 20), (1186, 5, 20), (4, 2, 5), (1, 1, 2), (943, 3, 2)]


@pytest.mark.parametrize(("rows", "draws", "candidates"), SIZES)
def test_our_own_draws_never_fail(check: "Check", clean: Dataset, rows: int, draws: int, candidates: int) -> None:
    for seed in range(40):
        targets = np.random.default_rng(seed).zipf(1.5, size=rows) % 150 + 1
        sets = [
            sample_candidates(rows_of(targets), num_items=150, num_negatives=candidates - 1, seed=seed, draw=draw)
            for draw in range(draws)
        ]
        found = check("target-position", clean, "users", examples=rows_of(targets), candidates=sets)
        assert found.level == "ok", (seed, found.message)


@pytest.mark.parametrize(("rows", "draws"), [(95, 20), (95, 3), (122, 20), (1186, 1)])
@pytest.mark.parametrize("per_draw", [False, True])
def test_a_shuffle_seeded_with_the_target_is_a_leak(
    check: "Check", clean: Dataset, rows: int, draws: int, per_draw: bool
) -> None:
    """As in the released data of a follow-up; `per_draw`: seeded with the draw as well, seen where targets repeat."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        targets = rng.integers(1, 40 if per_draw else 150, size=rows)
        column_of = rng.integers(20, size=(draws, 151))
        columns = column_of[:, targets] if per_draw else np.tile(column_of[0, targets], (draws, 1))
        assert position(columns, targets, 20, clean, check) == "leak"


def test_a_target_that_always_stands_in_the_same_places_is_a_leak(check: "Check", clean: Dataset) -> None:
    targets = np.arange(1, 96)
    rng = np.random.default_rng(0)
    first = np.zeros((1, 95), dtype=np.int64)
    assert position(first, targets, 20, clean, check) == "leak"
    upper_half = rng.integers(10, size=(20, 95))
    assert position(upper_half, targets, 20, clean, check) == "leak"
    never_last = rng.integers(19, size=(20, 95))
    assert position(never_last, targets, 20, clean, check) == "leak"
    anywhere = rng.integers(20, size=(20, 95))
    assert position(anywhere, targets, 20, clean, check) == "ok"


def test_numbers_of_the_position_check_by_hand(check: "Check", clean: Dataset) -> None:
    """Three sets with target 7 make one pair, four with target 9 make two."""
    targets = np.array([7, 9, 7, 9, 9, 7, 9])
    columns = np.array([[0, 1, 0, 1, 2, 3, 2]])
    sets = [CandidateSet(np.where(np.arange(4) == columns[0][:, None], targets[:, None], 1), columns[0])]
    numbers = check("target-position", clean, "users", examples=rows_of(targets), candidates=sets).numbers
    assert (numbers["pairs"], numbers["matches"]) == (3, 3)
    assert numbers["p_independent"] == pytest.approx(1 / 64)
    assert (numbers["most_in_a_column"], numbers["least_in_a_column"]) == (2, 1)
