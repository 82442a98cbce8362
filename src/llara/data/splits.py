"""Splits: which interactions are learned from, and which examples are validated and tested on."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from llara.data.examples import Examples, examples_at, last_examples, prefix_examples
from llara.data.folder import Dataset
from llara.data.limits import InnerRatio, NonNegativeInt, PositiveInt, check_limits
from llara.data.log import InteractionLog
from llara.data.released_rows import ReleasedRows
from llara.data.sequences import IntArray, Sequences
from llara.errors import ConfigError, DataError

SplitMethod = Literal["users", "leave-one-out", "time", "rows"]


@dataclass(frozen=True)
class Split:
    """Examples to learn from and to be judged on.

    Attributes:
        name: The method that made it.
        train_sequences: All that a model may learn from, one sequence per training user, oldest first.
        train: Every prefix of the training sequences that has a long enough history.
        validation: At most one row per user.
        test: At most one row per user.
    """

    name: str
    train_sequences: Sequences
    train: Examples
    validation: Examples
    test: Examples


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """How a data set is split."""

    method: SplitMethod = "users"
    """"users": the paper's, by user; "leave-one-out": the last two items of each user; "time": two global cutoffs;
    "rows": the rows that came with the data set, as they are."""
    history_length: PositiveInt = 10
    """Items of the history that are visible, >= 1."""
    min_history: NonNegativeInt = 3
    """Rows with fewer earlier items are dropped, in [0, history_length]."""
    train_until: InnerRatio = 0.8
    """Share of the users ("users") or of the interactions in time order ("time") that ends the training part."""
    validation_until: InnerRatio = 0.9
    """Share that ends the validation part; the rest is the test part."""

    def __post_init__(self) -> None:
        check_limits(self, "data.split")
        if self.min_history > self.history_length:
            raise ConfigError(
                f"data.split.min_history must be in [0, history_length = {self.history_length}], got {self.min_history}"
            )
        if self.train_until >= self.validation_until:
            raise ConfigError(
                "data.split.train_until and data.split.validation_until must rise within (0, 1), "
                f"got {self.train_until} and {self.validation_until}"
            )


def split_dataset(dataset: Dataset, config: SplitConfig) -> Split:
    """Split a data set by the configured method.

    Raises:
        ConfigError: If the method needs rows or times that the data set does not have.
        DataError: If a part of the split is empty.
    """
    if config.method == "rows":
        if dataset.rows is None:
            raise ConfigError(
                f"data.split.method 'rows' needs released rows, and data set {dataset.info.name!r} has none. "
                "Choose another method, or import rows with `llara data import-rows`."
            )
        return split_rows(dataset.rows, dataset.log, config)
    if config.method == "time":
        if not dataset.has_times:
            raise ConfigError(
                f"data.split.method 'time' needs real times, and data set {dataset.info.name!r} has an order only. "
                "Choose 'users' or 'leave-one-out', or import with a time column."
            )
        return split_by_time(dataset.log, config)
    return split_users(dataset.log, config) if config.method == "users" else split_leave_one_out(dataset.log, config)


def split_users(log: InteractionLog, config: SplitConfig) -> Split:
    """Split by user: the earliest users are learned from, the later ones are judged on by their last item.

    Source:
        LLaRA (arXiv:2312.02445): users by first interaction, 8:1:1, every prefix of a training user is a row, one row
        per validation and test user. Deviation: equal timestamps keep the file's order (the release's sort
        was unstable).
    """
    train_end, validation_end = (
        _floor_share(log.num_users, share) for share in (config.train_until, config.validation_until)
    )
    train, validation, test = (
        log.sequences.between(start, end)
        for start, end in ((0, train_end), (train_end, validation_end), (validation_end, log.num_users))
    )
    return _checked(
        Split(
            name="users",
            train_sequences=train,
            train=_prefixes(train, config),
            validation=_last(validation, config),
            test=_last(test, config),
        ),
        config,
    )


def split_leave_one_out(log: InteractionLog, config: SplitConfig) -> Split:
    """Split within users: the last item is the test target, the one before it the validation target.

    Users with fewer than three interactions are learned from as a whole.
    """
    sequences = log.sequences
    lengths = sequences.lengths
    kept = np.where(lengths >= 3, lengths - 2, lengths)
    train = _heads(sequences, kept)
    ends = sequences.offsets[1:][(lengths >= 3) & (lengths - 2 >= config.min_history)]
    test_ends = sequences.offsets[1:][(lengths >= 3) & (lengths - 1 >= config.min_history)]
    return _checked(
        Split(
            name="leave-one-out",
            train_sequences=train,
            train=_prefixes(train, config),
            validation=examples_at(sequences, ends - 2, history_length=config.history_length),
            test=examples_at(sequences, test_ends - 1, history_length=config.history_length),
        ),
        config,
    )


def split_by_time(log: InteractionLog, config: SplitConfig) -> Split:
    """Split at two moments for all users: nothing is learned from what happened after the first of them.

    A user's validation target is the first interaction between the two moments, the test target the first one after the
    second; the history is everything before it. Interactions at a cutoff itself belong to the later part.
    """
    first, second = _cutoffs(log, config)
    sequences = log.sequences
    before_first, before_second = (_count_before(log, moment) for moment in (first, second))
    train = _heads(sequences, before_first)
    validation = (before_first < before_second) & (before_first >= config.min_history)
    test = (before_second < sequences.lengths) & (before_second >= config.min_history)
    start = sequences.offsets[:-1]
    return _checked(
        Split(
            name="time",
            train_sequences=train,
            train=_prefixes(train, config),
            validation=examples_at(sequences, (start + before_first)[validation], history_length=config.history_length),
            test=examples_at(sequences, (start + before_second)[test], history_length=config.history_length),
        ),
        config,
    )


def split_rows(rows: ReleasedRows, log: InteractionLog, config: SplitConfig) -> Split:
    """Take released rows as they are; only rows with a short history are dropped.

    Args:
        rows: The released rows.
        log: The log that was rebuilt from them; its users behind training rows give the training sequences.
        config: `history_length` cuts longer histories to their latest items.
    """
    return _checked(
        Split(
            name="rows",
            train_sequences=log.sequences.select(np.unique(rows.train.user_index)),
            train=_cut(rows.train, config),
            validation=_cut(rows.validation, config),
            test=_cut(rows.test, config),
        ),
        config,
    )


def _floor_share(count: int, share: float) -> int:
    return int(np.floor(round(count * share, 6)))  # 0.7 * 10 is 6.999...


def _prefixes(sequences: Sequences, config: SplitConfig) -> Examples:
    return prefix_examples(sequences, history_length=config.history_length, min_history=config.min_history)


def _last(sequences: Sequences, config: SplitConfig) -> Examples:
    return last_examples(sequences, history_length=config.history_length, min_history=config.min_history)


def _heads(sequences: Sequences, kept: IntArray) -> Sequences:
    """The first `kept` items of each sequence; sequences of which nothing is kept are left out."""
    runs = np.stack([kept, sequences.lengths - kept], axis=1).ravel()
    keep = np.repeat(np.tile([True, False], len(sequences)), runs)
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(kept[kept > 0])])
    return Sequences(sequences.items[keep], offsets, sequences.user_index[kept > 0])


def _cutoffs(log: InteractionLog, config: SplitConfig) -> tuple[int, int]:
    """The times of the first interaction after the training part and of the first one after the validation part."""
    count = len(log.timestamps)
    places = [_floor_share(count, share) for share in (config.train_until, config.validation_until)]
    first, second = np.partition(log.timestamps, places)[places]
    return int(first), int(second)


def _count_before(log: InteractionLog, moment: int) -> IntArray:
    """How many interactions each user had before a moment, shape [users]."""
    earlier = np.zeros(len(log.timestamps) + 1, dtype=np.int64)
    np.cumsum(log.timestamps < moment, out=earlier[1:])
    return earlier[log.sequences.offsets[1:]] - earlier[log.sequences.offsets[:-1]]


def held_out_examples(
    log: InteractionLog,
    split: Split,
    config: SplitConfig,
    *,
    limit: int,
    part: Literal["validation", "test"] = "validation",
) -> Examples:
    """Dense rows: every position of the users of a held-out part, evenly thinned to `limit`.

    One row per user, as the protocol has it, is few: on MovieLens 94 rows, whose HR@1 has a standard error of 5 points.
    Where those users also train (leave-one-out, time), their earlier positions are not held out: the rows are those of
    the part, thinned likewise.

    Args:
        log: All interactions.
        split: Made from it by `config`.
        config: History lengths.
        limit: Most rows, >= 1.
        part: Which part's users.
    """
    examples = split.validation if part == "validation" else split.test
    rows = examples
    if split.name in ("users", "rows"):
        rows = _prefixes(log.sequences.select(np.unique(examples.user_index)), config)
    if len(rows) <= limit:
        return rows
    return rows.select(np.linspace(0, len(rows) - 1, limit).astype(np.int64))


def _cut(examples: Examples, config: SplitConfig) -> Examples:
    """Histories of exactly `history_length` columns, the latest items kept, too short ones dropped."""
    examples = examples.select(np.flatnonzero(examples.history_length >= config.min_history))
    length = np.minimum(examples.history_length, config.history_length)
    columns = np.arange(config.history_length)
    visible = columns < length[:, None]  # [N, L]
    source = np.where(visible, (examples.history_length - length)[:, None] + columns, 0)
    history = np.zeros(visible.shape, dtype=np.int64)
    if examples.history.shape[1]:
        history = np.where(visible, np.take_along_axis(examples.history, source, axis=1), 0)
    return Examples(history, length, examples.target, examples.user_index)


def _checked(split: Split, config: SplitConfig) -> Split:
    for part in ("train", "validation", "test"):
        if len(getattr(split, part)) == 0:
            raise DataError(
                f"the {split.name!r} split has no {part} rows: no user there has the {config.min_history} earlier "
                "items that data.split.min_history asks for. Use more data, a smaller min_history, or other cutoffs."
            )
    return split
