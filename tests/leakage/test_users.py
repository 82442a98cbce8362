"""Users in two parts, targets that were learned, training after the fact."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llara.data import (
    Dataset,
    Examples,
    InteractionLog,
    Sequences,
    Split,
    SplitConfig,
    examples_at,
    held_out_examples,
    split_dataset,
)
from llara.leakage import evidence as places
from llara.leakage.evidence import target_positions, training_positions

if TYPE_CHECKING:
    from tests.leakage.conftest import Build, Check


def of_users(rows: Examples, users: np.ndarray) -> Examples:
    return Examples(rows.history, rows.history_length, rows.target, users[: len(rows)])


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_user_in_two_parts_is_a_leak(check: "Check", clean: Dataset, split: Split, part: str) -> None:
    rows = getattr(split, part)
    users = rows.user_index.copy()
    users[:3] = split.train.user_index[[0, 50, 100]]
    changed: dict[str, Any] = {part: of_users(rows, users)}
    mixed = replace(split, **changed)
    found = check("shared-users", clean, mixed, candidates=[])
    assert found.level == "leak"
    assert found.numbers[f"training_{part}"] == len(set(users[:3].tolist()))
    assert found.numbers["validation_test"] == 0


def test_validation_users_in_the_test_part_are_a_leak(check: "Check", clean: Dataset, split: Split) -> None:
    mixed = replace(split, validation=split.test)
    found = check("shared-users", clean, mixed, candidates=[])
    assert (found.level, found.numbers["validation_test"]) == ("leak", 20)


def test_users_overlap_by_design_in_leave_one_out(check: "Check", clean: Dataset) -> None:
    found = check("shared-users", clean, "leave-one-out")
    assert found.level == "ok"
    assert "by design" in found.message


def released(origin: dict[str, object], build: "Build", log: pl.DataFrame, *, shared: bool) -> Dataset:
    """The clean log's first users as rows: train, validation, test; `shared`: one training user is tested as well."""
    users = log.group_by("user_id", maintain_order=True).agg("item_id")
    names = ["train"] * 180 + ["validation"] * 10 + ["test"] * 10
    rows = users.select(
        pl.Series("split", names),
        pl.when(pl.lit(shared) & (pl.col("user_id") == "u199"))
        .then(pl.lit("u0"))
        .otherwise(pl.col("user_id"))
        .alias("user_id"),
        pl.col("item_id").list.head(11).alias("history"),
        pl.col("item_id").list.last().alias("target"),
    )
    return build(log, origin=origin, rows=rows)


def test_released_rows_that_name_their_users_are_checked(check: "Check", build: "Build", log: pl.DataFrame) -> None:
    assert check("shared-users", released({}, build, log, shared=False), "rows").level == "ok"
    found = check("shared-users", released({}, build, log, shared=True), "rows")
    assert (found.level, found.numbers["training_test"]) == ("leak", 1)
    assert "1 in training and test" in found.message


def test_released_rows_without_users_cannot_be_cleared(check: "Check", build: "Build", log: pl.DataFrame) -> None:
    dataset = released({"timestamps": "positions"}, build, log, shared=False)
    found = check("shared-users", dataset, "rows")
    assert found.level == "warning"
    assert "name no users" in found.message


@pytest.mark.parametrize("method", ["users", "leave-one-out", "time"])
@pytest.mark.parametrize("dense", [False, True])
def test_own_splits_never_learn_a_target(check: "Check", clean: Dataset, method: str, dense: bool) -> None:
    config = SplitConfig(method=method)  # type: ignore[arg-type]
    split = split_dataset(clean, config)
    rows = held_out_examples(clean.log, split, config, limit=500, part="test") if dense else split.test
    found = check("own-future", clean, split, examples=rows)
    assert found.level == "ok"
    assert found.numbers == {"validation_rows": 0, "test_rows": 0, "rows": len(split.validation) + len(rows)}


def cut(sequences: Sequences, first: int, last: int) -> Sequences:
    rows = [row[first : len(row) - last].tolist() for row in sequences]
    return Sequences.from_lists(rows, sequences.user_index.tolist())


@pytest.mark.parametrize(
    ("first", "last", "validation", "test"),
    [(0, 0, 200, 200), (0, 1, 200, 0), (0, 2, 0, 0), (3, 2, 0, 0), (3, 1, 200, 0), (5, 0, 200, 200)],
)
def test_training_sequences_that_reach_a_target_are_a_leak(
    check: "Check", clean: Dataset, *, first: int, last: int, validation: int, test: int
) -> None:
    """Leave-one-out needs the last two items; `first`: sequences that are not the beginning of the user's."""
    split = split_dataset(clean, SplitConfig(method="leave-one-out"))
    longer = replace(split, train_sequences=cut(clean.log.sequences, first, last))
    found = check("own-future", clean, longer)
    assert (found.numbers["validation_rows"], found.numbers["test_rows"]) == (validation, test)
    assert found.level == ("leak" if validation or test else "ok")


