"""Candidate sets: who is in them, where the target sits, and what they depend on."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from llara.data import (
    CandidateConfig,
    CandidateSet,
    Dataset,
    Examples,
    Sequences,
    draw_candidates,
    popularity_weights,
    read_candidates,
    sample_candidates,
    write_candidates,
)
from llara.errors import ConfigError, DataError


def random_examples(count: int, num_items: int, *, length: int = 5, seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    history = rng.integers(1, num_items + 1, size=(count, length))
    lengths = rng.integers(0, length + 1, size=count)
    history[np.arange(length) >= lengths[:, None]] = 0
    return Examples(history, lengths, rng.integers(1, num_items + 1, size=count), rng.integers(0, 7, size=count))


def one_row(*, target: int, history: list[int], user: int = 0) -> Examples:
    return Examples(np.array([history], dtype=np.int64), np.array([len(history)]), np.array([target]), np.array([user]))


@given(
    num_items=st.integers(14, 60),
    num_negatives=st.integers(1, 6),
    seed_and_draw=st.tuples(st.integers(0, 2**40), st.integers(0, 50)),
    weighted=st.booleans(),
    touch=st.booleans(),
)
def test_a_row_holds_its_target_once_and_nothing_forbidden(
    num_items: int, num_negatives: int, seed_and_draw: tuple[int, int], weighted: bool, touch: bool
) -> None:
    seed, draw = seed_and_draw
    examples = random_examples(40, num_items, length=4, seed=seed % 1000)
    touched = Sequences.from_lists([[1, 2], [3]], user_index=[2, 5])
    weights = np.arange(num_items + 1, dtype=np.float64)
    candidates = sample_candidates(
        examples,
        num_items=num_items,
        num_negatives=num_negatives,
        seed=seed,
        draw=draw,
        weights=weights if weighted else None,
        touched=touched if touch else None,
    )
    assert candidates.items.shape == (40, num_negatives + 1)
    assert (candidates.items >= 1).all()
    assert (candidates.items <= num_items).all()
    for row, column in enumerate(candidates.target_column):
        items = candidates.items[row].tolist()
        assert len(set(items)) == len(items)
        assert items[column] == examples.target[row]
        negatives = set(items) - {examples.target[row]}
        assert not negatives & set(examples.history[row].tolist())
        if touch:
            assert not negatives & {2: {1, 2}, 5: {3}}.get(int(examples.user_index[row]), set())


@given(seed=st.integers(0, 1000), draw=st.integers(0, 9), subset=st.sets(st.integers(0, 59), min_size=1))
def test_a_rows_candidates_depend_on_its_number_alone(seed: int, draw: int, subset: set[int]) -> None:
    """Other rows, their order and the size of the batch change nothing, also where the stream runs dry."""
    examples = random_examples(60, 14, length=4)
    whole = sample_candidates(examples, num_items=14, num_negatives=9, seed=seed, draw=draw)
    rows = np.random.default_rng(seed).permutation(sorted(subset))
    part = sample_candidates(
        examples.select(rows), num_items=14, num_negatives=9, seed=seed, draw=draw, row_numbers=rows
    )
    assert (part.items == whole.items[rows]).all()
    assert (part.target_column == whole.target_column[rows]).all()


def test_draws_seeds_and_rows_differ() -> None:
    examples = one_row(target=5, history=[1, 2])
    sets = {
        sample_candidates(
            examples, num_items=1000, num_negatives=9, seed=seed, draw=draw, row_numbers=np.array([row])
        ).sha256
        for seed in range(3)
        for draw in range(3)
        for row in range(3)
    }
    assert len(sets) == 27


def test_the_targets_column_is_uniform_and_independent_of_the_target() -> None:
    targets = np.arange(20_000) % 10 + 1
    examples = Examples(
        np.zeros((20_000, 1), np.int64), np.zeros(20_000, np.int64), targets, np.zeros(20_000, np.int64)
    )
    columns = sample_candidates(examples, num_items=300, num_negatives=19, seed=1).target_column
    table = np.zeros((10, 20))
    np.add.at(table, (targets - 1, columns), 1)
    assert stats.chi2_contingency(table).pvalue > 0.001
    assert stats.chisquare(table.sum(axis=0)).pvalue > 0.001


@pytest.mark.parametrize("num_negatives", [1, 4, 19])
def test_the_targets_column_tells_nothing_about_the_negatives(num_negatives: int) -> None:
    rows, num_items = 6000, 1000
    candidates = sample_candidates(
        random_examples(rows, num_items), num_items=num_items, num_negatives=num_negatives, seed=3
    )
    is_negative = np.arange(num_negatives + 1) != candidates.target_column[:, None]
    negatives = candidates.items[is_negative].reshape(rows, num_negatives)
    told = np.corrcoef(candidates.target_column, negatives.mean(axis=1))[0, 1]
    assert abs(told) < 4 / np.sqrt(rows)  # .05; by chance once in 16,000


def test_the_column_stays_when_the_target_changes() -> None:
    columns = {
        int(
            sample_candidates(one_row(target=target, history=[]), num_items=99, num_negatives=19, seed=4).target_column[
                0
            ]
        )
        for target in range(1, 100)
    }
    assert len(columns) == 1


def test_uniform_negatives_are_uniform_over_the_unseen_items() -> None:
    row = one_row(target=3, history=[1, 2])
    examples = row.select(np.zeros(30_000, dtype=np.int64))
    candidates = sample_candidates(examples, num_items=40, num_negatives=3, seed=0)
    counts = np.bincount(candidates.items.ravel(), minlength=41)
    assert counts[[0, 1, 2]].tolist() == [0, 0, 0]
    assert counts[3] == 30_000
    assert stats.chisquare(counts[4:]).pvalue > 0.001


@pytest.mark.parametrize("num_negatives", [1, 2])
def test_popularity_draws_in_proportion_to_the_weights(num_negatives: int) -> None:
    """For one negative the shares are the weights; for two, those of drawing without replacement."""
    weights = np.array([0.0, 5.0, 1.0, 2.0, 3.0])
    examples = one_row(target=1, history=[]).select(np.zeros(40_000, dtype=np.int64))
    candidates = sample_candidates(examples, num_items=4, num_negatives=num_negatives, seed=2, weights=weights)
    shares = np.bincount(candidates.items.ravel(), minlength=5)[2:] / 40_000
    p = np.array([1.0, 2.0, 3.0]) / 6
    expected = p
    if num_negatives == 2:
        expected = p + sum(np.where(np.arange(3) == first, 0, p[first] * p / (1 - p[first])) for first in range(3))
    assert shares == pytest.approx(expected, abs=0.012)


def test_a_steep_popularity_is_completed_without_losing_the_weights() -> None:
    """Nearly all weight on one item: the rest is raced for, in proportion to what is left."""
    weights = np.array([0.0, 1e9, 1.0, 2.0, 3.0, 1e9])
    examples = one_row(target=5, history=[]).select(np.zeros(20_000, dtype=np.int64))
    candidates = sample_candidates(examples, num_items=5, num_negatives=2, seed=2, weights=weights)
    counts = np.bincount(candidates.items.ravel(), minlength=6)
    assert counts[1] == 20_000
    assert counts[2:5] / 20_000 == pytest.approx(np.array([1, 2, 3]) / 6, abs=0.012)


def test_exactly_enough_unseen_items_are_all_taken() -> None:
    candidates = sample_candidates(one_row(target=1, history=[2, 3]), num_items=22, num_negatives=19, seed=0)
    assert sorted(candidates.items[0].tolist()) == [1, *range(4, 23)]


def test_too_few_unseen_items_are_named_with_row_and_user() -> None:
    examples = one_row(target=1, history=[2, 3], user=7)
    with pytest.raises(DataError, match=r"row 42 \(user index 7\): 19 negatives .* only 18 of 21 items"):
        sample_candidates(examples, num_items=21, num_negatives=19, seed=0, row_numbers=np.array([42]))


def test_items_without_weight_are_never_drawn() -> None:
    with pytest.raises(DataError, match="only 1 of 3 items"):
        sample_candidates(
            one_row(target=1, history=[]), num_items=3, num_negatives=2, seed=0, weights=np.array([0.0, 1.0, 1.0, 0.0])
        )


@pytest.mark.parametrize("weights", [[0.0, 1.0], [1.0, 1.0, 1.0], [0.0, -1.0, 2.0], [0.0, 0.0, 0.0]])
def test_weights_that_do_not_fit_are_refused(weights: list[float]) -> None:
    with pytest.raises(DataError, match="item weights must be 3 numbers"):
        sample_candidates(
            one_row(target=1, history=[]), num_items=2, num_negatives=1, seed=0, weights=np.array(weights)
        )


def test_no_rows_give_no_candidates() -> None:
    empty = random_examples(0, 30)
    assert sample_candidates(empty, num_items=30, num_negatives=19, seed=0).items.shape == (0, 20)


def test_the_hash_depends_on_every_item_and_on_the_order() -> None:
    items, columns = np.array([[1, 2], [3, 4]]), np.array([0, 1])
    hashes = {
        CandidateSet(items, columns).sha256,
        CandidateSet(items[::-1], columns).sha256,
        CandidateSet(items, columns[::-1]).sha256,
        CandidateSet(items.reshape(1, 4), columns).sha256,
    }
    assert len(hashes) == 4
    assert CandidateSet(np.asfortranarray(items), columns).sha256 in hashes


def test_written_candidates_read_back_the_same(tmp_path: Path, toy: Dataset) -> None:
    examples = random_examples(10, 30)
    candidates = sample_candidates(examples, num_items=30, num_negatives=9, seed=0)
    path = tmp_path / "candidates" / "test-00.parquet"
    assert write_candidates(path, candidates, examples=examples, catalog=toy.catalog) == candidates.sha256
    again = read_candidates(path)
    assert (again.items == candidates.items).all()
    assert (again.target_column == candidates.target_column).all()
    frame = pl.read_parquet(path)
    assert frame["item_ids"][0].to_list() == [toy.catalog.item_ids[item] for item in candidates.items[0]]
    assert frame["user_index"].to_list() == examples.user_index.tolist()


def test_changed_or_foreign_candidate_files_are_refused(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path = tmp_path / "candidates.parquet"
    write_candidates(path, CandidateSet(np.array([[1, 2]]), np.array([0])))
    table = pq.read_table(path)
    changed = pl.DataFrame({"items": [[2, 1]], "target_column": [0]}).to_arrow()
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), path)
    with pytest.raises(DataError, match="was changed"):
        read_candidates(path)
    pl.DataFrame({"items": [[1]]}).write_parquet(path)
    with pytest.raises(DataError, match="holds no candidate sets"):
        read_candidates(path)


def test_configured_candidates_follow_popularity_and_what_was_touched(toy: Dataset) -> None:
    train = Sequences.from_lists([[1, 2, 3, 4, 5, 6], [1, 2]])
    touched = Sequences.from_lists([[3, 4]], user_index=[0])
    config = CandidateConfig(num_negatives=2, sampling="popularity", exclude="touched")
    candidates = draw_candidates(
        one_row(target=1, history=[2]), config, num_items=30, train_sequences=train, all_sequences=touched
    )
    assert sorted(candidates.items[0].tolist()) == [1, 5, 6]
    assert popularity_weights(train, num_items=7).tolist() == [0, 2, 2, 1, 1, 1, 1, 0]
    plain = draw_candidates(
        one_row(target=1, history=[2]), CandidateConfig(), num_items=30, train_sequences=train, all_sequences=touched
    )
    assert plain.items.shape == (1, 20)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_negatives": 0}, "candidates.num_negatives must be >= 1, got 0"),
        ({"draws": 0}, "candidates.draws"),
        ({"seed": -1}, "candidates.seed"),
        ({"sampling": "popular"}, "candidates.sampling must be one of uniform, popularity, got 'popular'"),
        ({"exclude": "all"}, "candidates.exclude"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CandidateConfig(**settings)  # type: ignore[arg-type]
