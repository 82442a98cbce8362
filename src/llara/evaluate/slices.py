"""Results by how much behavior there is to learn from: where the target is rare, and where the history is short."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from llara.data import Examples, IntArray, Sequences
from llara.evaluate.model_result import ModelResult
from llara.evaluate.statistics import Interval, PairedTest, paired_test
from llara.recommender import FREQUENCY_EDGES


@dataclass(frozen=True)
class Slicing:
    """A number that rows are told apart by, and its buckets.

    Attributes:
        key: Its name in JSON.
        title: A heading, to be read after "HR@1" or another hit ratio.
        edges: Lowest value of each bucket, rising from 0; the last bucket has no upper end.
        all_buckets: Whether buckets above the largest value remain. Else the last one that is needed has no upper end:
            of histories of at most 10 items it is "10+", not "10-19".
    """

    key: str
    title: str
    edges: tuple[int, ...]
    all_buckets: bool = True

    def buckets(self, values: IntArray) -> tuple["Bucket", ...]:
        """Buckets in which each value >= 0 has exactly one place, lowest first."""
        edges = self.edges if self.all_buckets else tuple(edge for edge in self.edges if edge <= values.max())
        highs = [*(edge - 1 for edge in edges[1:]), None]
        return tuple(Bucket(low, high) for low, high in zip(edges, highs, strict=True))


TARGET_COUNT = Slicing("target_count", "by how often the right item occurs in training", (0, *FREQUENCY_EDGES))
HISTORY_LENGTH = Slicing(
    "history_length", "by how many earlier items the models read", (0, 1, 3, 6, 10, 20, 50), all_buckets=False
)
SLICINGS = {slicing.key: slicing for slicing in (TARGET_COUNT, HISTORY_LENGTH)}
"""What every table is split by, by key."""


@dataclass(frozen=True)
class Bucket:
    """The values from `low` to `high`, both included; None: no upper end."""

    low: int
    high: int | None

    @property
    def label(self) -> str:
        """Such as "0", "1-4" or "100+"."""
        if self.high is None:
            return f"{self.low}+"
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"

    def holds(self, values: IntArray) -> IntArray:
        """Where the values that lie in it are."""
        return np.flatnonzero((values >= self.low) & (values <= (np.inf if self.high is None else self.high)))


@dataclass(frozen=True)
class SlicedModel:
    """What one model achieved on the rows of a slice.

    Attributes:
        name: As in the table of all rows.
        hit_ratio: HR@cutoff, draws averaged.
        interval: Of it, as in the table of all rows; None where the users say nothing about others.
        versus_baseline: Paired test of it on these rows; None for the baseline, or without one.
    """

    name: str
    hit_ratio: float
    interval: Interval | None
    versus_baseline: PairedTest | None


@dataclass(frozen=True)
class Slice:
    """The rows of one bucket.

    Attributes:
        bucket: Which values they have.
        rows: How many there are, >= 1.
        users: How many users they are of.
        models: In the order of the table of all rows.
    """

    bucket: Bucket
    rows: int
    users: int
    models: tuple[SlicedModel, ...]


@dataclass(frozen=True)
class SlicedResults:
    """All rows of a table in buckets.

    Attributes:
        slicing: What they are told apart by.
        slices: Those that hold a row, lowest values first.
        empty: Buckets that hold none.
        cutoff: The k of the hit ratio.
    """

    slicing: Slicing
    slices: tuple[Slice, ...]
    empty: tuple[Bucket, ...]
    cutoff: int = 1

    @property
    def title(self) -> str:
        """A heading, such as "HR@1 by how many earlier items the models read"."""
        return f"HR@{self.cutoff} {self.slicing.title}"

    def by_model(self) -> list[tuple[SlicedModel, ...]]:
        """Each model's numbers in all slices, in the order of the table of all rows."""
        return list(zip(*(one.models for one in self.slices), strict=True))

    def summary(self) -> dict[str, Any]:
        """Plain values, ready for `json.dumps`."""
        return {
            "by": self.slicing.key,
            "empty": [bucket.label for bucket in self.empty],
            "slices": [_slice_summary(one, f"hr@{self.cutoff}") for one in self.slices],
        }


def behavior_of(examples: Examples, train_sequences: Sequences | None = None) -> dict[str, IntArray]:
    """What rows are told apart by, by the key of its `Slicing`, each of shape [N].

    Args:
        examples: The rows; their histories are as long as the models read them.
        train_sequences: Where occurrences of targets are counted, as popularity counts them; None: they are unknown.
    """
    lengths = {HISTORY_LENGTH.key: examples.history_length}
    if train_sequences is None:
        return lengths
    counts = np.bincount(train_sequences.items, minlength=int(examples.target.max()) + 1)
    return {TARGET_COUNT.key: counts[examples.target], **lengths}


def slice_results(
    slicing: Slicing, values: IntArray, results: Sequence[ModelResult], *, baseline: str | None, level: float
) -> SlicedResults:
    """Split results of the same rows into buckets, each judged like the whole.

    Args:
        slicing: Its buckets.
        values: Of each row, >= 0, shape [N].
        results: One per model.
        baseline: Name of the result that the others are compared with, if any.
        level: Confidence of the intervals.
    """
    slices, empty = [], []
    for bucket in slicing.buckets(values):
        rows = bucket.holds(values)
        if len(rows):
            slices.append(_slice(bucket, [result.of_rows(rows) for result in results], baseline=baseline, level=level))
        else:
            empty.append(bucket)
    return SlicedResults(slicing, tuple(slices), tuple(empty), results[0].cutoff)


def _slice(bucket: Bucket, results: Sequence[ModelResult], *, baseline: str | None, level: float) -> Slice:
    hits = {result.name: result.row_hits() for result in results}
    users = results[0].users
    tests: Mapping[str, PairedTest] = {}
    if baseline is not None:
        others = [name for name in hits if name != baseline]
        tests = {name: paired_test(hits[name], hits[baseline], level=level, users=users) for name in others}
    models = tuple(
        SlicedModel(result.name, result.hit_ratio, result.hit_interval(level=level), tests.get(result.name))
        for result in results
    )
    return Slice(bucket, results[0].rows, results[0].num_users, models)


def _slice_summary(one: Slice, metric: str) -> dict[str, Any]:
    return {
        "bucket": one.bucket.label,
        "low": one.bucket.low,
        "high": one.bucket.high,
        "rows": one.rows,
        "users": one.users,
        "models": [_model_summary(model, metric) for model in one.models],
    }


def _model_summary(model: SlicedModel, metric: str) -> dict[str, Any]:
    interval, test = model.interval, model.versus_baseline
    return {
        "name": model.name,
        metric: model.hit_ratio,
        f"{metric}_interval": None if interval is None else asdict(interval),
        "versus_baseline": None if test is None else asdict(test),
    }
