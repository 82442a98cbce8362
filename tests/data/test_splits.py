"""Splits, worked by hand and as properties."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llara.data import (
    Dataset,
    InteractionLog,
    Sequences,
    SplitConfig,
    import_log,
    load_dataset,
    split_by_time,
    split_dataset,
    split_leave_one_out,
    split_users,
)
from llara.errors import ConfigError, DataError


def log_of(rows: list[list[int]], times: list[list[int]] | None = None) -> InteractionLog:
    times = times or [[user * 1000 + place for place in range(len(row))] for user, row in enumerate(rows)]
    flat = np.array([moment for row in times for moment in row], dtype=np.int64)
    return InteractionLog(Sequences.from_lists(rows), flat, tuple(range(len(rows))))


@st.composite
def logs(draw: st.DrawFn) -> InteractionLog:
    rows = draw(st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=8), min_size=10, max_size=25))
    gaps = st.integers(0, 20)
    times = [np.cumsum([draw(gaps) for _ in row]).tolist() for row in rows]
    return log_of(rows, times)


ANY = SplitConfig(history_length=3, min_history=0)


def test_users_are_cut_at_eight_and_nine_tenths() -> None:
    split = split_users(log_of([[1, 2, 3, 4]] * 10), SplitConfig(min_history=3))
    assert split.train_sequences.user_index.tolist() == list(range(8))
    assert split.validation.user_index.tolist() == [8]
    assert split.test.user_index.tolist() == [9]
    assert split.train.history[0].tolist() == [1, 2, 3, 0, 0, 0, 0, 0, 0, 0]
    assert split.train.target.tolist() == [4] * 8


def test_every_prefix_of_a_training_user_is_a_row() -> None:
    split = split_users(log_of([[1, 2, 3, 4, 5]] * 10), SplitConfig(history_length=2, min_history=1))
    assert split.train.history[:4].tolist() == [[1, 0], [1, 2], [2, 3], [3, 4]]
    assert split.train.target[:4].tolist() == [2, 3, 4, 5]
    assert split.test.history.tolist() == [[3, 4]]


def test_leave_one_out_worked_by_hand() -> None:
    split = split_leave_one_out(
        log_of([[1, 2, 3, 4, 5], [6, 7], [8, 9, 1]]), SplitConfig(history_length=3, min_history=1)
    )
    assert [row.tolist() for row in split.train_sequences] == [[1, 2, 3], [6, 7], [8]]
    assert split.validation.target.tolist() == [4, 9]
    assert split.validation.history.tolist() == [[1, 2, 3], [8, 0, 0]]
    assert split.test.target.tolist() == [5, 1]
    assert split.test.history.tolist() == [[2, 3, 4], [8, 9, 0]]
    assert split.train.target.tolist() == [2, 3, 7]


def test_the_time_split_worked_by_hand() -> None:
    times = [[0, 1, 2, 3, 80], [4, 5, 6, 7, 95], [8, 9, 81, 96, 97]]
    log = log_of([[1, 2, 3, 4, 5], [1, 2, 3, 4, 6], [1, 2, 7, 8, 9]], times)
    split = split_by_time(log, SplitConfig(history_length=4, min_history=1, train_until=0.67, validation_until=0.8))
    assert [row.tolist() for row in split.train_sequences] == [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2]]
    assert split.validation.target.tolist() == [5, 7]
    assert split.validation.history.tolist() == [[1, 2, 3, 4], [1, 2, 0, 0]]
    assert split.test.target.tolist() == [6, 8]
    assert split.test.history.tolist() == [[1, 2, 3, 4], [1, 2, 7, 0]]


@settings(max_examples=40)
@given(log=logs())
def test_the_users_split_is_disjoint_and_complete(log: InteractionLog) -> None:
    split = split_users(log, ANY)
    parts = [split.train_sequences.user_index, split.validation.user_index, split.test.user_index]
    assert np.concatenate(parts).tolist() == list(range(log.num_users))
    assert len(split.train) == len(split.train_sequences.items)


@settings(max_examples=40)
@given(log=logs())
def test_leave_one_out_loses_no_interaction(log: InteractionLog) -> None:
    try:
        split = split_leave_one_out(log, ANY)
    except DataError:
        assert (log.sequences.lengths < 3).all()
        return
    assert len(split.train_sequences.items) + len(split.validation) + len(split.test) == len(log.sequences.items)


@settings(max_examples=40)
@given(log=logs())
def test_nothing_after_the_first_cutoff_is_learned_from(log: InteractionLog) -> None:
    try:
        split = split_by_time(log, ANY)
    except DataError:
        return
    first, second = (np.sort(log.timestamps)[int(len(log.timestamps) * share)] for share in (0.8, 0.9))
    assert len(split.train_sequences.items) == (log.timestamps < first).sum()
    for user in split.validation.user_index:
        times = log.timestamps[log.sequences.offsets[user] : log.sequences.offsets[user + 1]]
        assert ((times >= first) & (times < second)).any()
    for row, user in enumerate(split.test.user_index):
        times = log.timestamps[log.sequences.offsets[user] : log.sequences.offsets[user + 1]]
        assert split.test.target[row] == log.sequences[user][int((times < second).sum())]


def test_a_split_with_an_empty_part_says_what_to_do() -> None:
    with pytest.raises(DataError, match=r"'users' split has no train rows: .* 3 earlier items"):
        split_users(log_of([[1, 2]] * 10), SplitConfig())
    with pytest.raises(DataError, match="'time' split has no"):
        split_by_time(log_of([[1, 2]] * 10, [[0, 0]] * 10), ANY)
    with pytest.raises(DataError, match="'leave-one-out' split has no validation rows"):
        split_leave_one_out(log_of([[1, 2]] * 10), ANY)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"method": "user"}, "split.method must be one of users, leave-one-out, time, rows, got 'user'"),
        ({"history_length": 0}, "split.history_length"),
        ({"min_history": 11}, r"split.min_history must be in \[0, history_length = 10\]"),
        ({"train_until": 0.9}, "must rise within"),
        ({"validation_until": 1.0}, "must rise within"),
    ],
)
def test_settings_that_make_no_split_are_refused(fields: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SplitConfig(**fields)  # type: ignore[arg-type]


def test_every_method_is_dispatched(toy: Dataset) -> None:
    assert split_dataset(toy, SplitConfig()).name == "users"
    assert split_dataset(toy, SplitConfig(method="leave-one-out")).name == "leave-one-out"
    assert split_dataset(toy, SplitConfig(method="time", min_history=1)).name == "time"
    with pytest.raises(ConfigError, match=r"'rows' needs released rows, and data set 'toy' has none"):
        split_dataset(toy, SplitConfig(method="rows"))


def test_a_time_split_without_times_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    pl.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "title": ["A", "B"]}).write_csv(path)
    import_log(path, tmp_path / "out", time=None)
    with pytest.raises(ConfigError, match="'time' needs real times"):
        split_dataset(load_dataset(tmp_path / "out"), SplitConfig(method="time"))
