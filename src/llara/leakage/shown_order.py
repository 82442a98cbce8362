"""Orders of the items that a data set shows, and how far histories follow them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from llara.data.catalog import Catalog, item_order
from llara.data.sequences import IntArray

_ORDERED_SHARE = 0.9
_FEWEST_PAIRS = 30
_FEWEST_CHANGES = 5
_KNOWN_SHARE = 0.5
_DIFFERENT_SHARE = 0.9

PlaceArray = NDArray[np.int32]
"""A place per item index, 0-based; -1 where an item, or padding, has none."""


@dataclass(frozen=True)
class Order:
    """How many neighbors in histories follow an order of the items, up or down.

    Attributes:
        name: What the items are ordered by.
        following: Neighbors that go its more frequent way.
        pairs: Neighbors that go either way.
        known_ratio: Share of the neighbors that both have a place, which may be the same.
        changes: Neighbors that go either way, per history.
        has_many_values: Whether two items mostly have different places.
    """

    name: str
    following: int
    pairs: int
    known_ratio: float
    changes: float
    has_many_values: bool

    @property
    def share(self) -> float:
        """Neighbors that follow, of those that go either way."""
        return self.following / max(1, self.pairs)

    @property
    def is_telling(self) -> bool:
        """Whether there is enough to say that whole histories have this order.

        Who goes from easy to hard items, or from one decade to the next, changes so seldom that this is no order of the
        history; nor is that of a column which few items have.
        """
        often = self.has_many_values or self.changes >= _FEWEST_CHANGES
        return often and self.pairs >= _FEWEST_PAIRS and self.known_ratio >= _KNOWN_SHARE

    @property
    def is_a_leak(self) -> bool:
        """Whether so many follow that the order must have been made."""
        return self.is_telling and self.share > _ORDERED_SHARE


def nearest_orders(
    catalog: Catalog, items: IntArray, *, first: IntArray, tied: IntArray, seed: int
) -> tuple[Order, Order]:
    """The order of the items that most neighbors in histories follow, and that which most of equal time follow.

    Args:
        catalog: Gives the orders.
        items: Item indices of all histories, one after the other, shape [N].
        first: Positions whose next position belongs to the same user.
        tied: Those of them whose next position has the same time. There, also a few changes in one order are odd.
        seed: The one that the catalog was numbered with.
    """
    found: list[tuple[Order, Order]] = []
    histories, runs = (1 + int((np.diff(which) > 1).sum()) for which in (first, tied))
    for name, place in item_orders(catalog, seed=seed):
        many, placed = _mostly_differs(place), place[items]
        whole = _follow(name, placed, first, histories=histories, many=many)
        found.append((whole, _follow(name, placed, tied, histories=runs, many=True)))
    for_histories, for_ties = zip(*found, strict=True)
    return max(for_histories, key=_rank), max(for_ties, key=_rank)


def _rank(order: Order) -> tuple[bool, bool, float]:
    """What to report first: a leak, then an order that says something of whole histories, then the nearest."""
    return order.is_a_leak, order.is_telling, order.share


def item_orders(catalog: Catalog, *, seed: int) -> Iterator[tuple[str, PlaceArray]]:
    """Orders of the items that say nothing about time: of the file, ids, titles and metadata."""
    yield "the items file", _places(pl.Series(item_order(catalog.num_items, seed=seed)))
    yield "the item id", _places(pl.Series(catalog.item_ids[1:]))
    yield "the title", _places(pl.Series(catalog.titles[1:]))
    for column in catalog.metadata:
        values = _orderable(column)
        if values is not None:
            yield f"items column {column.name!r}", _places(values)


def _orderable(column: pl.Series) -> pl.Series | None:
    """Numbers, moments or texts, with nulls for what is none of them; None for lists and the like."""
    if column.dtype.is_float():
        return column.fill_nan(None)
    if column.dtype.is_numeric() or column.dtype.is_temporal():
        return column
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum):
        return None
    texts = column.cast(pl.String)
    numbers = texts.cast(pl.Float64, strict=False)  # separated text has no types: there, "10.5" is below "9.99"
    return numbers.fill_nan(None) if numbers.null_count() == texts.null_count() else texts


def _places(values: pl.Series) -> PlaceArray:
    rank = values.rank("dense").cast(pl.Int32).fill_null(0).to_numpy()
    return np.concatenate([np.zeros(1, dtype=np.int32), rank]) - 1


def _mostly_differs(place: PlaceArray) -> bool:
    """Whether two items that have a place differ in it nine times of ten."""
    counts = np.bincount(place[place >= 0], minlength=1).astype(np.float64)
    return float((counts**2).sum()) <= (1 - _DIFFERENT_SHARE) * float(counts.sum()) ** 2


def _follow(name: str, placed: PlaceArray, first: IntArray, *, histories: int, many: bool) -> Order:
    one, other = placed[first], placed[first + 1]
    known = (one >= 0) & (other >= 0)
    rising, falling = int(((one < other) & known).sum()), int(((one > other) & known).sum())
    return Order(
        name=name,
        following=max(rising, falling),
        pairs=rising + falling,
        known_ratio=float(known.mean()) if len(first) else 0.0,
        changes=(rising + falling) / histories,
        has_many_values=many,
    )
