"""Describing a data set: counts, how long histories are, how popularity is spread."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llara.data.files import write_atomically
from llara.data.folder import Dataset
from llara.data.sequences import IntArray

QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


@dataclass(frozen=True)
class Distribution:
    """How a count is spread.

    Attributes:
        mean: Arithmetic mean.
        quantiles: Value at each of `QUANTILES`.
        edges: Rising bin edges, about evenly spaced on a logarithmic axis, shape [bins + 1].
        counts: How many values are in [edges[i], edges[i + 1]), shape [bins].
    """

    mean: float
    quantiles: dict[float, float]
    edges: tuple[int, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Description:
    """A data set in numbers.

    Attributes:
        name: Its name.
        noun: What an item is.
        num_users: Users with at least one interaction.
        num_items: Items of the catalog.
        num_interactions: All interactions.
        num_used_items: Items with at least one interaction.
        density: Interactions / (users * items).
        first_time: ISO date of the first interaction; None where times are positions or file order.
        last_time: ISO date of the last interaction, or None.
        history_length: Interactions per user.
        popularity: Interactions per item, over the items that have any.
        top_tenth_ratio: Share of the interactions that the most popular tenth of the used items has.
        num_rows: Released rows per part; None without released rows.
    """

    name: str
    noun: str
    num_users: int
    num_items: int
    num_interactions: int
    num_used_items: int
    density: float
    first_time: str | None
    last_time: str | None
    history_length: Distribution
    popularity: Distribution
    top_tenth_ratio: float
    num_rows: dict[str, int] | None


def describe_dataset(dataset: Dataset) -> Description:
    """Count users, items and interactions, and how they are spread."""
    log, num_items = dataset.log, dataset.catalog.num_items
    popularity = np.bincount(log.sequences.items, minlength=num_items + 1)[1:]
    used = np.sort(popularity[popularity > 0])[::-1]
    total = len(log.sequences.items)
    rows = dataset.rows
    return Description(
        name=dataset.info.name,
        noun=dataset.info.noun,
        num_users=log.num_users,
        num_items=num_items,
        num_interactions=total,
        num_used_items=len(used),
        density=total / (log.num_users * num_items),
        first_time=_date(int(log.timestamps.min())) if dataset.has_times else None,
        last_time=_date(int(log.timestamps.max())) if dataset.has_times else None,
        history_length=_distribution(log.sequences.lengths),
        popularity=_distribution(used),
        top_tenth_ratio=float(used[: max(1, len(used) // 10)].sum() / total),
        num_rows=None
        if rows is None
        else {"train": len(rows.train), "validation": len(rows.validation), "test": len(rows.test)},
    )


def plot_description(description: Description, path: Path) -> None:
    """Draw the two histograms, history lengths and popularity, as a PNG file."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (slow to import, needed by few)

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for axes, title, distribution, count in zip(
        figure.subplots(1, 2),
        ("Interactions per user", f"Interactions per {description.noun}"),
        (description.history_length, description.popularity),
        ("users", f"{description.noun}s"),
        strict=True,
    ):
        axes.stairs(distribution.counts, distribution.edges, fill=True)
        axes.set(title=title, xlabel="interactions", ylabel=count, xscale="log")
    figure.suptitle(f"{description.name}: {description.num_interactions:,} interactions")
    write_atomically(path, lambda partial: figure.savefig(partial, format="png", dpi=120))


def _distribution(values: IntArray) -> Distribution:
    edges = _log_edges(int(values.min()), int(values.max()))
    counts, _ = np.histogram(values, bins=edges)
    quantiles = {q: float(np.quantile(values, q)) for q in QUANTILES}
    return Distribution(float(values.mean()), quantiles, tuple(edges.tolist()), tuple(counts.tolist()))


def _log_edges(least: int, most: int, bins: int = 20) -> NDArray[np.int64]:
    """Distinct integer edges from `least` to one beyond `most`."""
    return np.unique(np.round(np.geomspace(least, most + 1, bins + 1)).astype(np.int64))


def _date(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return f"{seconds} s"
