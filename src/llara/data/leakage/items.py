"""Leaks in the catalog's titles and in the order of histories: what a data set gives away however it is split."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray

from llara.data.catalog import Catalog, item_order
from llara.data.folder import Dataset
from llara.data.leakage.finding import LeakageFinding, of, percent
from llara.data.leakage.hidden_order import order_agreement
from llara.data.sequences import IntArray

_ORDERED_SHARE = 0.9
_ID_LIKE_SHARE = 0.9
_FEWEST_PAIRS = 30
_SORTED_SHARE = 0.98

PlaceArray = NDArray[np.float64]


def check_duplicate_titles(dataset: Dataset) -> LeakageFinding:
    """Items that text alone cannot tell apart."""
    titles = dataset.catalog.titles[1:]
    repeated = len(titles) - len(set(titles))
    numbers = {"repeated_titles": repeated, "items": len(titles)}
    if repeated == 0:
        return LeakageFinding("duplicate-titles", "ok", "every item has a title of its own.", numbers)
    return LeakageFinding(
        "duplicate-titles",
        "warning",
        f"{of(repeated, len(titles))} items repeat the title of another one. Answers are compared by item, so nothing "
        "breaks, but text alone cannot tell these items apart; metadata in prompt.item_text can.",
        numbers,
    )


@dataclass(frozen=True)
class _Order:
    """How many neighbors in histories follow an order of the items, up or down."""

    name: str
    following: int
    pairs: int

    @property
    def share(self) -> float:
        return self.following / max(1, self.pairs)

    @property
    def is_a_leak(self) -> bool:
        return self.pairs >= _FEWEST_PAIRS and self.share > _ORDERED_SHARE


def check_item_order(dataset: Dataset, *, seed: int) -> LeakageFinding:
    """Histories that are sorted by item instead of by time, as a whole or wherever times are equal.

    Real histories rise and fall by the item's number about equally often: 50 to 54 % of the neighbors follow it in
    MovieLens, Steam, Amazon and Goodreads. In the released LastFM rows all of them follow the artist's number, and so
    do those of equal time, 88 %, in Last.fm's own events. More than 90 % is refused, which leaves room for catalogs
    that are numbered by date of release. Where no number shows the order, users who agree on it do: `order_agreement`
    above 98 % is refused as well.
    """
    sequences = dataset.log.sequences
    first = neighbors(sequences.offsets)
    tied = first[dataset.log.timestamps[first] == dataset.log.timestamps[first + 1]]
    orders = list(item_orders(dataset.catalog, seed=seed))
    whole = max((_follow(order, sequences.items, first) for order in orders), key=lambda found: found.share)
    ties = max((_follow(order, sequences.items, tied) for order in orders), key=lambda found: found.share)
    numbers: dict[str, object] = {"order": whole.name, "share": whole.share, "neighbors": whole.pairs}
    if ties.pairs:
        numbers |= {"tied_order": ties.name, "tied_share": ties.share, "tied_neighbors": ties.pairs}
    if whole.is_a_leak and whole.share >= ties.share:
        message = (
            f"{of(whole.following, whole.pairs)} neighboring interactions of a user follow the order of {whole.name}: "
            "histories are ordered by item, not by time. Who sees that order can guess targets, and results measure "
            "it. Import the log with real times."
        )
        return LeakageFinding("item-order", "leak", message, numbers)
    if ties.is_a_leak:
        message = (
            f"{of(ties.following, ties.pairs)} neighboring interactions of a user with equal times follow the order of "
            f"{ties.name}; they are {percent(ties.pairs / len(first))} of all neighbors. There, histories are ordered "
            "by item, and results measure that order. Import the log with --ties shuffle."
        )
        return LeakageFinding("item-order", "leak", message, numbers)
    agreeing, compared = order_agreement(sequences, num_items=dataset.catalog.num_items, seed=seed)
    numbers |= {"agreeing_share": agreeing / max(1, compared), "agreement_pairs": compared}
    if compared >= _FEWEST_PAIRS and agreeing > _SORTED_SHARE * compared:
        message = (
            f"users who have two items in common had them in the same order {of(agreeing, compared)} times: histories "
            "are sorted by something that the data set does not show, not by time. Who learns that order can guess "
            "targets, and results measure it. Import the log with real times; or allow this, if items can only be had "
            "in one order."
        )
        return LeakageFinding("item-order", "leak", message, numbers)
    message = f"no order of the items decides the order of histories (nearest: {whole.name}, {percent(whole.share)})."
    return LeakageFinding("item-order", "ok", message, numbers)


def item_orders(catalog: Catalog, *, seed: int) -> Iterator[tuple[str, PlaceArray]]:
    """Orders of the items that say nothing about time, each as a place per item index; NaN where an item has none."""
    padding = np.full(1, np.nan)
    yield "the items file", np.concatenate([padding, item_order(catalog.num_items, seed=seed).astype(np.float64)])
    yield "the item id", np.concatenate([padding, pl.Series(catalog.item_ids[1:]).rank("dense").to_numpy()])
    for column in catalog.metadata.select(cs.integer()):
        known = column.drop_nulls()
        if known.n_unique() > _ID_LIKE_SHARE * len(known):
            yield f"items column {column.name!r}", np.concatenate([padding, column.cast(pl.Float64).to_numpy()])


def _follow(order: tuple[str, PlaceArray], items: IntArray, first: IntArray) -> _Order:
    name, place = order
    one, other = place[items[first]], place[items[first + 1]]
    rising, falling = int((one < other).sum()), int((one > other).sum())  # equal and missing ones are neither
    return _Order(name, max(rising, falling), rising + falling)


def neighbors(offsets: IntArray) -> IntArray:
    """Positions whose next position belongs to the same user."""
    is_last = np.zeros(offsets[-1], dtype=bool)
    is_last[offsets[1:] - 1] = True
    return np.flatnonzero(~is_last)
