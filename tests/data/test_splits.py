"""Splits, worked by hand and as properties."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llara.data import (
    Dataset,
    Examples,
    InteractionLog,
    Sequences,
    SplitConfig,
    SplitMethod,
    load_dataset,
    split_by_time,
    split_dataset,
    split_leave_one_out,
    split_users,
)
from llara.errors import ConfigError, DataError
from llara.ingest import LogColumns, import_log


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


Row = tuple[int, list[int], int]
"""User index, visible history, target."""


def plain_split(
    log: InteractionLog, config: SplitConfig
) -> tuple[dict[int, list[int]], list[Row], list[Row], list[Row]]:
    """Training sequences and the rows of all parts, made as one would by hand."""
    train: dict[int, list[int]] = {}
    held_out: dict[str, list[tuple[int, int]]] = {"validation": [], "test": []}
    count = len(log.timestamps)
    moments = sorted(log.timestamps.tolist())
    first, second = moments[count * 8 // 10], moments[count * 9 // 10]
    for user in range(log.num_users):
        items = log.sequences[user].tolist()
        times = log.timestamps[log.sequences.offsets[user] : log.sequences.offsets[user + 1]].tolist()
        if config.method == "users":
            part = ("train", "validation", "test")[sum(user >= log.num_users * tenths // 10 for tenths in (8, 9))]
            kept, places = (len(items), {}) if part == "train" else (0, {part: len(items) - 1})
        elif config.method == "leave-one-out":
            long = len(items) >= 3
            kept, places = len(items) - 2 * long, {"validation": len(items) - 2, "test": len(items) - 1} if long else {}
        else:
            kept = sum(moment < first for moment in times)
            until_second = sum(moment < second for moment in times)
            places = {"validation": kept} if kept < until_second else {}
            places |= {"test": until_second} if until_second < len(items) else {}
        if kept:
            train[user] = items[:kept]
        for part, place in places.items():
            held_out[part].append((user, place))

    def rows(targets: list[tuple[int, int]]) -> list[Row]:
        whole = [(user, log.sequences[user].tolist(), place) for user, place in targets if place >= config.min_history]
        return [
            (user, items[max(0, place - config.history_length) : place], items[place]) for user, items, place in whole
        ]

    prefixes = [(user, place) for user, items in train.items() for place in range(len(items))]
    return train, rows(prefixes), rows(held_out["validation"]), rows(held_out["test"])


def rows_of(examples: Examples) -> list[Row]:
    assert (examples.history[np.arange(examples.history.shape[1]) >= examples.history_length[:, None]] == 0).all()
    users, targets = examples.user_index.tolist(), examples.target.tolist()
    return list(zip(users, examples.histories(), targets, strict=True))


@settings(max_examples=40)
@given(
    log=logs(),
    method=st.sampled_from(["users", "leave-one-out", "time"]),
    history_length=st.integers(1, 5),
    min_history=st.integers(0, 2),
)
def test_every_split_equals_a_plain_loop(
    log: InteractionLog, method: SplitMethod, history_length: int, min_history: int
) -> None:
    config = SplitConfig(method=method, history_length=history_length, min_history=min(min_history, history_length))
    split_by = {"users": split_users, "leave-one-out": split_leave_one_out, "time": split_by_time}[method]
    sequences, train, validation, test = plain_split(log, config)
    if not (train and validation and test):
        with pytest.raises(DataError, match=f"'{method}' split has no"):
            split_by(log, config)
        return
    split = split_by(log, config)
    found = dict(zip(split.train_sequences.user_index.tolist(), split.train_sequences, strict=True))
    assert {user: items.tolist() for user, items in found.items()} == sequences
    assert rows_of(split.train) == train
    assert rows_of(split.validation) == validation
    assert rows_of(split.test) == test
    assert split.train.history.shape == (len(train), history_length)
    assert {array.dtype for array in vars(split.train).values()} == {np.dtype(np.int64)}


@settings(max_examples=40)
@given(log=logs())
def test_leave_one_out_loses_nothing_and_keeps_the_order(log: InteractionLog) -> None:
    try:
        split = split_leave_one_out(log, ANY)
    except DataError:
        assert (log.sequences.lengths < 3).all()
        return
    sequences = split.train_sequences
    parts = {user: items.tolist() for user, items in zip(sequences.user_index, sequences, strict=True)}
    for examples in (split.validation, split.test):
        for user, target in zip(examples.user_index, examples.target, strict=True):
            parts[user].append(target)
    assert [parts[user] for user in range(log.num_users)] == [items.tolist() for items in log.sequences]


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
        ({"validation_until": 1.0}, r"validation_until must be in \(0, 1\), got 1.0"),
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
    import_log(path, tmp_path / "out", columns=LogColumns(time=None))
    with pytest.raises(ConfigError, match="'time' needs real times"):
        split_dataset(load_dataset(tmp_path / "out"), SplitConfig(method="time"))
