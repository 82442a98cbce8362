"""Checking a dataset folder: what is wrong with it, and what in it is unusual. Leaks are looked for in `leakage`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from llara.data.folder import Dataset, load_dataset
from llara.errors import DataError
from llara.leakage.items import neighbors

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
    return check_loaded(dataset)


def check_loaded(dataset: Dataset) -> list[Finding]:
    """Check a data set that could be read: warnings, or nothing at all."""
    messages = [*_catalog_warnings(dataset), *_time_warnings(dataset), *_history_warnings(dataset)]
    return [Finding("warning", message) for message in messages]


def _catalog_warnings(dataset: Dataset) -> Iterator[str]:
    titles = dataset.catalog.titles[1:]
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
    within = neighbors(offsets)
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
