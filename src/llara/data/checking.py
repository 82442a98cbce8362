"""Checking a dataset folder: everything that is wrong with it, and what a reader of its results should know."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import polars.selectors as cs

from llara.data.catalog import item_order
from llara.data.folder import Dataset, load_dataset
from llara.data.negatives import FloatArray
from llara.data.sequences import IntArray
from llara.errors import DataError

_ID_ORDER_SHARE = 0.9
_ID_LIKE_SHARE = 0.9
_YEAR_2100 = 4_102_444_800


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Attributes:
        level: "error": the folder cannot be used; "warning": it can, but results may not mean what they seem to.
        message: What, where, and what to do.
    """

    level: Literal["error", "warning"]
    message: str


def check_dataset(folder: Path | str) -> list[Finding]:
    """Check a dataset folder.

    Returns:
        The error that keeps it from being read, or warnings, or nothing at all.
    """
    try:
        dataset = load_dataset(folder)
    except DataError as error:
        return [Finding("error", str(error))]
    messages = [*_catalog_warnings(dataset), *_time_warnings(dataset), *_history_warnings(dataset)]
    return [Finding("warning", message) for message in messages]


def _catalog_warnings(dataset: Dataset) -> Iterator[str]:
    titles = dataset.catalog.titles[1:]
    repeated = len(titles) - len(set(titles))
    if repeated:
        yield (
            f"{repeated:,} titles belong to more than one item. Answers are compared by item, so nothing breaks, but "
            "text alone cannot tell these items apart; metadata in the item text can."
        )
    used = len(np.unique(dataset.log.sequences.items))
    if used < len(titles):
        yield (
            f"{len(titles) - used:,} of {len(titles):,} items have no interaction. As negatives they are easy to tell "
            "from targets."
        )
    if len(titles) < 40:
        yield f"the catalog has {len(titles)} items only; 20 candidates need at least 19 that a user has not seen."


def _time_warnings(dataset: Dataset) -> Iterator[str]:
    if dataset.info.origin.get("timestamps") == "positions":
        return
    times, offsets = dataset.log.timestamps, dataset.log.sequences.offsets
    if times.max() > _YEAR_2100:
        yield f"the latest timestamp, {times.max()}, is after the year 2100 in seconds. Are these milliseconds?"
    if times.min() < 0:
        yield f"the earliest timestamp, {times.min()}, is before 1970."
    within = _neighbors(offsets)
    ties = times[within] == times[within + 1]
    if len(within) and ties.mean() > 0.5:
        yield (
            f"{ties.mean():.0%} of neighboring interactions of a user have the same time, so the file's order decides. "
            "Histories are in time order only as far as that order is."
        )


def _history_warnings(dataset: Dataset) -> Iterator[str]:
    sequences = dataset.log.sequences
    short = int((sequences.lengths <= 3).sum())
    if short:
        yield f"{short:,} of {len(sequences):,} users have at most 3 interactions and give no row with 3 earlier items."
    within = _neighbors(sequences.offsets)
    for name, place in _item_orders(dataset):
        rising = place[sequences.items[within]] < place[sequences.items[within + 1]]
        share = max(rising.mean(), 1 - rising.mean()) if len(within) else 0.0
        if share > _ID_ORDER_SHARE:
            yield (
                f"{share:.1%} of neighboring interactions of a user follow the order of {name}: histories are ordered "
                "by item, not by time. A model that sees that order can guess targets; import the log with real times."
            )


def _item_orders(dataset: Dataset) -> Iterator[tuple[str, FloatArray]]:
    """Orders of the items that say nothing about time, each as a place per item index."""
    file_row = item_order(dataset.catalog.num_items, seed=0).astype(np.float64)
    yield "the items file", np.concatenate([[-1.0], file_row])
    for column in dataset.catalog.metadata.select(cs.integer()):
        if column.n_unique() > _ID_LIKE_SHARE * len(column):
            yield f"items column {column.name!r}", np.concatenate([[-1.0], column.cast(pl.Float64).to_numpy()])


def _neighbors(offsets: IntArray) -> IntArray:
    """Positions whose next position belongs to the same user."""
    is_last = np.zeros(offsets[-1], dtype=bool)
    is_last[offsets[1:] - 1] = True
    return np.flatnonzero(~is_last)
