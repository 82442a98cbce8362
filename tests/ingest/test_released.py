"""Rows that somebody released become a dataset folder, kept as they are."""

from pathlib import Path

import polars as pl
import pytest

from llara.data import SplitConfig, load_dataset, split_dataset
from llara.errors import ConfigError, DataError
from llara.ingest import import_rows
from llara.leakage import check_leakage

ROWS = pl.DataFrame(
    {
        "split": ["train", "train", "train", "train", "train", "train", "val", "test"],
        "seq": [[9, 9], [0, 9], [0, 1], [1, 2], [9, 9], [4, 3], [5, 9], [6, 7]],
        "len_seq": [1, 1, 2, 2, 1, 2, 1, 2],
        "next": [0, 1, 2, 3, 4, 5, 6, 8],
    }
)


def imported_rows(
    tmp_path: Path, rows: pl.DataFrame, padding: int | None, split_names: dict[str, str] | None = None
) -> Path:
    rows.write_parquet(tmp_path / "rows.parquet")
    pl.DataFrame({"item_id": range(9), "title": list("abcdefghi")}).write_csv(tmp_path / "items.csv")
    import_rows(
        tmp_path / "rows.parquet",
        tmp_path / "x",
        items=tmp_path / "items.csv",
        padding=padding,
        split_names=split_names,
        force=True,
    )
    return tmp_path / "x"


def test_rows_that_continue_each_other_become_one_user(tmp_path: Path) -> None:
    dataset = load_dataset(imported_rows(tmp_path, ROWS, 9))
    sequences = {
        user: [dataset.catalog.item_ids[item] for item in dataset.log.sequences[index]]
        for index, user in enumerate(dataset.log.user_ids)
    }
    assert sequences == {
        "train-0001": [0, 1, 2, 3],
        "train-0002": [4],
        "train-0003": [4, 3, 5],
        "validation-0001": [5, 6],
        "test-0001": [6, 7, 8],
    }


def test_rows_are_read_in_their_order_with_their_true_lengths(tmp_path: Path) -> None:
    dataset = load_dataset(imported_rows(tmp_path, ROWS, 9))
    split = split_dataset(dataset, SplitConfig(method="rows", min_history=0, history_length=3))
    assert split.train.history_length.tolist() == [0, 1, 2, 2, 0, 2]
    assert [dataset.catalog.item_ids[item] for item in split.train.target] == [0, 1, 2, 3, 4, 5]
    assert split.train.history.shape == (6, 3)
    assert [dataset.log.user_ids[user] for user in split.train.user_index[2:5]] == ["train-0001"] * 2 + ["train-0002"]
    assert len(split.train_sequences) == 3
    short = split_dataset(dataset, SplitConfig(method="rows", min_history=1, history_length=1))
    assert [dataset.catalog.item_ids[item] for item in short.train.history[:, 0]] == [0, 1, 2, 3]


def test_lengths_stand_in_for_a_padding_identifier(tmp_path: Path) -> None:
    rows = ROWS.filter(pl.col("next").is_in([0, 4]).not_())
    split = split_dataset(load_dataset(imported_rows(tmp_path, rows, None)), SplitConfig(method="rows", min_history=1))
    assert split.validation.history_length.tolist() == [1]


NAMED_ROWS = pl.DataFrame(
    {
        "split": ["train", "train", "train", "validation", "test", "test"],
        "user_id": ["ann", "bob", "ann", "ann", "eve", "bob"],
        "history": [[0], [5], [0, 1], [0, 1, 2], [4, 6], [7, 8]],
        "target": [1, 6, 2, 3, 7, 2],
    }
)


def test_rows_that_name_their_users_are_put_together_by_user(tmp_path: Path) -> None:
    dataset = load_dataset(imported_rows(tmp_path, NAMED_ROWS, None))
    sequences = {
        user: [dataset.catalog.item_ids[item] for item in dataset.log.sequences[index]]
        for index, user in enumerate(dataset.log.user_ids)
    }
    assert sequences == {"ann": [0, 1, 2, 3], "bob": [5, 6, 7, 8, 2], "eve": [4, 6, 7]}
    split = split_dataset(dataset, SplitConfig(method="rows", min_history=1))
    assert [dataset.log.user_ids[user] for user in split.train.user_index] == ["ann", "bob", "ann"]
    found = {finding.name: finding for finding in check_leakage(dataset, split)}["shared-users"]
    assert found.level == "leak"
    assert found.numbers == {"training_validation": 1, "training_test": 1, "validation_test": 0}


def test_rows_whose_users_are_apart_leave_no_doubt_about_them(tmp_path: Path) -> None:
    rows = NAMED_ROWS.with_columns(user_id=pl.col("split") + pl.col("user_id"))
    dataset = load_dataset(imported_rows(tmp_path, rows, None))
    split = split_dataset(dataset, SplitConfig(method="rows", min_history=1))
    assert {finding.name: finding.level for finding in check_leakage(dataset, split)}["shared-users"] == "ok"


@pytest.mark.parametrize(
    ("change", "padding", "message"),
    [
        (ROWS.drop("len_seq"), None, r"history item 9 is not in the items file. .*pass it as --padding"),
        (ROWS.with_columns(split=pl.lit("dev")), 9, r"row 1: split 'dev' is none of train, .* --split-as dev=train"),
        (ROWS.with_columns(next=pl.lit(77)), 9, r"row 1: item 77 is not in the items file"),
        (ROWS.drop("next"), 9, r"has none of the columns target, next"),
        (ROWS.with_columns(seq=pl.lit(1)), 9, r"column 'seq' is Int32, expected a list"),
        (ROWS.with_columns(len_seq=pl.lit(2)), 9, r"row 1: len_seq says 2 items, the history has 0 beside the padding"),
        (ROWS, 8, r"row 1: len_seq says 1 items, the history has 2"),
        (ROWS.with_columns(seq=pl.lit([0.5])), None, r"rows.parquet row 1 \(history\): id 0.5 is not a whole number"),
        (ROWS.with_columns(seq=pl.lit([0, None])), None, r"rows.parquet row 1 \(history\): id is missing"),
        (ROWS.with_columns(len_seq=pl.lit(3)), None, r"row 1: len_seq says 3 items, the history has 2"),
        (ROWS.with_columns(len_seq=pl.lit(-1)), None, r"row 1: len_seq says -1 items, the history has 2"),
    ],
)
def test_broken_rows_are_named(tmp_path: Path, change: pl.DataFrame, padding: int | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        imported_rows(tmp_path, change, padding)


def test_other_names_of_splits_are_told(tmp_path: Path) -> None:
    rows = ROWS.with_columns(pl.col("split").replace("val", "dev"))
    folder = imported_rows(tmp_path, rows, 9, split_names={"dev": "validation"})
    assert len(split_dataset(load_dataset(folder), SplitConfig(method="rows", min_history=0)).validation) == 1
    with pytest.raises(ConfigError, match="--split-as dev=evaluation: expected train, validation or test"):
        imported_rows(tmp_path, rows, 9, split_names={"dev": "evaluation"})