def test_a_repeated_item_is_not_taken_for_the_target(check: "Check", build: "Build", log: pl.DataFrame) -> None:
    """The test target was also the user's first item, which may be learned from."""
    place = pl.int_range(pl.len()).over("user_id")
    first = pl.col("item_id").first().over("user_id")
    again = log.with_columns(item_id=pl.when(place == 11).then(first).otherwise(pl.col("item_id")))
    assert check("own-future", build(again), "leave-one-out").level == "ok"


sequences = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=7), min_size=1, max_size=5)


def log_of(rows: list[list[int]]) -> InteractionLog:
    made = Sequences.from_lists(rows)
    return InteractionLog(made, np.arange(len(made.items)), tuple(range(len(rows))))


@given(sequences, st.integers(0, 7), st.integers(1, 3))
def test_targets_are_found_where_the_history_leads_to_them(
    rows: list[list[int]], place: int, history_length: int
) -> None:
    log = log_of(rows)
    at = np.array([log.sequences.offsets[user] + min(place, len(row) - 1) for user, row in enumerate(rows)])
    examples = examples_at(log.sequences, at, history_length=history_length)
    found = target_positions(log, examples)
    for user, row in enumerate(rows):
        before = row[min(place, len(row) - 1) - 1] if at[user] > log.sequences.offsets[user] else None
        possible = [
            spot
            for spot in range(len(row))
            if row[spot] == examples.target[user] and (before is None or (spot > 0 and row[spot - 1] == before))
        ]
        assert found[user] == log.sequences.offsets[user] + possible[-1] >= at[user]


def test_long_logs_are_searched_in_pieces(clean: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    split = split_dataset(clean, SplitConfig(method="leave-one-out"))
    whole = target_positions(clean.log, split.test)
    assert whole.tolist() == (clean.log.sequences.offsets[1:] - 1).tolist()
    for cells, blocks in ((24, 100), (35, 100), (36, 67), (5, 200)):
        monkeypatch.setattr(places, "_CELLS_AT_ONCE", cells)
        assert len(places.blocks_of(clean.log.sequences.lengths)) == blocks
        assert target_positions(clean.log, split.test).tolist() == whole.tolist()


def test_a_target_that_its_user_never_had_is_not_found() -> None:
    log = log_of([[1, 2, 3]])
    strange = Examples(np.array([[2]]), np.array([1]), np.array([4]), np.array([0]))
    assert target_positions(log, strange).tolist() == [-1]


@given(sequences, st.randoms(use_true_random=False))
def test_training_interactions_are_found_in_the_log(rows: list[list[int]], random: "st.RandomLike") -> None:  # type: ignore[name-defined]
    log = log_of(rows)
    kept = [sorted(random.sample(range(len(row)), random.randint(1, len(row)))) for row in rows]
    training = Sequences.from_lists([[row[place] for place in places] for row, places in zip(rows, kept, strict=True)])
    found = training_positions(log, training)
    users = np.repeat(np.arange(len(rows)), training.lengths)
    assert (log.sequences.items[found] == training.items).all()
    assert (found >= log.sequences.offsets[users]).all()
    assert (found < log.sequences.offsets[users + 1]).all()
    assert len(set(found.tolist())) == len(found)
    latest = np.repeat(log.sequences.offsets[:-1], training.lengths) + [place for places in kept for place in places]
    assert (found <= latest).all()


def test_items_that_a_user_never_had_are_found_nowhere() -> None:
    log = log_of([[1, 2], [3]])
    training = Sequences.from_lists([[1, 3], [3, 3]])
    assert training_positions(log, training).tolist() == [0, -1, 2, -1]


def test_learning_from_after_the_cutoff_is_a_leak(check: "Check", clean: Dataset) -> None:
    split = split_dataset(clean, SplitConfig(method="time", min_history=0))
    assert check("future-training", clean, split).numbers == {"late_interactions": 0, "interactions": 1920}
    everything = replace(split, train_sequences=clean.log.sequences)
    found = check("future-training", clean, everything)
    assert (found.level, found.numbers["late_interactions"]) == ("leak", 480)


def test_the_share_of_later_training_is_counted_by_hand(check: "Check", build: "Build") -> None:
    """User u has an interaction every 10 s from second u on; users 7, 8 and 9 are judged at 47, 48 and 49.

    Of the 30 training interactions, the last ones of users 2, 3 and 4 happen at 48, 49 and 900.
    """
    rows = [(user, 1000 + user * 5 + place, user + 10 * place) for user in range(10) for place in range(5)]
    rows[14], rows[19], rows[24] = (2, 1014, 48), (3, 1019, 49), (4, 1024, 900)
    log = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    dataset = build(log)
    split = split_dataset(dataset, SplitConfig(method="users", train_until=0.6, validation_until=0.7))
    found = check("future-training", dataset, split)
    assert found.level == "note"
    assert found.numbers == {"later_than_earliest_target": 3 / 30, "later_than_median_target": 2 / 30}
    assert "6.67 % of the training interactions are later than the median target" in found.message


@pytest.mark.parametrize("origin", ["positions", "file order"])
def test_without_times_the_future_cannot_be_known(check: "Check", build: "Build", origin: str) -> None:
    found = check("future-training", build(origin={"timestamps": origin}))
    assert found.level == "warning"
    assert "cannot be known" in found.message
